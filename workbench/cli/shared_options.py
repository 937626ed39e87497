"""Options that several verbs share."""

import argparse
from collections.abc import Mapping

from workbench.cli import choices
from workbench.cli.choices import list_choices

MODEL_HELP = (
    "a sample's name (fashion-resnet20), a .safetensors, .pt or .pth file, or "
    "package.module:factory"
)
DATA_HELP = "a sample's name (fashion-mnist, digits) or an .npz file; the model's own if left out"


def offer(parser: argparse.ArgumentParser, **offered: Mapping[str, str]) -> None:
    """List the named choices below the options, and have them checked after parsing."""
    parser.set_defaults(offered=offered)
    lists = [list_choices(what.replace("_", " "), table) for what, table in offered.items()]
    texts = [parser.epilog or "", *lists]
    parser.epilog = "\n\n".join(filter(None, texts))


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, and what helps to open it."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--architecture", metavar="NAME", default="",
        help="what to build from a state dict; guessed from its tensors if left out",
    )  # fmt: skip
    parser.add_argument(
        "--input-shape", metavar="C,H,W", type=read_shape,
        help="images a factory's network takes, such as 1,28,28",
    )  # fmt: skip


def add_data(parser: argparse.ArgumentParser) -> None:
    """The images."""
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)


def add_compute(parser: argparse.ArgumentParser, seed: bool = True) -> None:
    """Where to compute, and the seed of all that is random."""
    if seed:
        parser.add_argument("--seed", type=int, help="of all that is random (0)")
    parser.add_argument("--device", metavar="NAME", default="auto", help="where to compute (auto)")
    offer_device(parser)


def offer_device(parser: argparse.ArgumentParser) -> None:
    """List the devices; their names are checked where torch can tell what is present."""
    parser.epilog = list_choices("device", choices.DEVICES)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where the result goes as JSON."""
    parser.add_argument(
        "--json", metavar="FILE", help="write the result as JSON; - is standard output"
    )


def read_numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of numbers; write it like this: 0.1,0.5,0.9"
        ) from None


def read_shape(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no image shape; write it like this: 1,28,28"
        ) from None


def read_words(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
