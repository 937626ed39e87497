"""What the command line understands about allocation: curves, bounds, locks, a floor."""

import argparse

from workbench.catalogue import methods_of
from workbench.cli.belonging import Condition, Rule, beside, needs, owned
from workbench.cli.freeze_options import add_freeze_option

LEARN = "learn"
"""The word that has the trade-off learnt."""
USUAL_METHOD = "optimal"
"""What spreads a target where no method is named: the rule of the plan page's one-click plan."""
OF_ALLOCATION = (
    "curves", "precision", "samples", "bound", "lock", "trade_off", "refine", "protect",
)  # fmt: skip
"""Options that only making a plan looks at, so that a plan that is there makes them idle."""


def add_allocation_options(parser: argparse.ArgumentParser) -> None:
    """Options of every verb that allocates."""
    group = parser.add_argument_group("allocation")
    group.add_argument(
        "--curves", metavar="FILE",
        help="what workbench sensitivity --json wrote, for methods that need it; the sample's own "
        "or measured now if left out",
    )  # fmt: skip
    group.add_argument(
        "--precision",
        help="measure sensitivity now, so precisely; if left out fast, where it is not known",
    )
    group.add_argument(
        "--samples", metavar="N", type=int, default=1000,
        help="validation images to choose by (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--bound", metavar="GROUP=LOW:HIGH", action="append", type=_bound, default=[],
        help="least and most sparsity of a layer or group; may be given several times",
    )  # fmt: skip
    group.add_argument(
        "--lock", metavar="GROUP=VALUE", action="append", type=_lock, default=[],
        help="hold a layer or group at a sparsity; may be given several times",
    )  # fmt: skip
    add_freeze_option(group)
    group.add_argument(
        "--trade-off", metavar="EXPONENT", type=_trade_off, default=LEARN,
        help="how much costs count for cost_aware, from 0 (not at all) to 4; 'learn' tries a few "
        "on validation images (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--refine", metavar="N", type=int, default=0,
        help="improve the plan by exchanges between groups, N measured plans (%(default)s)",
    )  # fmt: skip


def allocation_rules(*more: str) -> list[Rule]:
    """When the options of an allocation mean something.

    Args:
        more: Options that are about measuring, too.
    """
    methods = methods_of("allocation")
    measuring = tuple(name for name, method in methods.items() if "curves" in method.needs)
    learning = tuple(name for name, method in methods.items() if "trade_off" in method.options)
    floor = (Condition("floor"),) if more else ()
    return [
        *owned("method", methods),
        *needs(["trade_off"], Condition("budget"), *floor),  # a sparsity has no costs to weigh
        *needs(["precision"], Condition("method", measuring), Condition("refine")),
        *beside(["precision"], "curves"),
        *needs(
            ["samples", *more],
            Condition("method", measuring + learning),
            Condition("refine"),
            *floor,
        ),
    ]


def add_floor_options(parser: argparse.ArgumentParser) -> None:
    """Options for the smallest model above a floor, and how plans are tried."""
    parser.add_argument(
        "--floor", metavar="ACCURACY", type=float,
        help="instead of a target: the smallest model at or above this fraction of validation "
        "images",
    )  # fmt: skip
    parser.add_argument("--unit", default="params", help="what --floor makes small (%(default)s)")
    parser.add_argument(
        "--repair", default="bn", help="what is done before plans are measured (%(default)s)"
    )


def _trade_off(text: str) -> float | str:
    try:
        return LEARN if text == LEARN else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no trade-off; write a number from 0 to 4, or 'learn'"
        ) from None


def _bound(text: str) -> tuple[str, tuple[float, float]]:
    name, _, ends = text.rpartition("=")
    low, colon, high = ends.partition(":")
    try:
        if name and colon:
            return name, (float(low), float(high))
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no bound; write it like this: conv1=0.2:0.8")


def _lock(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        if name:
            return name, float(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no lock; write it like this: conv1=0.5")
