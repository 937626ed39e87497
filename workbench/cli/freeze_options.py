"""What the command line understands about layers that stay dense."""

import argparse


def add_freeze_option(parser: argparse._ActionsContainer) -> None:
    """The option of every verb that cuts layers, or measures what cutting them costs."""
    parser.add_argument(
        "--freeze", metavar="PATTERN", action="append", default=[],
        help="leave layers dense whose names fit, such as 'stages.0.*' (* any characters, ? one); "
        "may be given several times",
    )  # fmt: skip
