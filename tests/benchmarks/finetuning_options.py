"""What each option of fine-tuning gains on hard-pruned samples, with the spread over seeds.

Run: python -m tests.benchmarks.finetuning_options [--models digits-mlp fashion-lenet5]
     python -m tests.benchmarks.finetuning_options --write   (only writes the tables)

Every training starts from the same model: weights pruned by one global ranking, with or without
full repair. One option at a time is turned on with its usual values, all else stays at the
defaults. Three numbers: accuracy on the test images, on the same with Gaussian noise and with salt
and pepper (severity 3 of ``workbench.corruptions``). A second table holds the automatic learning
rate after a full repair against the optimiser's usual one. Every row is kept in
results/finetuning_options.jsonl as soon as it is measured, so the run can be continued; the tables
in results/finetuning_options.md are written from there.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import workbench as wb
from workbench.corruptions import corrupt
from workbench.data import Split
from workbench.finetune_settings import DEFAULT_LR
from workbench.metrics import score
from workbench.training import FINETUNING

RESULTS = Path(__file__).parent / "results"
ROWS, TABLES = RESULTS / "finetuning_options.jsonl", RESULTS / "finetuning_options.md"
MODELS = ("digits-mlp", "fashion-lenet5")
EPOCHS = {"digits-mlp": 20}
FEW_EPOCHS = 2
IMAGES = 4_000
RATE_EPOCHS = 1
ALL = 1_000_000
"""Images, for all there are."""
SPARSITY = 0.95
SEEDS = (0, 1, 2)
SEVERITY = 3
PLAIN = "cosine"
OPTIONS = (PLAIN, "distillation", "label_smoothing", "gaussian_noise", "salt_and_pepper")
NOISES = ("gaussian_noise", "salt_and_pepper")


class Case(NamedTuple):
    """What is trained and how; the key of a row."""

    model: str
    repair: str
    option: str
    lr: str
    epochs: int
    seed: int
    images: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--images", type=int, default=IMAGES, help="of an epoch, and to test on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="only write the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    RESULTS.mkdir(exist_ok=True)
    if not arguments.write:
        done = {Case(*(row[key] for key in Case._fields)) for row in read_rows()}
        for case in wanted(arguments.models, arguments.seeds, arguments.images):
            if case not in done:
                row = case._asdict() | measured(case)
                with ROWS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                done.add(case)
                print(json.dumps(row), flush=True)
    TABLES.write_text(tables(read_rows()), "utf-8")
    print(TABLES.read_text("utf-8"))


def wanted(models: Sequence[str], seeds: Sequence[int], images: int) -> Iterator[Case]:
    """Every row: options without and with repair, schedules, then learning rates."""
    schedules = [name for name, one in FINETUNING.items() if one.factor and name != PLAIN]
    for model in models:
        epochs = EPOCHS.get(model, FEW_EPOCHS)
        for repair, options in (("full", OPTIONS), ("none", OPTIONS), ("none", schedules)):
            for option in options:
                for seed in seeds:
                    yield Case(model, repair, option, "automatic", epochs, seed, images)
    for model in models:
        for lr in ("automatic", "usual"):
            for seed in seeds:
                yield Case(model, "full", PLAIN, lr, RATE_EPOCHS, seed, ALL)


def measured(case: Case) -> dict[str, Any]:
    """Train and measure on the test images; the split is for these final numbers alone."""
    model, data, pruned = beginning(case.model, case.repair)
    start = data.num_validation + case.images
    brief = dataclasses.replace(data, x_train=data.x_train[:start], y_train=data.y_train[:start])
    settings = wb.FineTuneSettings.from_dict(
        {
            "epochs": case.epochs,
            "seed": case.seed,
            "lr": DEFAULT_LR["sgd"] if case.lr == "usual" else None,
        }
        | dict(FINETUNING[case.option].settings)
    )
    began = time.perf_counter()
    tuned = wb.finetune(pruned, brief, settings, gentle=case.repair == "full")
    seconds = time.perf_counter() - began
    return {
        "dense": accuracies(model, case.model, case.images),
        "before": accuracies(pruned.model, case.model, case.images),
        "after": accuracies(tuned.pruned.model, case.model, case.images),
        "validation": [entry["accuracy"] for entry in tuned.history],
        "best_epoch": tuned.best_epoch,
        "highest_lr": tuned.highest_lr,
        "seconds": round(seconds, 2),
    }


@cache
def beginning(name: str, repair: str) -> tuple[wb.Model, wb.Data, wb.Pruned]:
    """The dense model, its data, and what every training starts from."""
    model = wb.load_model(name)
    data = wb.load_data(model.data_name)
    pruned = wb.prune(model, wb.allocate(model, "global", sparsity=SPARSITY))
    return model, data, wb.repair(pruned, data, repair).pruned


@cache
def accuracies(model: wb.Model, name: str, images: int) -> dict[str, float]:
    """On test images, clean and noisy."""
    return {kind: score(model.module, part).accuracy for kind, part in views(name, images).items()}


@cache
def views(name: str, count: int) -> Mapping[str, Split]:
    """The first test images, clean and noisy, ready for the network."""
    data = beginning(name, "none")[1]
    data = dataclasses.replace(data, x_test=data.x_test[:count], y_test=data.y_test[:count])
    clean = data.split("test")
    found = {"clean": clean}
    shape = (1, -1, 1, 1)
    mean, std = (np.array(v, dtype=np.float32).reshape(shape) for v in (data.mean, data.std))
    for noise in NOISES:
        images = corrupt(data.x_test.astype(np.float32) / 255, noise, SEVERITY)
        found[noise] = Split("test", torch.from_numpy((images - mean) / std), clean.labels)
    return found


def read_rows() -> list[dict[str, Any]]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


# Tables


def tables(rows: list[dict[str, Any]]) -> str:
    """Options, then learning rates, in Markdown."""
    lines = [
        "# Options of fine-tuning, measured",
        "",
        f"Test accuracy in percent of models with {SPARSITY:.0%} of all weights pruned by one "
        "global ranking, mean and standard deviation over the seeds. Written by "
        "`python -m tests.benchmarks.finetuning_options` from the rows beside this file. The noisy "
        f"images have severity {SEVERITY} of `workbench.corruptions`. An epoch has "
        f"{' or '.join(f'{count:,}' for count in sorted({r['images'] for r in rows} - {ALL}))} "
        "training images, and as many test images are classified, fewer where a sample has fewer.",
    ]
    for model in sorted({row["model"] for row in rows}):
        for repair in ("full", "none"):
            mine = [row for row in rows if (row["model"], row["repair"]) == (model, repair)]
            lines += options_table(model, repair, mine)
    return "\n".join([*lines, *rates_table(rows)]) + "\n"


def options_table(model: str, repair: str, rows: list[dict[str, Any]]) -> list[str]:
    rows = [row for row in rows if row["images"] < ALL]
    if not rows:
        return []
    longest = max(row["epochs"] for row in rows)
    lines = [
        "",
        f"## {model}, repair {repair!r}, {longest} epochs",
        "",
        "| training | seeds | clean | Gaussian noise | salt and pepper | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for title, which in (("dense model", "dense"), ("before training", "before")):
        cells = [f"{100 * rows[0][which][kind]:.2f}" for kind in ("clean", *NOISES)]
        lines.append(f"| {title} | | {' | '.join(cells)} | |")
    for option in dict.fromkeys(row["option"] for row in rows):
        same = [row for row in rows if row["option"] == option]
        cells = [spread([row["after"][kind] for row in same]) for kind in ("clean", *NOISES)]
        title = "plain (cosine)" if option == PLAIN else FINETUNING[option].title
        seconds = statistics.median(row["seconds"] for row in same)
        lines.append(f"| {title} | {len(same)} | {' | '.join(cells)} | {seconds:.1f} |")
    return lines


def rates_table(rows: list[dict[str, Any]]) -> list[str]:
    """Automatic against usual learning rate, right after a full repair."""
    rows = [row for row in rows if row["images"] == ALL]
    lines = [
        "",
        "## Learning rate right after a full repair",
        "",
        "All training images. The test accuracy is that of the best epoch on validation images, "
        "the one before training among them; the last epoch shows where the training itself went.",
        "",
        "| sample | epochs | learning rate | validation, repaired | validation, last epoch "
        "| test, repaired | test, kept |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model, lr in sorted({(row["model"], row["lr"]) for row in rows}):
        same = [row for row in rows if (row["model"], row["lr"]) == (model, lr)]
        cells = [
            model, str(same[0]["epochs"]), f"{same[0]['highest_lr']:g} ({lr})",
            f"{100 * same[0]['validation'][0]:.2f}",
            spread([row["validation"][-1] for row in same]),
            f"{100 * same[0]['before']['clean']:.2f}",
            spread([row["after"]["clean"] for row in same]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} ± {100 * deviation:.2f}"


if __name__ == "__main__":
    main()
