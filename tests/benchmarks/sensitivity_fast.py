"""How much faster fast sensitivity is than the obvious loop, and how near it comes.

    python -m tests.benchmarks.sensitivity_fast [--models MODEL ...] [--repairs none bn]

9 levels x all layers x 10,000 images. The obvious loop sets the weights of a layer, re-estimates
BatchNorm where asked, evaluates all images (default memory format, batches of 500) and puts
everything back. Its accuracies are the exact curve that the fast one is held against. Both run in
turns: a fast sweep, with another order of the images each time, after every third of the loop.

The images are the test part of the sample, put in place of its validation images. It is the
estimator that is measured here; nothing about a model is chosen.

Every point of the loop and every sweep is written to ``results/sensitivity_fast.jsonl`` at once and
not measured again; the table in ``results/sensitivity_fast.md`` is made of what is there.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.data import Data
from workbench.groups import Groups, find_groups
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import build_masks
from workbench.repair import reestimate_batch_norm_
from workbench.sensitivity import SensitivitySettings, measure_sensitivity

MODELS = ("fashion-resnet20",)
REPAIRS = ("none",)
LEVELS = tuple(i / 10 for i in range(1, 10))
IMAGES = 10_000
CALIBRATION = 2_000
SEEDS = 3
FOLDER = Path(__file__).parent / "results"
Row = dict[str, Any]


def with_test_images(data: Data) -> Data:
    """The same data with the test images as validation split."""
    rest = slice(data.num_validation, data.num_validation + CALIBRATION)
    return replace(
        data, name=f"{data.name}, test images as validation split",
        x_train=np.concatenate([data.x_test, data.x_train[rest]]),
        y_train=np.concatenate([data.y_test, data.y_train[rest]]),
        num_validation=len(data.y_test),
    )  # fmt: skip


def obvious_loop(
    model: Model, data: Data, groups: Groups, repair: str, places: list[tuple[str, float]]
) -> Iterator[Row]:
    """Measure some points as anybody would."""
    split = data.split("validation", IMAGES, 0)
    images = data.split("calibration", CALIBRATION, 0).images
    module = model.copy_module()
    for name, level in places:
        start = time.perf_counter()
        masks = build_masks(model, PruningPlan({name: level}), groups) if name else {}
        before = {key: value.clone() for key, value in module.state_dict().items()}
        with torch.no_grad():
            for key, mask in masks.items():
                module.get_parameter(key).mul_(mask)
        if repair == "bn":
            reestimate_batch_norm_(module, images)
        found = score(module, split, batch_size=500)
        module.load_state_dict(before)
        yield {
            "kind": "loop", "group": name, "level": level, "accuracy": found.accuracy,
            "loss": found.loss, "seconds": time.perf_counter() - start,
        }  # fmt: skip


def fast_sweep(model: Model, data: Data, repair: str, seed: int) -> Row:
    """All points by the workbench."""
    settings = SensitivitySettings(LEVELS, IMAGES, repair=repair, seed=seed, precision="fast")
    start = time.perf_counter()
    curves = measure_sensitivity(model, data, settings)
    seconds = time.perf_counter() - start
    points = [point.to_dict() for point in (*curves.points, *curves.interpolated)]
    return {"kind": "fast", "seed": seed, "seconds": seconds, "points": points}


class Rows:
    """Everything measured so far of one model and repair."""

    def __init__(self, path: Path, model: str, repair: str) -> None:
        self._path, self._key = path, {"model": model, "repair": repair}
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        rows = map(json.loads, lines)
        self.all = [row for row in rows if self._key.items() <= row.items()]

    def add(self, row: Row) -> None:
        """Keep a row for good."""
        self.all.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._key | row) + "\n")

    @property
    def loop(self) -> dict[tuple[str, float], Row]:
        """The points of the obvious loop."""
        return {(row["group"], row["level"]): row for row in self.all if row["kind"] == "loop"}

    @property
    def sweeps(self) -> dict[int, Row]:
        """The fast sweeps by seed."""
        return {row["seed"]: row for row in self.all if row["kind"] == "fast"}


def measure(name: str, repair: str, rows: Rows) -> None:
    """Measure what is missing."""
    model = load_model(name)
    data = with_test_images(load_data(str(model.data_name)))
    groups = find_groups(model)
    places = [("", 0.0), *((g.name, v) for g in groups.require_prunable() for v in LEVELS)]
    missing = [place for place in places if place not in rows.loop]
    share = -(-len(places) // SEEDS)
    for seed in range(SEEDS):
        if seed not in rows.sweeps:
            rows.add(fast_sweep(model, data, repair, seed))
            print(f"{name}, {repair}: sweep {seed}: {rows.all[-1]['seconds']:.1f} s", flush=True)
        due = max(0, len(missing) - (len(places) - share * (seed + 1)))
        for row in obvious_loop(model, data, groups, repair, missing[:due]):
            rows.add(row)
        missing = missing[due:]
        print(f"{name}, {repair}: {len(missing)} points of the loop are left", flush=True)


def summary(rows: Rows) -> Row | None:
    """The figures of one model and repair; None where something is missing."""
    loop, sweeps = rows.loop, rows.sweeps
    if len(sweeps) < SEEDS or any(len(loop) <= len(s["points"]) for s in sweeps.values()):
        return None
    runs = [
        [(point, loop[point["group"], point["level"]]["accuracy"]) for point in sweep["points"]]
        for sweep in sweeps.values()
    ]
    every = [pair for run in runs for pair in run]
    errors = [abs(point["accuracy"] - truth) for point, truth in every]
    seconds = statistics.median(sweep["seconds"] for sweep in sweeps.values())
    total = sum(row["seconds"] for row in loop.values())
    return {
        "points": len(runs[0]), "loop": total, "fast": seconds, "ratio": total / seconds,
        "off": statistics.fmean(map(_share_off, runs)), "off_worst": max(map(_share_off, runs)),
        "largest": max(errors), "mean": statistics.fmean(errors),
        "held": statistics.fmean(p["ci_low"] <= truth <= p["ci_high"] for p, truth in every),
        "measured": statistics.fmean(point["samples"] > 0 for point, _ in every),
        "images": statistics.fmean(point["samples"] for point, _ in every),
    }  # fmt: skip


def _share_off(run: list[tuple[Row, float]]) -> float:
    """Share of the points that are more than one point of accuracy from the exact curve."""
    return statistics.fmean(abs(point["accuracy"] - truth) > 0.01 for point, truth in run)


def table(found: dict[tuple[str, str], Row]) -> str:
    """Everything measured so far, in Markdown."""
    heads = (
        "model", "repair", "points", "obvious loop, s", "fast, s", "faster",
        "off by more than 1 point, %", "in the worst run, %", "largest error, points",
        "mean error, points", "truth in the stated interval, %", "levels measured, %",
        "images a point",
    )  # fmt: skip
    lines = [
        f"Made by `python -m tests.benchmarks.sensitivity_fast`: {len(LEVELS)} levels x all "
        f"layers x {IMAGES:,} images, {SEEDS} fast sweeps with different orders of the images.",
        "", f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2),
    ]  # fmt: skip
    for (model, repair), row in found.items():
        cells = [
            model, repair, f"{row['points']}", f"{row['loop']:.0f}", f"{row['fast']:.1f}",
            f"{row['ratio']:.0f}x", f"{100 * row['off']:.1f}", f"{100 * row['off_worst']:.1f}",
            f"{100 * row['largest']:.2f}", f"{100 * row['mean']:.2f}", f"{100 * row['held']:.1f}",
            f"{100 * row['measured']:.0f}", f"{row['images']:.0f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, print the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--repairs", nargs="*", default=list(REPAIRS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="only write the table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    path = FOLDER / "sensitivity_fast.jsonl"
    if not options.write:
        for name in options.models:
            for repair in options.repairs:
                measure(name, repair, Rows(path, name, repair))
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    keys = dict.fromkeys((row["model"], row["repair"]) for row in map(json.loads, lines))
    found = {key: summary(Rows(path, *key)) for key in keys}
    text = table({key: row for key, row in found.items() if row})
    (FOLDER / "sensitivity_fast.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
