"""The tables of ``tests.benchmarks.criteria``, and what they show."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from workbench.catalogue_table import summarise

Row = Mapping[str, Any]
STAGE_TITLES = {"raw": "raw", "repaired": "after full repair", "tuned": "after 2 epochs"}


def tables(rows: Sequence[Row]) -> str:
    """Everything in Markdown."""
    dense = {row["model"]: row for row in rows if row["criterion"] == "dense"}
    cells = by_cell(rows)
    parts = [
        "# Criteria compared",
        "",
        "Written by `python -m tests.benchmarks.criteria`. The same part of every layer (weights) "
        "or group (channels) goes, the classifier stays whole; the criterion decides which. "
        "Accuracy on test images in percent, mean over seeds and, where there are several, half "
        "the distance between the lowest and the highest. Seeds change the images that criteria "
        "look at, those of the repair and the order of training. Bold: within 0.1 points of the "
        "best.",
        "",
        *_sizes(rows),
        "",
        "## Who wins where",
        "",
        *_winners(cells),
        "",
        "## Below random",
        "",
        *_below(rows),
    ]
    for model in dense:
        for granularity in ("channel", "weight"):
            parts += _table(model, granularity, cells, dense[model])
    return "\n".join(parts) + "\n"


Cell = tuple[str, str, float, str]
"""Model, granularity, level, stage."""


def by_cell(rows: Sequence[Row]) -> dict[Cell, dict[str, list[float]]]:
    """Accuracies of every seed by cell and criterion."""
    found: dict[Cell, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["criterion"] != "dense":
            cell = (row["model"], row["granularity"], row["level"], row["stage"])
            found[cell][row["criterion"]].append(row["accuracy"])
    return found


def _sizes(rows: Sequence[Row]) -> Iterator[str]:
    measured = [row for row in rows if row["criterion"] != "dense"]
    samples = sorted({row["samples"] for row in measured})
    repair = sorted({row["repair_images"] for row in measured})
    epoch = sorted({row["epoch_images"] for row in measured if row["epoch_images"]})
    columns = {(row["model"], row["granularity"], row["level"], row["stage"]) for row in measured}
    wanted = 7 * len(STAGE_TITLES) * len({row["model"] for row in measured})
    yield (
        f"- {len(columns)} of {wanted} columns (a level and stage of a sample) are measured; the "
        "command goes on where it ended, and what is said here is of those."
    )
    seeds = defaultdict(set)
    for row in measured:
        seeds[row["model"], row["stage"]].add(row["seed"])
    yield (
        f"- {_list(samples)} test images; {_list(repair)} calibration images of repair; "
        f"{_list(epoch) or 'no'} training images in an epoch of the fine-tuning."
    )
    for stage in STAGE_TITLES:
        told = [f"{model} {len(own)}" for (model, at), own in seeds.items() if at == stage]
        yield f"- Seeds, {STAGE_TITLES[stage]}: {', '.join(told) or 'not measured yet'}."


def _list(values: Sequence[int]) -> str:
    return " or ".join(f"{value:,}" for value in values)


def _means(own: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.mean(values) for name, values in own.items()}


def _winners(cells: Mapping[Cell, Mapping[str, list[float]]]) -> Iterator[str]:
    yield "| granularity | stage | best in most cells | mean gain over l1, points |"
    yield "| --- | --- | --- | --- |"
    for granularity in ("channel", "weight"):
        for stage, title in STAGE_TITLES.items():
            own = [
                _means(means) for (_, kind, _, at), means in cells.items()
                if (kind, at) == (granularity, stage) and "l1" in means
            ]  # fmt: skip
            if not own:
                continue
            wins: dict[str, int] = defaultdict(int)
            gains: dict[str, list[float]] = defaultdict(list)
            for means in own:
                best = max(means.values())
                for name, value in means.items():
                    wins[name] += value >= best - 1e-9
                    gains[name].append(100 * (value - means["l1"]))
            first = sorted(wins, key=lambda name: -wins[name])[:3]
            told = ", ".join(f"{name} ({wins[name]} of {len(own)})" for name in first)
            most = sorted(gains, key=lambda name: -statistics.mean(gains[name]))[:4]
            gain = ", ".join(f"{name} {statistics.mean(gains[name]):+.1f}" for name in most)
            yield f"| {granularity} | {title} | {told} | {gain} |"


REASONS = {
    "entropy_max": "made to do the opposite of entropy",
    "movement": "the network has finished training: where weights go is the noise of batches, "
    "and large ones are removed as readily as small ones",
    "gradient": "takes no notice of the weight's size, and the units that the loss hangs on least "
    "per step may still be the strongest ones",
    "fpgm": "filters near the median are alike in their weights, not in what they are good for",
    "bn_scale": "the samples were trained without a penalty on the scales, so the scales say "
    "little",
    "apoz": "a unit that is often zero may be the detector of one class; without ReLU nothing is "
    "zero",
    "mean_activation": "quiet units are often read with large weights, and may be the detectors of "
    "single classes",
    "entropy": "units with the liveliest activations need not be those that the classes hang on",
}
USUAL_REASON = (
    "after the raw cut what is left is close to guessing, and which classes are guessed is chance; "
    "see the same cell after repair"
)
LATER_REASON = (
    "so little is left here that what few calibration images can make of it differs from mask to "
    "mask"
)
NOT_TAKEN = (
    "with the few calibration images of this table full repair came no closer to the dense model "
    "than the cut itself, so it was not taken"
)


def _below(rows: Sequence[Row]) -> Iterator[str]:
    """Criteria that are surely worse than random, at 95 %, with the reason."""
    found = summarise(rows)
    lost: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for model, granularity in product(found.models, ("channel", "weight")):
        for level, stage in product(found.levels(model, granularity), STAGE_TITLES):
            column = found.column(model, granularity, level, stage)
            floor, raw = column.get("random"), found.column(model, granularity, level, "raw")
            for name, cell in column.items():
                if floor is not None and cell.is_below(floor):
                    behind = 100 * (floor.accuracy - cell.accuracy)
                    place = f"{model} {granularity} {level:.0%} (-{behind:.0f})"
                    reason = REASONS.get(name, USUAL_REASON if stage == "raw" else LATER_REASON)
                    if stage == "repaired" and cell.accuracy == raw[name].accuracy:
                        reason = NOT_TAKEN
                    lost[name, stage, reason].append(place)
    if not lost:
        yield "None is below random anywhere."
    for (name, stage, reason), places in sorted(lost.items()):
        many = len(places)
        shown = "; ".join(places[:6]) + (f"; and {many - 6} more" if many > 6 else "")
        yield f"- `{name}`, {STAGE_TITLES[stage]}: {shown}. Reason: {reason}."


def _table(
    model: str, granularity: str, cells: Mapping[Cell, Mapping[str, list[float]]], dense: Row
) -> Iterator[str]:
    own = {
        (level, stage): means for (name, kind, level, stage), means in cells.items()
        if (name, kind) == (model, granularity)
    }  # fmt: skip
    if not own:
        return
    columns = sorted(own, key=lambda key: (key[0], list(STAGE_TITLES).index(key[1])))
    names = sorted({name for means in own.values() for name in means})
    yield from ("", f"## {model}, {granularity}: dense {100 * dense['accuracy']:.1f}", "")
    yield "| criterion | " + " | ".join(f"{lv:.0%} {stage}" for lv, stage in columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    best = {column: max(_means(own[column]).values()) for column in columns}
    for name in names:
        told = [_told(own[column].get(name), best[column]) for column in columns]
        yield f"| {name} | " + " | ".join(told) + " |"


def _told(values: list[float] | None, best: float) -> str:
    if not values:
        return ""
    mean = statistics.mean(values)
    text = f"{100 * mean:.1f}"
    if mean >= best - 0.001:
        text = f"**{text}**"
    if len(values) > 1:
        text += f" ± {50 * (max(values) - min(values)):.1f}"
    return text
