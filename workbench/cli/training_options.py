"""What the command line understands about training: how long, how, and with which options."""

import argparse

from workbench.catalogue import methods_of, summaries
from workbench.cli.belonging import Condition, Rule, beside, needs, owned
from workbench.finetune_settings import (
    OPTIMIZERS,
    SCHEDULES,
    WITH_MOMENTUM,
    FineTuneSettings,
)

TRAINING_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": {name: summaries("finetuning")[name] for name in SCHEDULES},
}
"""Named choices that ``offer`` lists and checks."""
_USUAL = FineTuneSettings()
_OPTIONS = (
    "schedule", "cycles", "rewind", "distillation", "temperature", "label_smoothing",
    "gaussian_noise", "salt_and_pepper", "keep_signs", "weight_decay", "momentum", "shift", "flip",
)  # fmt: skip


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Options of every verb that fine-tunes."""
    group = parser.add_argument_group("fine-tuning")
    group.add_argument(
        "--finetune-epochs", metavar="N", type=int, default=0,
        help="passes over the training images, masks held (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--finetune-seconds", metavar="S", type=float, help="train for so long instead"
    )
    group.add_argument(
        "--optimizer", default=_USUAL.optimizer, help="how weights are moved (%(default)s)"
    )
    group.add_argument(
        "--lr", type=float,
        help="highest learning rate; if left out the optimizer's usual one, a tenth of it after a "
        "full repair, which large steps would undo first, and less with distillation at a high "
        "temperature, which makes steps larger",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", metavar="N", type=int, default=_USUAL.batch_size, help="(%(default)s)"
    )
    group.add_argument(
        "--momentum", metavar="M", type=float, default=_USUAL.momentum, help="of sgd (%(default)s)"
    )
    group.add_argument(
        "--weight-decay", metavar="D", type=float, default=_USUAL.weight_decay,
        help="pull of every weight towards zero (%(default)s)",
    )  # fmt: skip
    _add_schedule(group)
    _add_targets(group)
    _add_images(group)


def _add_schedule(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--schedule", default=_USUAL.schedule, help="how the learning rate goes (%(default)s)"
    )
    group.add_argument(
        "--cycles", metavar="N", type=int, default=_USUAL.cycles,
        help="cosines of the schedule restarts (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--rewind", metavar="PART", type=float,
        help="part of the original training that the schedule rewind retraces; if left out as many "
        "epochs as are trained, or 0.3 where its length is not known",
    )  # fmt: skip


def _add_targets(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--distillation", metavar="WEIGHT", type=float, default=_USUAL.distillation,
        help="weight of a teacher's answers in the loss, such as 0.7 (%(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--temperature", metavar="T", type=float, default=_USUAL.temperature,
        help="softens the answers of teacher and student (%(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--teacher", metavar="MODEL", help="who teaches; the dense model if left out"
    )
    group.add_argument(
        "--label-smoothing", metavar="PART", type=float, default=_USUAL.label_smoothing,
        help="part of every label that is spread over all classes, such as 0.1 (%(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--keep-signs", metavar="STRENGTH", type=float, default=_USUAL.keep_signs,
        help="penalty on shared weights whose sign has changed, such as 0.01; on all weights where "
        "none is shared (%(default)g)",
    )  # fmt: skip


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shift", metavar="PIXELS", type=int, default=_USUAL.shift,
        help="move training images at random by up to so many pixels (%(default)s)",
    )  # fmt: skip
    group.add_argument("--flip", action="store_true", help="mirror half of the training images")
    group.add_argument(
        "--gaussian-noise", metavar="SIGMA", type=float, default=_USUAL.gaussian_noise,
        help="noise on training images, as part of the way from black to white, such as 0.1 "
        "(%(default)g)",
    )  # fmt: skip
    group.add_argument(
        "--salt-and-pepper", metavar="PART", type=float, default=_USUAL.salt_and_pepper,
        help="part of the pixels of training images made black or white, such as 0.05 "
        "(%(default)g)",
    )  # fmt: skip


def training_rules() -> list[Rule]:
    """When the options of a training mean something."""
    methods = methods_of("finetuning")
    schedules = {name: method for name, method in methods.items() if name in SCHEDULES}
    switched = {name: method for name, method in methods.items() if name not in SCHEDULES}
    trains = (Condition("finetune_epochs"), Condition("finetune_seconds"))
    return [
        *beside(["finetune_epochs"], "finetune_seconds"),
        *needs(["optimizer", "lr", "batch_size", "teacher", *_OPTIONS], *trains),
        *needs(["momentum"], Condition("optimizer", WITH_MOMENTUM)),
        *owned("schedule", schedules),
        *owned("", switched),
    ]


def training_settings(arguments: argparse.Namespace) -> FineTuneSettings | None:
    """How to train, or None where no training is asked for.

    Raises:
        SettingsError: If a value is out of range.
    """
    settings = FineTuneSettings(
        optimizer=arguments.optimizer, lr=arguments.lr, epochs=arguments.finetune_epochs,
        seconds=arguments.finetune_seconds, batch_size=arguments.batch_size,
        seed=arguments.seed or 0, **{name: getattr(arguments, name) for name in _OPTIONS},
    )  # fmt: skip
    return settings if settings.epochs or settings.seconds else None
