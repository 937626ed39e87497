"""Seconds of instant checks, alone and from letting a column go to the number on the page.

    python -m tests.benchmarks.quick_check [--models NAME ...] [--repeats 12] [--no-browser]

Writes results/quick_check.md; without a name after --models only the browser's part is measured
and nothing is written. "Ready" is done once, before the first plan. "First" is a check where
nothing of an earlier one can be used: the first layer has changed. "Later" is one where another
group of the plan was changed, each in turn. "Off" is the distance of the accuracy from that of the
whole validation split after the repair that pruning does, on 2,000 images; "inside" tells how many
of those lay in the check's interval. In the browser a column of the ResNet-20 is let go again and
again at other places; the time ends when the tile turns from predicted to measured, in the page.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.benchmarks.drag_latency import channels
from tests.browser import rig
from tests.browser.chromium import ARGUMENTS, find_chromium
from workbench.allocation import allocate
from workbench.groups import find_groups
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.quick_check import QuickChecker
from workbench.repair import repair

SAMPLES = (
    "fashion-resnet20", "fashion-mobilenet", "fashion-vit", "fashion-lenet5", "fashion-gru",
    "digits-mlp",
)  # fmt: skip
TABLE = Path(__file__).parent / "results" / "quick_check.md"
SPARSITY = 0.5
MOST_LATER, MOST_COMPARED = 20, 6
HEAD = (
    "| model | granularity | images (validation, calibration) | ready, s | first, s | later, s "
    "| slowest, s | off, points | inside |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
_WATCH = """
() => {
    const host = [...document.querySelectorAll("*")].find(
        node => node.shadowRoot?.querySelector(".equaliser"));
    const root = host.shadowRoot;
    const state = window.checks = { released: 0, times: [] };
    addEventListener("pointerup", () => { state.released = performance.now(); }, true);
    new MutationObserver(() => {
        if (!state.released || !root.querySelector(".tile.headline.measured")) return;
        state.times.push(performance.now() - state.released);
        state.released = 0;
    }).observe(root, { subtree: true, attributes: true, childList: true });
}
"""


def rows(name: str) -> list[str]:
    """One line of the table for each granularity."""
    model, data = load_model(name), load_data("digits" if "digits" in name else "fashion-mnist")
    found = []
    for granularity in ("weight", "channel"):
        groups = find_groups(model, granularity)
        start = time.perf_counter()
        checker = QuickChecker(model, data)
        checker.prepare()
        ready = time.perf_counter() - start
        plan = allocate(
            model, "uniform", sparsity=SPARSITY, granularity=granularity, groups=groups
        )  # fmt: skip
        names = [one for one, value in plan.sparsities.items() if value]
        first, later, off, inside = [], [], [], 0
        plans = [plan]
        for level in (0.3, 0.4):
            plans.append(plans[-1].with_sparsities({**plans[-1].sparsities, names[0]: level}))
        first = [checker.check(one, "bn", groups).seconds for one in plans]
        generator = random.Random(0)
        for place in generator.sample(names, min(len(names), MOST_LATER)):
            level = generator.choice([0.1, 0.3, 0.7])
            plan = plan.with_sparsities({**plan.sparsities, place: level})
            check = checker.check(plan, "bn", groups)
            later.append(check.seconds)
            if len(off) < MOST_COMPARED:
                accuracy = obvious(model, data, plan, groups)
                off.append(100 * abs(check.accuracy - accuracy))
                inside += check.ci_low - 1e-9 <= accuracy <= check.ci_high + 1e-9
        found.append(
            f"| {name} | {granularity} | {check.samples:,}, {check.calibration:,} | {ready:.2f} "
            f"| {statistics.median(first):.3f} | {statistics.median(later):.3f} "
            f"| {max(first + later):.3f} | {statistics.mean(off):.2f} | {inside} of {len(off)} |"
        )
        print(found[-1], flush=True)
    return found


def obvious(model, data, plan: PruningPlan, groups) -> float:
    """The accuracy on the whole validation split, as a run would measure it."""
    repaired = repair(prune(model, plan, groups), data, "bn")
    return score(repaired.pruned.model.module, data.split("validation")).accuracy


def release(browser: Browser, address: str, repeats: int) -> str:
    """Let a column go again and again; the times in one line."""
    context = browser.new_context(viewport=rig.VIEWPORT)
    page = context.new_page()
    page.goto(address)
    columns = page.locator("[role=slider][aria-disabled=false]")
    columns.first.wait_for(timeout=120_000)
    rig.settled(page, 120_000)
    page.wait_for_timeout(5_000)  # a person looks at the page first
    page.evaluate(_WATCH)
    generator = random.Random(1)
    for repeat in range(repeats):
        column = columns.nth(generator.randrange(columns.count()))
        column.scroll_into_view_if_needed()
        box = column.bounding_box()
        assert box
        x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
        page.mouse.move(x, bottom - box["height"] * 0.05)
        page.mouse.down()
        level = generator.uniform(0.2, 0.9)
        page.mouse.move(x, bottom - box["height"] * level, steps=10)
        page.mouse.up()
        page.wait_for_function(f"checks.times.length > {repeat}", timeout=60_000)
        page.wait_for_timeout(500)
    times = page.evaluate("checks.times")
    context.close()
    return (
        f"{statistics.median(times):.0f} ms (90 %: {statistics.quantiles(times, n=10)[-1]:.0f}, "
        f"first: {times[0]:.0f}, n={len(times)})"
    )


def in_browser(repeats: int) -> list[str]:
    """Release to measured number, for weights and for channels."""
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        rig.running(rig.Server(home=Path(folder))) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        for name, address in (
            ("weights", f"{server.url}/plan"),
            ("channels", f"{server.url}/plan?ws={channels(server.home)}"),
        ):
            line = f"- fashion-resnet20, {name}: {release(browser, address, repeats)}"
            print(line, flush=True)
            found.append(line)
        browser.close()
    return found


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(SAMPLES))
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    print("\n".join(HEAD))
    lines = [row for name in options.models for row in rows(name)]
    text = "# Instant checks\n\n" + "\n".join([*HEAD, *lines]) + "\n"
    if not options.no_browser:
        measured = in_browser(options.repeats)
        text += "\nFrom letting a column go to the measured number on the page:\n\n"
        text += "\n".join(measured) + "\n"
    if lines:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
