"""Milliseconds from letting a dragged column go to the server's new numbers on the page.

    python -m tests.benchmarks.drag_latency [--repeats 20] [--no-busy]

Timed inside the page, from ``pointerup`` to the change of the server's text, so that nothing of
the browser's remote control is in it. Measured on a page with nothing but the equaliser, with 20
and 160 layers, and on the plan page with the ResNet-20, for single weights and for channels; idle,
and while a fine-tuning runs in a niced process as the workbench's own jobs do. Frames are the times
between two paints while a column is dragged; messages are those sent to the server meanwhile.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import rig
from tests.browser.chromium import ARGUMENTS, find_chromium
from tests.browser.made_up import harness_options
from workbench.plan import PruningPlan
from workbench.store import DataRef, ModelRef, Store

LIMITS_MS = {"idle": 80, "while fine-tuning": 150}
NICE = 10
WARM_UP_S = 20
_WATCH = """
() => {
    // What the server writes is outside the component's shadow root, so it alone is in this text.
    const main = document.querySelector("[data-testid=stMain]");
    const state = window.drag = { released: 0, times: [], frames: [], last: 0, moving: false };
    addEventListener("pointerdown", () => { state.moving = true; state.last = 0; }, true);
    addEventListener("pointerup", () => {
        state.moving = false;
        state.released = performance.now();
    }, true);
    let text = main.textContent;
    new MutationObserver(() => {
        if (main.textContent === text) return;
        text = main.textContent;
        if (state.released) state.times.push(performance.now() - state.released);
        state.released = 0;
    }).observe(main, { subtree: true, childList: true, characterData: true });
    const frame = now => {
        if (state.moving && state.last) state.frames.push(now - state.last);
        state.last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
}
"""


def measure(browser: Browser, address: str, repeats: int) -> str:
    """Drag a column up and down and say what it took."""
    context = browser.new_context(viewport=rig.VIEWPORT)
    page = context.new_page()
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.goto(address)
    page.get_by_role("slider").first.wait_for(timeout=120_000)
    drag(page, 0.4, sent)  # an empty plan may show words instead of numbers
    page.wait_for_timeout(1000)
    rig.settled(page, 120_000)
    page.evaluate(_WATCH)
    during = 0
    for repeat in range(repeats):
        during += drag(page, 0.8 if repeat % 2 == 0 else 0.2, sent)
        page.wait_for_function(f"drag.times.length > {repeat}", timeout=60_000)
        rig.settled(page, 60_000)
    times, frames = page.evaluate("[drag.times, drag.frames]")
    context.close()
    median, late = statistics.median(times), statistics.quantiles(times, n=10)[-1]
    smooth, jerky = statistics.median(frames), statistics.quantiles(frames, n=10)[-1]
    return (
        f"release {median:4.0f} ms (90 %: {late:4.0f}), "
        f"frame {smooth:4.1f} ms (90 %: {jerky:4.1f}), "
        f"{during} messages while dragging, n={len(times)}"
    )


def drag(page: Page, target: float, sent: list[object]) -> int:
    """Drag a column to a sparsity; return the messages sent before it was let go."""
    box = page.locator("[role=slider][aria-disabled=false]").nth(2).bounding_box()
    assert box
    x, bottom = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.mouse.move(x, bottom - box["height"] * (1 - target))
    page.mouse.down()
    sent.clear()
    page.mouse.move(x, bottom - box["height"] * target, steps=25)
    count = len(sent)
    page.mouse.up()
    return count


@contextlib.contextmanager
def fine_tuning(folder: Path) -> Iterator[None]:
    """A fine-tuning of the ResNet-20 in a process of its own."""
    command = (
        sys.executable, "-m", "workbench", "prune", "fashion-resnet20", "--data", "fashion-mnist",
        "--method", "uniform", "--sparsity", "0.8", "--finetune-epochs", "1000",
        "--out", str(folder / "out"),
    )  # fmt: skip
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            command, cwd=rig.ROOT, stdout=log, stderr=log, preexec_fn=lambda: os.nice(NICE)
        )
        try:
            time.sleep(WARM_UP_S)
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield
            assert process.poll() is None, "The fine-tuning ended before the measurement did."
        finally:
            process.kill()
            process.wait()


def channels(home: Path) -> str:
    """A workspace with the ResNet-20 and an empty plan of channels."""
    name, store = "fashion-resnet20", Store(home)
    workspace = store.create_workspace()
    store.save_model_ref(workspace, ModelRef(name=name, sample=name))
    store.save_data_ref(workspace, DataRef(name="fashion-mnist", sample="fashion-mnist"))
    store.save_plan(workspace, PruningPlan({}, "channel"))
    return workspace


def main() -> None:
    """Print medians for few and many layers, idle and busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-busy", action="store_true", help="leave out the fine-tuning")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [
            stack.enter_context(rig.running(rig.Server(home=folder / name, **served)))
            for name, served in (("alone", harness_options()), ("app", {}))
        ]
        addresses = {
            "20 layers": f"{servers[0].url}/?n=20",
            "160 layers": f"{servers[0].url}/?n=160",
            "160 layers, channels": f"{servers[0].url}/?n=160&g=channel",
            "plan page, weights": f"{servers[1].url}/plan",
            "plan page, channels": f"{servers[1].url}/plan?ws={channels(servers[1].home)}",
        }
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        for state, limit in LIMITS_MS.items():
            busy = state != "idle"
            if busy and options.no_busy:
                continue
            with fine_tuning(folder) if busy else contextlib.nullcontext():
                for name, address in addresses.items():
                    found = measure(browser, address, options.repeats)
                    print(f"{name:21} {state:17} (limit {limit} ms): {found}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
