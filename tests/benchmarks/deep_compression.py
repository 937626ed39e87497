"""Prune, cluster and code: how much smaller a network gets on disk, and what that costs.

Run: python -m tests.benchmarks.deep_compression [--kept 0.1,0.05,...] [--bits 5,4,3]

The network is pruned in steps, each from what the step before left: the plan for the best
predicted loss at that size, full repair, fine-tuning with masks held and the dense network as
teacher. At every step the weights are clustered at several widths of code, the values are tuned,
and all is coded into one file, which is read back and measured. Every choice is made on validation
images: the smallest file whose validation accuracy is at most ``--margin`` points below the dense
network's. The goal, for ``fashion-lenet5``: a file at least 30 times smaller than the dense weights
file, at most one point below it on the test split, which is only reported.

Rows go to ``results/deep_compression.jsonl``; those that are there are not measured again. The
table beside it is written from them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import safetensors.torch

import workbench as wb
from workbench.replacing import describe_state

RESULTS = Path(__file__).with_name("results")
GOAL, POINTS = 30.0, 1.0
ABOUT = ("model", "seed", "epochs", "stage", "kept", "bits", "tuned")


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fashion-lenet5")
    parser.add_argument("--kept", type=numbers, default=numbers("0.1,0.05,0.03"))
    parser.add_argument("--bits", type=numbers, default=numbers("5,4"))
    parser.add_argument("--epochs", type=int, default=5, help="of fine-tuning in each step")
    parser.add_argument("--tune-epochs", type=int, default=3, help="of the values of a codebook")
    parser.add_argument("--margin", type=float, default=0.5, help="points on validation images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="keep the weights of every step here")
    arguments = parser.parse_args()
    rows = read_rows()
    measure(arguments, rows)
    RESULTS.joinpath("deep_compression.md").write_text(table(list(rows.values()), arguments.margin))
    print(table(list(rows.values()), arguments.margin))


def measure(arguments: argparse.Namespace, rows: dict[str, dict[str, Any]]) -> None:
    """One row for the dense network, for each step of pruning, and for each file."""
    model = wb.load_model(arguments.model)
    data = wb.load_data(model.data_name)
    common = {"model": model.name, "seed": arguments.seed, "epochs": arguments.epochs}
    add(rows, common | {"stage": "dense"}, lambda: stage_row(model, data))
    before = model
    for kept in arguments.kept:
        before = step(before, model, data, kept, arguments)
        add(rows, common | {"stage": "pruned", "kept": kept}, partial(stage_row, before, data))
        for bits, tuned in product(map(int, arguments.bits), (0, arguments.tune_epochs)):
            about = common | {"stage": "coded", "kept": kept, "bits": bits, "tuned": tuned}
            settings = wb.ReplacementSettings(
                "cluster", bits=bits, tune_epochs=tuned, seed=arguments.seed
            )
            add(rows, about, partial(coded_row, before, data, settings))


def step(
    before: wb.Model, dense: wb.Model, data: wb.Data, kept: float, arguments: argparse.Namespace
) -> wb.Model:
    """Prune a network further, repair it and fine-tune it."""
    cache: Path | None = arguments.cache
    name = f"{dense.name}-{arguments.seed}-{arguments.epochs}-{kept}.safetensors"
    if cache and (cache / name).exists():
        module = before.copy_module()
        module.load_state_dict(safetensors.torch.load_file(cache / name))
        return before.with_module(module)
    start = time.time()
    curves = wb.measure_sensitivity(
        before, data, wb.SensitivitySettings(precision="fast", seed=arguments.seed)
    )
    plan = wb.allocate(
        before, "optimal", budget=wb.parse_budget(f"params={kept}"), curves=curves, protected=(),
        seed=arguments.seed,
    )  # fmt: skip
    pruned = replace(wb.prune(before, plan), dense=dense)
    repaired = wb.repair(pruned, data, "full", seed=arguments.seed).pruned
    settings = wb.FineTuneSettings(
        optimizer="adam", epochs=arguments.epochs, weight_decay=0.0, seed=arguments.seed,
        distillation=0.5,
    )  # fmt: skip
    tuned = wb.finetune(repaired, data, settings, teacher=dense)
    print(f"{kept:g} kept: {tuned.validation.accuracy:.2%} on validation images, "
          f"{time.time() - start:.0f} s", flush=True)  # fmt: skip
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(tuned.pruned.model.module.state_dict(), cache / name)
    return tuned.pruned.model


def stage_row(model: wb.Model, data: wb.Data) -> dict[str, Any]:
    """A network as it is, with its weights file."""
    state = describe_state(model, data)
    scored = wb.score(model.module, data.split("validation"))
    return {
        "bytes": state.bytes, "zipped": state.zipped_bytes, "num_nonzero": state.num_nonzero,
        "num_params": state.num_params, "test": state.accuracy, "ci_low": state.ci_low,
        "ci_high": state.ci_high, "validation": scored.accuracy,
    }  # fmt: skip


def coded_row(model: wb.Model, data: wb.Data, settings: wb.ReplacementSettings) -> dict[str, Any]:
    """A file, measured as it was read back from disk."""
    with tempfile.TemporaryDirectory() as folder:
        found = wb.replace_weights(model, data, settings, folder, timed=False)
    assert found is not None
    return {
        "bytes": found.bytes, "zipped": found.zipped_bytes, "test": found.accuracy,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "validation": found.validation,
        "restored": found.restored, "zeros_survived": found.survived,
    }  # fmt: skip


def add(
    rows: dict[str, dict[str, Any]], about: dict[str, Any], make: Callable[[], dict[str, Any]]
) -> None:
    """Measure a row unless it is there, and keep it."""
    key = json.dumps(about, sort_keys=True)
    if key in rows:
        return
    rows[key] = about | make()
    with RESULTS.joinpath("deep_compression.jsonl").open("a") as file:
        file.write(json.dumps(rows[key]) + "\n")
    told = {name: rows[key].get(name) for name in ("stage", "kept", "bits", "tuned", "bytes")}
    print(told, f"test {rows[key]['test']:.2%}, validation {rows[key]['validation']:.2%}",
          flush=True)  # fmt: skip


def read_rows() -> dict[str, dict[str, Any]]:
    """Rows that are there, by what they are about."""
    path = RESULTS / "deep_compression.jsonl"
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        about = {name: row[name] for name in ABOUT if name in row}
        found[json.dumps(about, sort_keys=True)] = row
    return found


def chosen(rows: Sequence[dict[str, Any]], dense: dict[str, Any], margin: float) -> dict[str, Any]:
    """The smallest file that is close enough to the dense network on validation images."""
    floor = dense["validation"] - margin / 100
    coded = [row for row in rows if row["stage"] == "coded"]
    close = [row for row in coded if row["validation"] >= floor]
    return min(close, key=lambda row: row["bytes"]) if close else max(
        coded, key=lambda row: row["validation"]
    )  # fmt: skip


def table(everything: Sequence[dict[str, Any]], margin: float) -> str:
    """The rows as Markdown, one section a network and seed, with the choice below."""
    parts = ["# Prune, cluster, code", ""]
    groups = dict.fromkeys((row["model"], row["seed"], row["epochs"]) for row in everything)
    for model, seed, epochs in groups:
        rows = [
            row for row in everything
            if (row["model"], row["seed"], row["epochs"]) == (model, seed, epochs)
        ]  # fmt: skip
        dense = next(row for row in rows if row["stage"] == "dense")
        parts += [
            f"## {model}, seed {seed}, {epochs} epochs a step", "",
            "| stage | kept | bits | tuned epochs | bytes | smaller | validation, % | test, % | "
            "points | 95 % interval |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        parts += [line(row, dense) for row in rows]
        if any(row["stage"] == "coded" for row in rows):
            best = chosen(rows, dense, margin)
            factor, points = dense["bytes"] / best["bytes"], 100 * (best["test"] - dense["test"])
            met = factor >= GOAL and points >= -POINTS and best["restored"]
            parts += [
                "",
                f"Chosen on validation images, at most {margin:g} points below dense there: "
                f"{best['kept']:.1%} kept, {best['bits']} bits, {best['bytes']:,} bytes, "
                f"**{factor:.1f} times smaller**, test {100 * best['test']:.2f} % "
                f"({points:+.2f} points). Restored file verified: "
                f"{'yes' if best['restored'] else 'no'}. Goal (at least {GOAL:g} times smaller at "
                f"most {POINTS:g} point below dense): {'met' if met else 'not met'}.",
                "",
            ]  # fmt: skip
    return "\n".join(parts) + "\n"


def line(row: dict[str, Any], dense: dict[str, Any]) -> str:
    """One row of the table."""
    cells = [
        row["stage"], f"{row['kept']:.1%}" if "kept" in row else "", row.get("bits", ""),
        row.get("tuned", ""), f"{row['bytes']:,}", f"{dense['bytes'] / row['bytes']:.1f}x",
        f"{100 * row['validation']:.2f}", f"{100 * row['test']:.2f}",
        f"{100 * (row['test'] - dense['test']):+.2f}",
        f"{100 * row['ci_low']:.2f} to {100 * row['ci_high']:.2f}",
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    return tuple(float(word) for word in text.split(","))


if __name__ == "__main__":
    main()
