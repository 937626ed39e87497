"""What the verb ``sparse`` takes."""

import argparse

from workbench.catalogue import methods_of, summaries
from workbench.cli.belonging import add_rules, beside, owned
from workbench.cli.choices import list_choices
from workbench.cli.freeze_options import add_freeze_option
from workbench.cli.shared_options import (
    add_compute,
    add_data,
    add_json,
    add_model,
    offer,
    read_numbers,
)
from workbench.finetune_settings import OPTIMIZERS
from workbench.sparse_training.kinds import USUAL_TARGETS
from workbench.sparse_training.settings import (
    LEAST_EPOCHS,
    LEAST_STEPS,
    MOST_EPOCHS,
    NO_TARGET,
)

PENALTIES, SCHEDULES = summaries("sparse_training"), summaries("schedule")
GRANULARITIES = {
    "weight": "Single weights become zero.",
    "channel": "Whole channels, neurons and heads go.",
}

NO_TARGET_WORD = "none"


def add_sparse_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``sparse``."""
    add_model(parser)
    add_data(parser)
    parser.add_argument("--method", required=True, help="how zeros are made while it trains")
    parser.add_argument(
        "--strength", metavar="A,B,...", type=read_numbers, default=(),
        help="of the penalty; several are tried in turn, without a target unless one is given; the "
        "method's usual one if left out",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="S", type=_target,
        help="sparsity at which a penalty stops and its zeros are held, or that a schedule "
        f"reaches; if left out the usual one, for penalties {USUAL_TARGETS['weight']:g} of the "
        f"weights or {USUAL_TARGETS['channel']:g} of the channels; 'none' lets the penalty alone "
        "decide, which in a short training makes few zeros",
    )  # fmt: skip
    parser.add_argument(
        "--granularity", help="what goes together; weight, if left out, where the method can"
    )
    add_freeze_option(parser)
    parser.add_argument(
        "--from-scratch", action="store_true", help="begin with new weights instead of trained ones"
    )
    _add_own(parser.add_argument_group("options of single methods"))
    _add_training(parser.add_argument_group("training"))
    parser.add_argument(
        "--out", metavar="DIR", help="export to this folder; one strength only, no export if left "
        "out",
    )  # fmt: skip
    add_compute(parser)
    add_json(parser)
    offer(
        parser, method=PENALTIES | SCHEDULES, granularity=GRANULARITIES, optimizer=OPTIMIZERS,
    )  # fmt: skip
    parser.epilog = (
        f"{list_choices('penalties', PENALTIES)}\n\n{list_choices('schedules', SCHEDULES)}\n\n"
        f"{list_choices('granularity', GRANULARITIES)}\n\n{list_choices('optimizer', OPTIMIZERS)}"
    )
    methods = {**methods_of("sparse_training"), **methods_of("schedule")}
    add_rules(parser, owned("method", methods), beside(["epochs"], "seconds"))


def _target(text: str) -> float:
    if text == NO_TARGET_WORD:
        return NO_TARGET
    try:
        if (value := float(text)) != NO_TARGET:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is no target; write a part such as 0.8, or '{NO_TARGET_WORD}'"
    )


def _add_own(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--mix", metavar="PART", type=float, default=0.5,
        help="of elastic: the L1 part of the penalty (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--ramp", metavar="PART", type=float, default=0.6,
        help="of cubic and growing: part of the training in which it grows (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--step", metavar="S", type=float, default=0.1,
        help="of iterative: sparsity added each time (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--max-loss", metavar="PART", type=float, default=0.01,
        help="of iterative: validation accuracy that may be lost (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--rounds", metavar="N", type=int, default=3,
        help="of lottery: trainings, each after a cut (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--rewind-epochs", metavar="N", type=int, default=1,
        help="of lottery: epochs from the beginning to the point of rewinding (%(default)s)",
    )  # fmt: skip


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs", metavar="N", type=int,
        help="passes over the training images; for iterative and lottery, of each of several "
        f"trainings ({LEAST_EPOCHS}, with few images as many as make {LEAST_STEPS} steps, at most "
        f"{MOST_EPOCHS})",
    )  # fmt: skip
    group.add_argument("--seconds", metavar="S", type=float, help="train for so long instead")
    group.add_argument(
        "--finetune-epochs", metavar="N", type=int, default=0,
        help="train on for so long afterwards, without penalty, zeros held (%(default)s)",
    )  # fmt: skip
    group.add_argument("--optimizer", default="sgd", help="how weights are moved (%(default)s)")
    group.add_argument("--lr", type=float, help="highest learning rate; the usual one if left out")
    group.add_argument("--batch-size", metavar="N", type=int, default=128, help="(%(default)s)")
