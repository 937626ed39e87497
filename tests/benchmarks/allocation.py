"""Every allocation at five budgets on every convolutional sample, after repair, on test images.

    python -m tests.benchmarks.allocation [--models fashion-lenet5 ...] [--granularity channel]
    python -m tests.benchmarks.allocation --write   (only writes the table)

Single weights at budgets of non-zero parameters, channels at budgets of MACs. The plans go by
sensitivity curves that were measured on validation images: those that ship with a sample, else
measured here. Every plan is repaired in full on unlabelled calibration images and measured on the
test split, which chooses nothing. What is measured is kept in a folder, so that a run that was cut
off goes on; rows are written to results/allocation.jsonl and the table to results/allocation.md.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

import workbench as wb
from workbench.arena import (
    Arena,
    ArenaEntry,
    ArenaSettings,
    curve_settings,
    fitting_curves,
    run_arena,
    told_apart,
)
from workbench.curve_cache import JsonLinesCache
from workbench.sensitivity import sample_curves

RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "allocation.jsonl", RESULTS / "allocation.md"
MODELS = ("fashion-lenet5", "fashion-mobilenet", "fashion-resnet20")
UNITS = {"weight": "params", "channel": "macs"}
FACTORS = {"weight": (2, 4, 8, 16, 32), "channel": (1.5, 2, 4, 8, 16)}
OURS = "optimal"
SAMPLES, REPAIR_SAMPLES = 5_000, 500
KEY = ("model", "granularity", "samples", "repair_samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--granularity", nargs="*", default=tuple(UNITS), choices=tuple(UNITS))
    parser.add_argument("--methods", nargs="*", default=())
    parser.add_argument("--factors", nargs="*", type=float)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="test images")
    parser.add_argument("--repair-samples", type=int, default=REPAIR_SAMPLES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "workbench-allocation"
    )
    parser.add_argument("--write", action="store_true", help="only write the table")
    parser.add_argument("--dry", action="store_true", help="write neither rows nor table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in () if options.write else options.models:
        for granularity in options.granularity:
            rows = measured(name, granularity, options)
            if not options.dry:
                keep(rows)
    if not options.dry:
        TABLE.write_text(table(read_rows()), "utf-8")
        print(TABLE.read_text("utf-8"))


def measured(name: str, granularity: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one sample at one granularity."""
    start = time.perf_counter()
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    cache = JsonLinesCache(options.cache)
    settings = ArenaSettings(
        granularity=granularity, unit=UNITS[granularity], methods=tuple(options.methods),
        factors=tuple(options.factors or FACTORS[granularity]), num_samples=options.samples,
        repair_samples=options.repair_samples,
    )  # fmt: skip
    at_hand = [one for one in sample_curves(model, granularity) if one.data == data.digest]
    curves = fitting_curves(at_hand, settings)
    if curves is None:
        asked = curve_settings(model, settings, wb.find_groups(model, granularity))
        asked = dataclasses.replace(asked, precision="exact")
        curves = wb.measure_sensitivity(model, data, asked, cache=cache)
    curve_seconds = round(time.perf_counter() - start, 1)

    def tell(progress: wb.Progress) -> None:
        values: Mapping[str, Any] = progress.values
        if "entry" in values:
            entry = ArenaEntry.from_dict(values["entry"])
            print(f"{name} {granularity} {entry.factor:g}x {entry.method}: "
                  f"{entry.score.accuracy if entry.score else entry.reason} "
                  f"({entry.seconds:.1f} s)", flush=True)  # fmt: skip

    arena = run_arena(model, data, settings, curves, split="test", cache=cache, report=tell)
    print(f"{name} {granularity}: {time.perf_counter() - start:.0f} s", flush=True)
    about = {
        "model": name, "granularity": granularity, "unit": settings.unit,
        "samples": arena.dense.samples if arena.dense else 0,
        "repair_samples": settings.repair_samples, "repair": settings.repair,
        "curves": {key: getattr(curves.settings, key) for key in ("repair", "num_samples")},
        "curve_seconds": curve_seconds,
        "dense": arena.dense and {"accuracy": arena.dense.accuracy, "loss": arena.dense.loss},
    }  # fmt: skip
    return [about | row_of(arena, entry) for entry in arena.entries]


