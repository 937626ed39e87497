"""What the verb ``sparse`` takes."""

import argparse

from workbench.catalogue import summaries
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

PENALTIES, SCHEDULES = summaries("sparse_training"), summaries("schedule")
GRANULARITIES = {
    "weight": "Single weights become zero.",
    "channel": "Whole channels, neurons and heads go.",
}


def add_sparse_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``sparse``."""
    add_model(parser)
    add_data(parser)
    parser.add_argument("--method", required=True, help="how zeros are made while it trains")
    parser.add_argument(
        "--strength", metavar="A,B,...", type=read_numbers, default=(),
        help="of the penalty; several are tried in turn; the method's usual one if left out",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="S", type=float,
        help="sparsity at which a penalty stops and its zeros are held, or that a schedule "
        "reaches; if left out the method's usual one, or what comes out",
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
        "--epochs", metavar="N", type=int, default=5,
        help="passes over the training images; for iterative and lottery, of each of several "
        "trainings (%(default)s)",
    )  # fmt: skip
    group.add_argument("--seconds", metavar="S", type=float, help="train for so long instead")
    group.add_argument(
        "--finetune-epochs", metavar="N", type=int, default=0,
        help="train on for so long afterwards, without penalty, zeros held (%(default)s)",
    )  # fmt: skip
    group.add_argument("--optimizer", default="sgd", help="how weights are moved (%(default)s)")
    group.add_argument("--lr", type=float, help="highest learning rate; the usual one if left out")
    group.add_argument("--batch-size", metavar="N", type=int, default=128, help="(%(default)s)")
