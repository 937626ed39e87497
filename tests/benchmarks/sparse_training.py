"""Sparse training of fashion-lenet5: sparsity of the prunable weights, and points lost on test.

Run: python -m tests.benchmarks.sparse_training [--methods l1 l0 ...] [--threads 1]
     python -m tests.benchmarks.sparse_training --write   (only writes the table)

Every method trains from the trained sample with the dense model's answers beside the labels, and
then without penalty with its zeros held. Where several strengths are tried, the one of highest
validation accuracy is chosen; test numbers of the others are not looked at. Rows are kept in
results/sparse_training.jsonl as soon as they are measured, so the run can be continued.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import workbench as wb
from workbench.finetune_settings import FineTuneSettings
from workbench.sparse_training import SparseTrainingSettings
from workbench.sparse_training.measured import train_sparse_and_measure
from workbench.sparse_training.sweeping import prunable_sparsity

RESULTS = Path(__file__).parent / "results"
ROWS, TABLE = RESULTS / "sparse_training.jsonl", RESULTS / "sparse_training.md"
MODEL = "fashion-lenet5"
COMMON = {"flip": True, "shift": 2, "distillation": 0.7}
AFTER = FineTuneSettings(epochs=8, lr=0.02, **COMMON)
L1 = FineTuneSettings(epochs=10, lr=0.04, batch_size=512, **COMMON)
L0 = FineTuneSettings(epochs=10, lr=0.02, batch_size=256, **COMMON)
PLAIN = FineTuneSettings(epochs=10, lr=0.02, **COMMON)
TRIES = {
    "l1": [
        SparseTrainingSettings(method="l1", strength=6e-4, target=target, training=L1)
        for target in (0.9, 0.915)
    ],
    "l0": [
        SparseTrainingSettings(method="l0", strength=15.0, target=target, training=L0)
        for target in (0.9, 0.915)
    ],
    "cubic": [SparseTrainingSettings(method="cubic", target=0.9, training=PLAIN)],
}
KEY = ("method", "strength", "target", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=["l1", "l0"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    if not arguments.write:
        for name in arguments.methods:
            for settings in TRIES[name]:
                for seed in arguments.seeds:
                    measure(settings, seed)
    TABLE.write_text(table(read_rows()), "utf-8")
    print(TABLE.read_text("utf-8"))


def measure(settings: SparseTrainingSettings, seed: int) -> None:
    """Train with one strength and seed and keep the row, unless it is there."""
    key = (settings.method, settings.used_strength, settings.used_target, seed)
    if key in {tuple(row[name] for name in KEY) for row in read_rows()}:
        return
    model = wb.load_model(MODEL)
    data = wb.load_data(model.data_name)
    start = time.perf_counter()
    run, pruned = train_sparse_and_measure(
        model, data, replace(settings, training=replace(settings.training, seed=seed)),
        finetune=replace(AFTER, seed=seed),
    )  # fmt: skip
    assert pruned is not None
    trained = run.stage("pruned")
    row = dict(zip(KEY, key, strict=True)) | {
        "sparsity": prunable_sparsity(pruned),
        "sparsity_of_all": 1 - run.final.measurement.num_nonzero / run.final.measurement.num_params,
        "note": trained.training.note,
        "validation": run.final.validation.accuracy,
        "dense_validation": run.stage("dense").validation.accuracy,
        "dense_test": run.stage("dense").measurement.accuracy,
        "trained_test": trained.measurement.accuracy,
        "test": run.final.measurement.accuracy,
        "ci_low": run.final.measurement.ci_low,
        "ci_high": run.final.measurement.ci_high,
        "epochs": settings.training.epochs + AFTER.epochs,
        "seconds": round(time.perf_counter() - start, 1),
    }
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each method and target: the strength of highest validation accuracy."""
    lines = [
        f"# Sparse training of {MODEL}", "",
        "Sparsity counts the weights that may be cut (all layers but the classifier) and, in "
        "brackets, all parameters. Strengths are chosen on validation images.", "",
        "| method | strength | sparsity | test accuracy (95 %) | dense | points lost | "
        "validation | epochs | of the sparsity, by rank at the end |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for wanted in sorted({(row["method"], row["target"]) for row in rows}):
        same = [row for row in rows if (row["method"], row["target"]) == wanted]
        best = max(same, key=lambda row: row["validation"])
        lost = 100 * (best["dense_test"] - best["test"])
        ranked = best["note"].partition("the lowest ")[2].partition("%")[0] if best["note"] else "0"
        lines.append(
            f"| {best['method']} | {best['strength']:g} | {best['sparsity']:.2%} "
            f"({best['sparsity_of_all']:.2%}) | {best['test']:.2%} "
            f"({best['ci_low']:.2%} to {best['ci_high']:.2%}) | {best['dense_test']:.2%} | "
            f"{lost:.2f} | {best['validation']:.2%} | {best['epochs']} | {ranked or '0'} % |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
