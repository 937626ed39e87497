"""Recovery of a 90 % sparse ResNet-20 by the default fine-tuning, on the embedded images.

Run: python -m tests.benchmarks.recover_resnet20 [--sparsity 0.9] [--repair bn] [--epochs 3]

Prunes by global magnitude, repairs, fine-tunes with the default settings but for what is given
here, and prints every stage on the test split with the distance to the dense model. The goal is
to end within 1.5 points of dense in a few minutes on 2 cores.
"""

import argparse
from dataclasses import replace

import torch

import workbench as wb


def show(progress: wb.Progress) -> None:
    """Print an epoch as it ends."""
    if "validation_loss" in progress.values:
        print(f"  {progress.values['seconds']:7.1f} s  {progress.message}", flush=True)


def main() -> None:
    defaults = wb.FineTuneSettings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fashion-resnet20")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--repair", default="bn")
    parser.add_argument("--optimizer", default=defaults.optimizer)
    parser.add_argument("--lr", type=float, default=defaults.lr)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--shift", type=int, default=defaults.shift)
    parser.add_argument("--flip", action="store_true")
    parser.add_argument("--weight-decay", type=float, default=defaults.weight_decay)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = replace(
        defaults, optimizer=arguments.optimizer, lr=arguments.lr, epochs=arguments.epochs,
        shift=arguments.shift, flip=arguments.flip, weight_decay=arguments.weight_decay,
        seed=arguments.seed,
    )  # fmt: skip
    model, data = wb.load_model(arguments.model), wb.load_data(arguments.data)
    plan = wb.allocate(model, "global", sparsity=arguments.sparsity)
    run, _ = wb.run_experiment(
        model, data, plan, repair=arguments.repair, finetune=settings, report=show
    )
    dense = run.stages[0].measurement.accuracy
    for stage in run.stages:
        measured = stage.measurement
        points = 100 * (measured.accuracy - dense)
        print(
            f"{stage.name:10} test {measured.accuracy:6.2%} ({points:+6.2f} points)  "
            f"validation {stage.validation.accuracy:6.2%}  {stage.seconds:6.1f} s  "
            f"{measured.num_nonzero:,} of {measured.num_params:,} parameters"
        )
    training = run.final.training
    if training:
        print(f"best epoch {training.best_epoch}, {training.samples_per_second:.0f} images/s")


if __name__ == "__main__":
    main()
