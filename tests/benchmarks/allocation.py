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
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
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
    least_apart,
    run_arena,
    sign_test,
)
from workbench.curve_cache import JsonLinesCache
from workbench.sensitivity import sample_curves

RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "allocation.jsonl", RESULTS / "allocation.md"
MODELS = ("fashion-lenet5", "fashion-mobilenet", "fashion-resnet20")
UNITS = {"weight": "params", "channel": "macs"}
FACTORS = {"weight": (2, 4, 8, 16, 32), "channel": (1.5, 2, 4, 8, 16)}
OPTIMAL, REFINED = "optimal", "refined"
SAMPLES, REPAIR_SAMPLES, REFINE = 5_000, 500, 8
KEY = ("model", "granularity", "samples", "repair_samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--granularity", nargs="*", default=tuple(UNITS), choices=tuple(UNITS))
    parser.add_argument("--methods", nargs="*", default=())
    parser.add_argument("--factors", nargs="*", type=float)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="test images")
    parser.add_argument("--repair-samples", type=int, default=REPAIR_SAMPLES)
    parser.add_argument("--refine", type=int, default=REFINE, help="plans that refining measures")
    parser.add_argument("--jobs", type=int, default=2, help="samples at once, on one thread each")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "workbench-allocation"
    )
    parser.add_argument("--write", action="store_true", help="only write the table")
    parser.add_argument("--dry", action="store_true", help="write neither rows nor table")
    options = parser.parse_args()
    wanted = [(name, granularity) for name in options.models for granularity in options.granularity]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, torch.set_num_threads, (1,)) as pool:
        work = [pool.submit(measured, *one, options) for one in ([] if options.write else wanted)]
        for done in as_completed(work):
            rows = done.result()
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
        repair_samples=options.repair_samples, refine=options.refine,
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
        "refine": settings.refine, "seconds_in_all": round(time.perf_counter() - start, 1),
        "curves": {key: getattr(curves.settings, key) for key in ("repair", "num_samples")},
        "curve_seconds": curve_seconds,
        "dense": arena.dense and {"accuracy": arena.dense.accuracy, "loss": arena.dense.loss},
    }  # fmt: skip
    return [about | row_of(arena, entry) for entry in arena.entries]


def row_of(arena: Arena, entry: ArenaEntry) -> dict[str, Any]:
    """One entry as a row, with how it compares with ours image by image."""
    ours = arena.entry(REFINED, entry.factor) or arena.entry(OPTIMAL, entry.factor)
    found = entry.score
    row: dict[str, Any] = {"method": entry.method, "factor": entry.factor, "reason": entry.reason}
    if found is None:
        return row
    return row | {
        "accuracy": found.accuracy, "loss": found.loss if found.loss < 1e9 else None,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "seconds": entry.seconds,
        "params_kept": entry.kept("params"), "macs_kept": entry.kept("macs"),
        "bytes_kept": entry.kept("bytes"),
        "apart_from_ours": sign_test(entry, ours) if ours else None,
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
        "sensitivity curves, and refining by moves, measured on validation images. Verdicts come "
        "from a sign test on the images that only one of the two recognises, at 95 %; against the "
        "best other, which is picked after the fact, at 95 % over all comparisons (Bonferroni).",
        "",
        "## Ours (optimal, then refined by a few measured moves), the best of the others, uniform",
        "",
        "| sample | granularity | budget | dense | uniform | best other | optimal | refined "
        "| over uniform | against the best other |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
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
    there = {row["method"]: row for row in block if "accuracy" in row}
    uniform, ours = there.get("uniform"), there.get(REFINED) or there.get(OPTIMAL)
    others = [row for method, row in there.items() if method not in (OPTIMAL, REFINED)]
    best = max(others, key=lambda row: row["accuracy"], default=None)
    margin = verdict = ""
    if ours and uniform:
        gained = 100 * (ours["accuracy"] - uniform["accuracy"])
        told = uniform["apart_from_ours"] >= least_apart(1)
        margin = f"{gained:+.2f}{'' if told else ' (noise)'}"
    if ours and best:
        ahead = ours["accuracy"] >= best["accuracy"]
        told = best["apart_from_ours"] >= least_apart(len(others))
        verdict = ("better" if ahead else "worse") if told else "tie"
    named = f"{figures(best)} {best['method']}" if best else "–"
    cells = [
        figures(block[0]["dense"]), figures(uniform), named, figures(there.get(OPTIMAL)),
        figures(there.get(REFINED)), margin, verdict,
    ]  # fmt: skip
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
