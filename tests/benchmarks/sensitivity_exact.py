"""How much faster exact sensitivity is than the obvious loop.

    python -m tests.benchmarks.sensitivity_exact [MODEL ...]

For every sample: 9 levels x all layers x 1,000 validation images (fewer where there are fewer),
by the workbench and by the obvious loop, in turns: set the weights of a layer, evaluate all images
(default memory format, batches of 500), put the weights back. The table, in
``results/sensitivity_exact.md``, holds the median ratio of times and the least, the ratio to the
same loop with channels last and the best of several batch sizes, how many accuracies differ, and
the share of the machine's peak arithmetic: multiply-accumulates that the curves need a second,
against a large matrix product.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.plan import PruningPlan
from workbench.prune import build_masks
from workbench.sensitivity import SensitivitySettings, measure_sensitivity

MODELS = (
    "fashion-resnet20", "fashion-mobilenet", "fashion-lenet5", "fashion-vit", "fashion-gru",
    "digits-mlp",
)  # fmt: skip
LEVELS = tuple(i / 10 for i in range(1, 10))
IMAGES = 1_000
ROWS = Path(__file__).parent / "results" / "sensitivity_exact.jsonl"
BATCHES = (25, 50, 100, 250, 500)


def obvious_loop(
    model: object, data: object, batch: int, channels_last: bool
) -> dict[tuple[str, float], float]:
    """Accuracy by layer and level, measured as anybody would."""
    groups = find_groups(model)
    split = data.split("validation", IMAGES, 0)
    module = model.copy_module()
    if channels_last:
        module.to(memory_format=torch.channels_last)
        images = split.images.to(memory_format=torch.channels_last)
        split = type(split)(split.name, images, split.labels)
    found = {}
    for group in groups.prunable:
        parameter = module.get_parameter(group.layer.parameter_name)
        dense = parameter.detach().clone()
        for level in LEVELS:
            masks = build_masks(model, PruningPlan({group.name: level}), groups)
            with torch.no_grad():
                parameter.copy_(dense * masks[group.layer.parameter_name])
            found[group.name, level] = score(module, split, batch_size=batch).accuracy
        with torch.no_grad():
            parameter.copy_(dense)
    return found


def workbench(model: object, data: object) -> dict[tuple[str, float], float]:
    """The same by the workbench."""
    curves = measure_sensitivity(model, data, SensitivitySettings(LEVELS, IMAGES))
    return {(point.group, point.level): point.accuracy for point in curves.points}


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def best_batch(model: object, data: object) -> int:
    """The batch size with which the loop, channels last, is fastest."""
    module = model.copy_module().to(memory_format=torch.channels_last)
    images = data.split("validation", IMAGES, 0).images.to(memory_format=torch.channels_last)

    def run(batch: int) -> None:
        with torch.inference_mode():
            for part in images.split(batch):
                module(part)

    return min(BATCHES, key=lambda b: min(timed(partial(run, b))[0] for _ in range(3)))


def peak_macs_per_second() -> float:
    """Multiply-accumulates a second of a large matrix product."""
    one: Tensor = torch.rand(2048, 2048)
    return 2048**3 / min(timed(lambda: one @ one)[0] for _ in range(25))


def macs_done(model: object) -> float:
    """Multiply-accumulates of the sweep per image, as far as they have to be done again.

    For a network without branches: the layers from the cut one on, once a level.
    """
    layers = [layer.macs for layer in inspect(model).layers]
    prunable = [n for n, layer in enumerate(inspect(model).layers) if layer.prunable]
    return len(LEVELS) * sum(sum(layers[n:]) for n in prunable) + sum(layers)


def measured(name: str, runs: int, peak: float) -> dict[str, object]:
    """One row of the table."""
    model = load_model(name)
    data = load_data(model.data_name)
    batch = best_batch(model, data)
    ways = {
        "ours": partial(workbench, model, data),
        "obvious": partial(obvious_loop, model, data, 500, False),
        "best": partial(obvious_loop, model, data, batch, True),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    results = {}
    for _ in range(runs):
        for way, work in ways.items():
            spent, results[way] = timed(work)
            seconds[way].append(spent)
    ratios = {
        way: [other / own for other, own in zip(seconds[way], seconds["ours"], strict=True)]
        for way in ("obvious", "best")
    }
    wanted, ours = results["obvious"], statistics.median(seconds["ours"])
    images = len(data.split("validation", IMAGES, 0))
    return {
        "model": name, "threads": torch.get_num_threads(), "runs": runs, "images": images,
        "points": len(wanted), "seconds": ours, "batch": batch,
        "obvious": statistics.median(ratios["obvious"]), "best": statistics.median(ratios["best"]),
        "least": min(ratios["obvious"]),
        "differ": sum(results["ours"][key] != value for key, value in wanted.items()),
        "peak": macs_done(model) * images / ours / peak,
    }  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    """The rows as Markdown."""
    lines = [
        "Written by `python -m tests.benchmarks.sensitivity_exact`: 9 levels x all layers, single",
        "weights, exact precision, beside the obvious loop; all in turns in one run.",
        "",
        "| model | points | images | threads | seconds | obvious loop takes | in the worst run "
        "| best loop takes | accuracies that differ | of peak arithmetic |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['points']} | {row['images']} | {row['threads']} "
            f"| {row['seconds']:.2f} | {row['obvious']:.2f} x | {row['least']:.2f} x "
            f"| {row['best']:.2f} x (batch {row['batch']}) | {row['differ']} | {row['peak']:.0%} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write the table of all that was ever measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    peak = peak_macs_per_second()
    rows = {}
    if ROWS.exists():
        rows = {row["model"]: row for row in map(json.loads, ROWS.read_text("utf-8").splitlines())}
    for name in options.models:
        rows[name] = measured(name, options.runs, peak)
        ordered = [rows[model] for model in MODELS if model in rows]
        ROWS.write_text("".join(json.dumps(row) + "\n" for row in ordered), "utf-8")
        ROWS.with_suffix(".md").write_text(table(ordered), "utf-8")
        print(table([rows[name]]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
