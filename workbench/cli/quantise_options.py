"""What the verbs ``quantise`` and ``restore`` take."""

import argparse

from workbench.catalogue import methods_of
from workbench.cli.belonging import Condition, add_rules, needs, owned
from workbench.cli.choices import list_choices
from workbench.cli.shared_options import (
    add_compute,
    add_data,
    add_json,
    add_model,
    offer,
    read_shape,
    read_words,
)
from workbench.replacement.settings import CODINGS, METHODS, ReplacementSettings

_DEFAULT = ReplacementSettings()


def add_quantise_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``quantise``."""
    add_model(parser)
    add_data(parser)
    parser.add_argument(
        "--method", metavar="A,B,...", type=read_words, required=True,
        help="what to do, one file each; numbers may follow: cluster:4, nm:2:4, channel_multiple:8",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", required=True, help="folder for the files")
    parser.add_argument(
        "--bits", metavar="N", type=int,
        help=f"of a code with cluster, 2 to 8 ({_DEFAULT.bits})",
    )  # fmt: skip
    parser.add_argument("--coding", help=f"how cluster writes its codes ({_DEFAULT.coding})")
    parser.add_argument(
        "--tune-epochs", metavar="N", type=int, default=_DEFAULT.tune_epochs,
        help="passes over the training images that move the values of cluster (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", metavar="N", type=int, default=_DEFAULT.samples,
        help="calibration images, without labels, of int8_static and of repairs (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--no-time", action="store_true", help="do not measure latency")
    add_compute(parser)
    add_json(parser)
    offer(parser, coding=CODINGS)
    parser.epilog = f"{parser.epilog}\n\n{list_choices('method', METHODS)}"
    add_rules(parser, owned("method", methods_of("replacement")))


def add_quantise_after(parser: argparse.ArgumentParser) -> None:
    """The option of ``prune`` that quantises what it ends with."""
    parser.add_argument(
        "--quantise", metavar="A,B,...", type=read_words, default=(),
        help="replace the weights as well, as workbench quantise does: cluster:5, int8_static; "
        "the files go into DIR-quantised",
    )  # fmt: skip


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``restore``."""
    parser.add_argument("file", metavar="FILE", help="a .pwc file that workbench quantise wrote")
    parser.add_argument(
        "--factory", metavar="PACKAGE.MODULE:FACTORY",
        help="where the network came from a factory: which",
    )  # fmt: skip
    parser.add_argument(
        "--input-shape", metavar="C,H,W", type=read_shape,
        help="images a factory's network takes, such as 1,28,28",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="write the weights here, as .safetensors; if left out they "
        "are only read",
    )  # fmt: skip
    parser.add_argument(
        "--data", metavar="DATA", help="measure it on the test images of these data: a sample's "
        "name (fashion-mnist, digits) or an .npz file",
    )  # fmt: skip
    add_json(parser)
    add_rules(parser, needs(["input_shape"], Condition("factory")))
