"""Every sample, pruned at several levels: raw, re-estimated, fully repaired, briefly fine-tuned.

Run: python -m tests.benchmarks.repair_table [--models fashion-lenet5 ...] [--images 10000]
     python -m tests.benchmarks.repair_table --write   (only writes the tables)

Channels go uniformly from every group, single weights by one global ranking; accuracy is that of
the test split. Beside them stands Torch-Pruning with its magnitude, BatchNorm-scale and Taylor
importance at the same number of MACs and with the same fine-tuning. Every row is kept in
results/repair_table.jsonl as soon as it is measured, so the run can be continued; the tables in
results/repair_table.md are written from there.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import workbench as wb
from tests.benchmarks.torch_pruning import IMPORTANCES, torch_pruned
from workbench.groups import Groups, find_groups
from workbench.metrics import score
from workbench.prune import Pruned

RESULTS = Path(__file__).parent / "results"
ROWS, TABLES = RESULTS / "repair_table.jsonl", RESULTS / "repair_table.md"
CHANNEL_LEVELS = (0.3, 0.5, 0.7)
WEIGHT_LEVELS = (0.5, 0.8, 0.9, 0.95)
IMAGES = 10_000
EPOCHS = 2
KEY = ("model", "granularity", "level", "method", "images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(wb.sample_names()))
    parser.add_argument("--images", type=int, default=IMAGES, help="training images of an epoch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["workbench", "torch-pruning"])
    parser.add_argument("--write", action="store_true", help="only write the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    if not arguments.write:
        for name in arguments.models:
            measure_model(name, arguments.images, arguments.only)
    TABLES.write_text(tables(read_rows()), "utf-8")
    print(TABLES.read_text("utf-8"))


def measure_model(name: str, images: int, only: str | None) -> None:
    """Measure every row of a sample that is not there yet."""
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    brief = dataclasses.replace(
        data, x_train=data.x_train[: images + data.num_validation],
        y_train=data.y_train[: images + data.num_validation],
    )  # fmt: skip
    groups = find_groups(model, "channel")
    done = {tuple(row[key] for key in KEY) for row in read_rows()}
    for granularity, level, method in wanted():
        key = (name, granularity, level, method, images)
        if key in done or (only and (method == "workbench") != (only == "workbench")):
            continue
        values = dict(zip(KEY, key, strict=True))
        start = time.perf_counter()
        if method == "workbench":
            values |= ours(model, data, brief, groups, granularity, level)
        else:
            values |= theirs(model, data, brief, groups, level, method)
        values["seconds"] = round(time.perf_counter() - start, 1)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        print(json.dumps(values), flush=True)


def wanted() -> Iterator[tuple[str, float, str]]:
    for level in CHANNEL_LEVELS:
        yield "channel", level, "workbench"
    for level in WEIGHT_LEVELS:
        yield "weight", level, "workbench"
    for level in CHANNEL_LEVELS:
        for importance in IMPORTANCES:
            yield "channel", level, importance


def ours(
    model: wb.Model, data: wb.Data, brief: wb.Data, groups: Groups, granularity: str, level: float
) -> dict[str, Any]:
    """One row of the workbench: every repair, then fine-tuning from the full repair."""
    if granularity == "channel":
        sparsities = {group.name: level for group in groups.prunable}
        plan = wb.PruningPlan(sparsities, granularity="channel", allocation="uniform")
    else:
        plan = wb.allocate(model, "global", sparsity=level)
    pruned = wb.prune(model, plan)
    values: dict[str, Any] = {"raw": accuracy(pruned.model, data)}
    for method in ("bn", "full"):
        repaired = wb.repair(pruned, data, method)
        values[method] = accuracy(repaired.pruned.model, data)
        values[f"{method}_seconds"] = round(repaired.seconds, 2)
    return values | tuned(model, repaired.pruned, data, brief)


def theirs(
    model: wb.Model, data: wb.Data, brief: wb.Data, groups: Groups, level: float, method: str
) -> dict[str, Any]:
    """One row of Torch-Pruning at the MACs of our uniform plan."""
    kept = {g.name: g.num_units - groups.num_pruned(g.name, level) for g in groups.prunable}
    try:
        thin = torch_pruned(model, data, groups, method, groups.size(kept)[1])
    except ValueError as error:
        return {"note": str(error)}
    plan = wb.PruningPlan({}, granularity="channel")
    values = {"raw": accuracy(thin, data)}
    return values | tuned(model, Pruned(thin, {}, plan, model), data, brief)


def tuned(model: wb.Model, pruned: Pruned, data: wb.Data, brief: wb.Data) -> dict[str, Any]:
    """Fine-tune and say what the network is."""
    settings = wb.FineTuneSettings(epochs=EPOCHS)
    result = wb.finetune(pruned, brief, settings)
    found = wb.inspect(pruned.model)
    zeros = sum(layer.num_zeros for layer in found.prunable)
    return {
        "dense": accuracy(model, data),
        "finetuned": accuracy(result.pruned.model, data),
        "num_nonzero": found.num_params - zeros,
        "macs": found.macs,
        "dense_params": wb.inspect(model).num_params,
        "dense_macs": wb.inspect(model).macs,
    }


def accuracy(model: wb.Model, data: wb.Data) -> float:
    return score(model.module, data.split("test")).accuracy


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


# Tables


def tables(rows: list[dict[str, Any]]) -> str:
    """Two tables in Markdown: channels and single weights."""
    images = sorted({row["images"] for row in rows})
    lines = [
        "# Repair, measured",
        "",
        "Test accuracy in percent. Written by `python -m tests.benchmarks.repair_table` from the "
        f"rows beside this file; fine-tuning: {EPOCHS} epochs of "
        f"{' or '.join(f'{count:,}' for count in images)} training images (fewer where a sample "
        "has fewer).",
        "",
        "## Channels, neurons, heads: the same part of every group",
        "",
        "Torch-Pruning has the same number of MACs and the same fine-tuning; the best of its "
        "magnitude, BatchNorm-scale and Taylor importance.",
        "",
        "| sample | dense | removed | parameters | MACs | raw | BatchNorm | full repair "
        "| + fine-tuning | Torch-Pruning raw | + fine-tuning |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = sorted(rows, key=lambda row: (row["model"], row["level"]))
    own = [row for row in rows if row["method"] == "workbench"]
    for row in [row for row in own if row["granularity"] == "channel"]:
        rivals = [
            r for r in rows
            if r["method"] != "workbench" and "finetuned" in r
            and all(r[k] == row[k] for k in ("model", "level", "images"))
        ]  # fmt: skip
        best = max(rivals, key=lambda r: r["finetuned"], default=None)
        raw = max((r["raw"] for r in rivals), default=None)
        theirs = (
            [percent(raw), f"{percent(best['finetuned'])} ({best['method']})"]
            if best and raw is not None else ["not supported", ""]
        )  # fmt: skip
        lines.append(line(row, row["macs"] / row["dense_macs"], theirs))
    lines += [
        "",
        "## Single weights: one ranking over all layers",
        "",
        "| sample | dense | pruned | parameters | raw | BatchNorm | full repair | + fine-tuning |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [line(row, None, []) for row in own if row["granularity"] == "weight"]
    return "\n".join(lines) + "\n"


def line(row: dict[str, Any], macs: float | None, more: list[str]) -> str:
    cells = [
        row["model"], percent(row["dense"]), f"{row['level']:.0%}",
        f"{row['num_nonzero'] / row['dense_params']:.1%}",
        *([f"{macs:.1%}"] if macs is not None else []),
        *(percent(row[key]) for key in ("raw", "bn", "full", "finetuned")), *more,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


if __name__ == "__main__":
    main()
