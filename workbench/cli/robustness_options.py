"""What the verb ``robustness`` takes."""

import argparse

from workbench.cli import choices
from workbench.cli.shared_options import (
    add_compute,
    add_data,
    add_json,
    add_model,
    offer,
    read_numbers,
    read_words,
)


def add_robustness_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``robustness``."""
    add_model(parser)
    parser.add_argument(
        "--against", metavar="FILE", nargs="+", default=[],
        help="other models of the same data: files, exported folders or samples; all see the same "
        "images",
    )  # fmt: skip
    add_data(parser)
    parser.add_argument(
        "--corruptions", metavar="A,B,...", type=read_words, help="which; all if left out"
    )
    parser.add_argument(
        "--severities", metavar="A,B,...", type=read_numbers, default=(1.0, 2.0, 3.0, 4.0, 5.0),
        help="how strong, 1 to 5 (1,2,3,4,5)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", metavar="N", type=int, default=1000,
        help="test images, the same for every corruption and model (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--cache", metavar="FOLDER", help="keep what is measured here, and go on from there"
    )
    add_compute(parser)
    add_json(parser)
    offer(parser)
    parser.epilog = f"{parser.epilog}\n\n{choices.list_choices('corruptions', choices.CORRUPTIONS)}"
