"""What the verb ``methods`` takes."""

import argparse

from workbench.catalogue import methods_of
from workbench.cli.belonging import Condition, add_rules, beside, needs
from workbench.cli.choices import list_choices
from workbench.cli.shared_options import DATA_HELP, MODEL_HELP, add_compute, add_json, read_shape
from workbench.method import FAMILIES

TRAINED = ("schedule", "sparse_training", "finetuning")
"""Families whose methods train when they are tried."""
CUT = ("criterion", "allocation", "repair")
"""Families whose methods are tried without training; where a name means two, it is theirs."""


def add_methods_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``methods``."""
    parser.add_argument(
        "method", metavar="NAME", nargs="?", default="",
        help="tell of this method in full; a list of all if left out",
    )  # fmt: skip
    parser.add_argument("--family", metavar="NAME", default="", help="look in this family alone")
    parser.add_argument(
        "--search",
        metavar="WORDS",
        default="",
        help="list the methods that tell of all these words",
    )
    group = parser.add_argument_group("trying a method, or timing all of them, on a model")
    group.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    group.add_argument(
        "--try", dest="tries", action="store_true",
        help="prune the model with NAME and with the usual choice, and measure both alike",
    )  # fmt: skip
    group.add_argument(
        "--costs", action="store_true", help="measure the seconds that every method takes"
    )
    group.add_argument("--data", metavar="DATA", help=DATA_HELP)
    group.add_argument("--granularity", default="weight", help="weight or channel (%(default)s)")
    group.add_argument(
        "--sparsity", metavar="S", type=float,
        help="part to prune, 0.01 to 0.99 (0.8 of the weights, 0.5 of the channels)",
    )  # fmt: skip
    group.add_argument(
        "--samples", metavar="N", type=int, default=1000, help="validation images (%(default)s)"
    )
    group.add_argument(
        "--repair", default="", help="what follows the cut; the quickest that helps if left out"
    )
    group.add_argument(
        "--shown", metavar="N", type=int, default=6400,
        help="training images for each of the two, where the method trains (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--architecture", metavar="NAME", default="", help="what to build from a state dict"
    )
    group.add_argument("--input-shape", metavar="C,H,W", type=read_shape, help=argparse.SUPPRESS)
    add_compute(parser)
    add_json(parser)
    parser.epilog = f"{list_choices('family', FAMILIES)}\n\n{parser.epilog}"
    cut = {name for family in CUT for name in methods_of(family)}
    trained = {name for family in TRAINED for name in methods_of(family)} - cut
    add_rules(
        parser,
        needs(["data", "granularity", "architecture", "input_shape"], Condition("model")),
        needs(["sparsity", "samples", "repair", "shown"], Condition("tries")),
        beside(["repair"], "method", *methods_of("repair")),
        needs(["shown"], Condition("method", tuple(trained), "a method that trains"),
            Condition("family", TRAINED),
        ),
    )  # fmt: skip
