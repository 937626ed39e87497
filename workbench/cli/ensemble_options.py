"""What the verb ``ensemble`` takes."""

import argparse

from workbench.cli import choices
from workbench.cli.shared_options import (
    add_compute,
    add_data,
    add_json,
    add_model,
    offer,
    read_words,
)


def add_ensemble_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``ensemble``."""
    add_model(parser)
    parser.add_argument(
        "--members", metavar="FILE", nargs="+", required=True,
        help="at least two models of the same data: files, exported folders or samples",
    )  # fmt: skip
    add_data(parser)
    parser.add_argument(
        "--methods", metavar="A,B,...", type=read_words, help="how to combine; all if left out"
    )
    parser.add_argument(
        "--no-search", action="store_true",
        help="do not look for the best members within the dense model's bytes and MACs",
    )  # fmt: skip
    parser.add_argument(
        "--cache", metavar="FOLDER", help="keep what every model answers here, and use it again"
    )
    add_compute(parser)
    add_json(parser)
    offer(parser)
    parser.epilog = f"{parser.epilog}\n\n{choices.list_choices('methods', choices.ENSEMBLES)}"
