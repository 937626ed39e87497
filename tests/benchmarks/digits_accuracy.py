"""Digits: how accurate the two networks are after pruning, on images that nothing ever saw.

Run: python -m tests.benchmarks.digits_accuracy [--models digits-mlp] [--epochs 250]

Each network is pruned at several levels, repaired in full and fine-tuned with the options of the
workbench: the perceptron learns the answers of digits-shared, a convolutional network
(distillation), the ResNet-50 those of its own dense self. The level is chosen on the validation
split, by accuracy and then by loss; the test split, which nothing was trained on, gives the number.
Every level is kept in results/digits_accuracy.jsonl as soon as it is measured;
results/digits_accuracy.md is written from there.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import workbench as wb
from workbench.finetune import FineTuneSettings, finetune
from workbench.metrics import score

RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "digits_accuracy.jsonl", RESULTS / "digits_accuracy.md"
LEVELS = {
    "digits-mlp": (("weight", 0.5), ("weight", 0.7), ("weight", 0.8)),
    "digits-resnet50": (("weight", 0.8), ("weight", 0.9), ("channel", 0.3), ("channel", 0.5)),
}
TEACHERS = {"digits-mlp": ("digits-shared", 4.0), "digits-resnet50": ("digits-resnet50", 2.0)}
"""Whose answers are learnt, and at which temperature."""
EPOCHS = {"digits-mlp": 250, "digits-resnet50": 15}
KEY = ("model", "granularity", "level", "epochs", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(LEVELS))
    parser.add_argument("--epochs", type=int, help="instead of each network's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.models:
        measure_model(name, arguments.epochs or EPOCHS[name], arguments.seed)
    TABLE.write_text(table(read_rows()), "utf-8")
    print(TABLE.read_text("utf-8"))


def measure_model(name: str, epochs: int, seed: int) -> None:
    """Measure every level of a network that is not there yet."""
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    done = {tuple(row[key] for key in KEY) for row in read_rows()}
    for granularity, level in LEVELS[name]:
        key = (name, granularity, level, epochs, seed)
        if key in done:
            continue
        values = dict(zip(KEY, key, strict=True)) | measure(model, data, *key[1:])
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        print(json.dumps(values), flush=True)


def measure(
    model: wb.Model, data: wb.Data, granularity: str, level: float, epochs: int, seed: int
) -> dict[str, Any]:
    """Prune, repair, fine-tune, and score validation and test."""
    start = time.perf_counter()
    method = "global" if granularity == "weight" else "uniform"
    plan = wb.allocate(model, method, sparsity=level, granularity=granularity, seed=seed)
    repaired = wb.repair(wb.prune(model, plan), data, "full", seed=seed).pruned
    teacher, temperature = TEACHERS[model.name]
    settings = FineTuneSettings(
        "adamw", 0.005 if teacher != model.name else None, epochs, distillation=1.0,
        temperature=temperature, weight_decay=0.001, seed=seed,
    )  # fmt: skip
    tuned = finetune(repaired, data, settings, teacher=wb.load_model(teacher))
    dense, pruned = (wb.measure(one, data, latency=False) for one in (model, tuned.pruned.model))
    chosen = score(tuned.pruned.model.module, data.split("validation"))
    return {
        "teacher": teacher, "temperature": temperature,
        "validation": chosen.accuracy, "validation_loss": chosen.loss,
        "test": pruned.accuracy, "ci_low": pruned.ci_low, "ci_high": pruned.ci_high,
        "samples": pruned.samples, "dense": dense.accuracy, "num_params": dense.num_params,
        "num_nonzero": pruned.num_nonzero, "macs": pruned.macs, "dense_macs": dense.macs,
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def read_rows() -> list[dict[str, Any]]:
    """What was measured so far."""
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """One row a level; the one that validation chose is marked."""
    lines = [
        "<!-- written by tests/benchmarks/digits_accuracy.py -->", "",
        "| network | cut | epochs | parameters left | MACs left | validation % | test % "
        "(95 % interval) | dense test % | chosen |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | :---: |",
    ]  # fmt: skip
    for name in LEVELS:
        own = [row for row in rows if row["model"] == name]
        best = max(own, key=lambda row: (row["validation"], -row["validation_loss"]), default=None)
        for row in own:
            low, high = 100 * row["ci_low"], 100 * row["ci_high"]
            lines.append(
                f"| {name} | {row['granularity']} {row['level']:.0%} | {row['epochs']} "
                f"| {row['num_nonzero']:,} of {row['num_params']:,} "
                f"| {row['macs'] / row['dense_macs']:.0%} | {100 * row['validation']:.2f} "
                f"| {100 * row['test']:.2f} ({low:.1f} to {high:.1f}) | {100 * row['dense']:.2f} "
                f"| {'yes' if row is best else ''} |"
            )
    samples = max((row["samples"] for row in rows), default=0)
    return "\n".join(
        [*lines, "", f"Test: {samples} images that nothing was trained on, nor a level chosen on."]
    )


if __name__ == "__main__":
    main()