def row_of(arena: Arena, entry: ArenaEntry) -> dict[str, Any]:
    """One entry as a row, with how it compares with ours image by image."""
    ours, found = arena.entry(OURS, entry.factor), entry.score
    row: dict[str, Any] = {"method": entry.method, "factor": entry.factor, "reason": entry.reason}
    if found is None:
        return row
    return row | {
        "accuracy": found.accuracy, "loss": found.loss if found.loss < 1e9 else None,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "seconds": entry.seconds,
        "params_kept": entry.kept("params"), "macs_kept": entry.kept("macs"),
        "bytes_kept": entry.kept("bytes"),
        "differs_from_ours": ours is not None and told_apart(entry, ours),
        "sparsities": dict(entry.plan.sparsities) if entry.plan else None,
    }  # fmt: skip


def keep(rows: list[dict[str, Any]]) -> None:
    """Put rows in the place of older ones of the same sample and settings."""
    key = {name: rows[0][name] for name in KEY}
    others = [row for row in read_rows() if any(row[name] != key[name] for name in KEY)]
    RESULTS.mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in [*others, *rows])
    ROWS.write_text(text, "utf-8")


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


# Table


def table(rows: list[dict[str, Any]]) -> str:
    """Two tables in Markdown: ours beside the best of the others, then everybody."""
    samples = " or ".join(f"{n:,}" for n in sorted({row["samples"] for row in rows}))
    images = " or ".join(f"{n:,}" for n in sorted({row["repair_samples"] for row in rows}))
    lines = [
        "# Allocations at the same budgets",
        "",
        f"Accuracy in percent (loss in nats) on {samples} test images, after full repair on "
        f"{images} unlabelled calibration images, without any training. Written by "
        "`python -m tests.benchmarks.allocation` from the rows beside this file. Plans go by "
        "sensitivity curves measured on validation images. Verdicts come from a sign test at 95 % "
        "on the images that only one of the two recognises.",
        "",
        "## Ours (optimal), the best of the others, and uniform",
        "",
        "| sample | granularity | budget | dense | uniform | best other | ours | over uniform "
        "| against the best other |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    verdicts: dict[str, int] = {}
    for block in blocks(rows):
        line, verdict = compared(block)
        lines.append(line)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    counted = ", ".join(f"{verdict}: {count}" for verdict, count in sorted(verdicts.items()))
    lines += ["", f"Against the best other, {counted}.", "", "## Everybody", ""]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines.append(f"| sample | granularity | budget | {' | '.join(methods)} |")
    lines.append(f"| --- | --- | ---: |{' ---: |' * len(methods)}")
    for block in blocks(rows):
        by_method = {row["method"]: row for row in block}
        cells = [figures(by_method.get(method)) for method in methods]
        lines.append(f"| {head(block[0])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def blocks(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows that compete with each other, in the order of the table."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["model"], row["granularity"], row["samples"], row["repair_samples"])
        found.setdefault((*key, row["factor"]), []).append(row)
    return [found[key] for key in sorted(found)]


def compared(block: list[dict[str, Any]]) -> tuple[str, str]:
    """One line of the first table, and its verdict."""
    there = [row for row in block if "accuracy" in row]
    ours = next((row for row in there if row["method"] == OURS), None)
    uniform = next((row for row in there if row["method"] == "uniform"), None)
    others = [row for row in there if row["method"] != OURS]
    best = max(others, key=lambda row: row["accuracy"], default=None)
    dense = block[0]["dense"]
    margin = verdict = ""
    if ours and uniform:
        gained = 100 * (ours["accuracy"] - uniform["accuracy"])
        margin = f"{gained:+.2f}{'' if uniform['differs_from_ours'] else ' (noise)'}"
    if ours and best:
        ahead = ours["accuracy"] >= best["accuracy"]
        verdict = ("better" if ahead else "worse") if best["differs_from_ours"] else "tie"
    named = f"{figures(best)} {best['method']}" if best else "–"
    cells = [figures(dense), figures(uniform), named, figures(ours), margin, verdict]
    return f"| {head(block[0])} | {' | '.join(cells)} |", verdict or "not measured"


def head(row: dict[str, Any]) -> str:
    return f"{row['model']} | {row['granularity']} | {row['factor']:g}x {row['unit']}"


def figures(row: Mapping[str, Any] | None) -> str:
    if row is None or "accuracy" not in row:
        return "–"
    loss = "∞" if row["loss"] is None else f"{row['loss']:.3f}"
    return f"{100 * row['accuracy']:.2f} ({loss})"


if __name__ == "__main__":
    main()
