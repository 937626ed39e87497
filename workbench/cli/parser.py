"""What the command line understands."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import NoReturn

from workbench import __version__
from workbench.catalogue import methods_of
from workbench.cli import choices
from workbench.cli.allocation_options import (
    OF_ALLOCATION,
    USUAL_METHOD,
    add_allocation_options,
    add_floor_options,
    allocation_rules,
)
from workbench.cli.belonging import (
    Condition,
    add_rules,
    beside,
    given_options,
    needs,
    owned,
    refuse_idle,
)
from workbench.cli.choices import check_choice, list_choices
from workbench.cli.freeze_options import add_freeze_option
from workbench.cli.more_verbs import MORE_VERBS
from workbench.cli.quantise_options import add_quantise_after
from workbench.cli.shared_options import (
    DATA_HELP,
    MODEL_HELP,
    add_compute,
    add_data,
    add_json,
    add_model,
    offer,
    offer_device,
    read_numbers,
    read_words,
)
from workbench.cli.training_options import (
    TRAINING_CHOICES,
    add_training_options,
    training_rules,
)
from workbench.errors import SettingsError
from workbench.names import suggest

WIDTH = 100
GRANULARITY_HELP = "what goes together; N:M, blocks and sub-blocks take other numbers, too (weight)"
FACTORS = "2,4,8,16"
RAY_HELP = (
    "compute on a Ray cluster: HOST:PORT, ray://HOST:PORT, auto for the one that runs here, local "
    "to start one on all processors of this machine"
)
LEVELS = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95,0.99"
VERBS = {
    "run": "start the app in the browser (also without any verb)",
    "inspect": "list layers, groups and weight distributions",
    "sensitivity": "measure what pruning each layer or group alone costs",
    "allocate": "turn a target into a plan: one sparsity for each layer or group",
    "prune": "plan, prune, repair, fine-tune, measure and export",
    "arena": "let all methods compete at the same budgets, measured alike",
    "evaluate": "measure accuracy, loss, recall, size and latency",
    "export": "write the model as files that run elsewhere, and verify them",
} | {name: verb.does for name, verb in MORE_VERBS.items()}


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in the words of the workbench instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        head = message[:1].upper() + message[1:]
        raise SettingsError(f"{head.rstrip('.')}.", f"See {self.prog} --help.")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the words behind ``workbench``; without a verb they are those of ``run``.

    Raises:
        SettingsError: If a verb, an option or a choice is unknown, or a value is missing.
        SystemExit: With status 0, after printing help or the version.
    """
    words = list(words)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        words.insert(0, "run")
    if not words[0].startswith("-") and words[0] not in VERBS:
        raise SettingsError(f"There is no verb {words[0]!r}.", suggest(words[0], VERBS))
    parser, by_verb = _build()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        verb = by_verb[arguments.verb]
        options = [text for action in verb._actions for text in action.option_strings]
        word = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(word, options, 1) if word.startswith("-") else []
        hint = f"Did you mean {near[0]}? " if near else ""
        raise SettingsError(
            f"{verb.prog} does not take {unknown[0]!r}.", f"{hint}See {verb.prog} --help."
        )
    for what, offered in getattr(arguments, "offered", {}).items():
        value = getattr(arguments, what)
        if value is not None:
            check_choice(what.replace("_", " "), value, offered)
    verb = by_verb[arguments.verb]
    flags = {
        action.dest: next(iter(action.option_strings), str(action.metavar or action.dest))
        for action in verb._actions
    }
    refuse_idle(arguments, given_options(parser, verb, words), flags)
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """The whole parser, for documentation."""
    return _build()[0]


def _build() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="workbench", allow_abbrev=False, formatter_class=_Formatter,
        description="Prune trained networks: look, measure, prune, repair, fine-tune, export.",
        epilog=f"{list_choices('verbs', VERBS)}\n\nworkbench VERB --help says more about each.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"workbench {__version__}")
    parsers = parser.add_subparsers(
        dest="verb", metavar="VERB", help="what to do; run if left out", parser_class=_Parser
    )
    adders: dict[str, Callable[[argparse.ArgumentParser], None]] = {
        "run": _add_run, "inspect": _add_inspect, "sensitivity": _add_sensitivity,
        "allocate": _add_allocate, "prune": _add_prune, "arena": _add_arena,
        "evaluate": _add_evaluate, "export": _add_export,
    } | {name: verb.add_options for name, verb in MORE_VERBS.items()}  # fmt: skip
    by_verb: dict[str, argparse.ArgumentParser] = {}
    for name, add in adders.items():
        sentence = VERBS[name][:1].upper() + VERBS[name][1:] + "."
        verb = parsers.add_parser(
            name, allow_abbrev=False, formatter_class=_Formatter, description=sentence,
        )  # fmt: skip
        add(verb)
        verb.add_argument(
            "--debug", action="store_true", help="print the traceback of a fault of the workbench"
        )
        by_verb[name] = verb
    return parser, by_verb


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the project's lines, paragraphs kept."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=WIDTH)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=8501, help="port to listen on (%(default)s)")
    parser.add_argument("--home", metavar="FOLDER", help="where workspaces are kept")
    parser.add_argument("--device", metavar="NAME", help="where to compute (auto)")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="a Ray cluster that the sensitivity page offers to use"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    offer_device(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--granularity",
        metavar="NAME",
        default="channel",
        help="what goes together in the groups that are listed (%(default)s)",
    )
    add_json(parser)
    offer(parser, granularity=choices.GRANULARITIES)


def _add_sensitivity(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument("--granularity", metavar="NAME", default="weight", help=GRANULARITY_HELP)
    parser.add_argument(
        "--levels", metavar="A,B,...", type=read_numbers, default=read_numbers(LEVELS),
        help=f"sparsities, each between 0 and 1; N:M has one of its own ({LEVELS})",
    )  # fmt: skip
    parser.add_argument(
        "--samples", metavar="N", type=int, default=1000,
        help="validation images for each point (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--criterion", default="l1", help="how weights are ranked (%(default)s)")
    parser.add_argument(
        "--repair", default="none", help="what is done before each measurement (%(default)s)"
    )
    parser.add_argument("--precision", default="exact", help="how points are found (%(default)s)")
    parser.add_argument(
        "--half-width", metavar="FRACTION", type=float, default=0.01,
        help="of the 95 %% interval of the accuracy that will do with fast (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--cache", metavar="FOLDER", help="keep points here and do not measure them again"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help=RAY_HELP)
    add_freeze_option(parser)
    add_compute(parser)
    add_json(parser)
    offer(
        parser, granularity=choices.GRANULARITIES, criterion=choices.CRITERIA,
        repair=choices.REPAIRS, precision=choices.PRECISIONS,
    )  # fmt: skip
    add_rules(
        parser, needs(["half_width"], Condition("precision", ("fast",))),
        beside(["levels"], "granularity", "nm"),
    )  # fmt: skip


def _add_allocate(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument(
        "--method", default=USUAL_METHOD, help="how the target is spread over the layers; if left "
        "out %(default)s, which looks for the smallest loss, as the plan page does in one click",
    )  # fmt: skip
    _add_target(parser)
    parser.add_argument("--out", metavar="FILE", help="write the plan here, as YAML")
    add_floor_options(parser)
    add_allocation_options(parser)
    add_compute(parser)
    add_json(parser)
    offer(
        parser, method=choices.ALLOCATIONS, granularity=choices.GRANULARITIES,
        criterion=choices.CRITERIA, repair=choices.REPAIRS, precision=choices.PRECISIONS,
        unit=choices.BUDGETS,
    )  # fmt: skip
    parser.epilog = f"{parser.epilog}\n\n{list_choices('budget', choices.BUDGETS)}"
    add_rules(parser, needs(["unit"], Condition("floor")), allocation_rules("repair"))


def _add_prune(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument("--plan", metavar="FILE", help="a plan in YAML; or give --method")
    parser.add_argument("--method", help="how the target is spread over the layers")
    _add_target(parser)
    parser.add_argument(
        "--repair", default="full", help="recovery without labels after pruning (%(default)s)"
    )
    add_training_options(parser)
    add_allocation_options(parser)
    parser.add_argument("--out", metavar="DIR", help="export to this folder; no export if left out")
    add_quantise_after(parser)
    add_compute(parser)
    add_json(parser)
    offer(
        parser, method=choices.ALLOCATIONS, granularity=choices.GRANULARITIES,
        criterion=choices.CRITERIA, repair=choices.REPAIRS, precision=choices.PRECISIONS,
        **TRAINING_CHOICES,
    )  # fmt: skip
    parser.epilog = f"{parser.epilog}\n\n{list_choices('budget', choices.BUDGETS)}"
    add_rules(parser, beside(OF_ALLOCATION, "plan"), allocation_rules(), training_rules())


def _add_arena(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument("--granularity", metavar="NAME", default="weight", help=GRANULARITY_HELP)
    parser.add_argument("--unit", default="params", help="what a budget counts (%(default)s)")
    parser.add_argument(
        "--factors", metavar="A,B,...", type=read_numbers, default=read_numbers(FACTORS),
        help=f"budgets: one part in so many of the dense model's is kept ({FACTORS})",
    )  # fmt: skip
    parser.add_argument(
        "--methods", metavar="A,B,...", type=read_words, help="who competes; all if left out"
    )
    parser.add_argument(
        "--plan", metavar="FILE", help="a plan of your own in YAML, which competes as well"
    )
    parser.add_argument("--criterion", default="l1", help="how weights are ranked (%(default)s)")
    parser.add_argument(
        "--channel-multiple", metavar="N", type=int, default=1,
        help="round the channels that stay to a multiple; channel only (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--repair", default="full", help="recovery before measuring, for all (%(default)s)"
    )
    parser.add_argument(
        "--repair-samples", metavar="N", type=int, default=1000,
        help="calibration images of the repair (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--finetune-epochs", metavar="N", type=int, default=0,
        help="train everybody for so long after that (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--samples", metavar="N", type=int, default=1000,
        help="validation images, the same for all (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--refine", metavar="N", type=int, default=0,
        help="measure N plans to better the optimal one, which competes as well (%(default)s)",
    )  # fmt: skip
    add_freeze_option(parser)
    parser.add_argument("--time", action="store_true", help="time every model beside the dense one")
    parser.add_argument(
        "--cache", metavar="FOLDER", help="keep what is measured here, and go on from there"
    )
    add_compute(parser)
    add_json(parser)
    offer(
        parser, unit=choices.BUDGETS, granularity=choices.GRANULARITIES,
        criterion=choices.CRITERIA, repair=choices.REPAIRS,
    )  # fmt: skip
    parser.epilog = f"{parser.epilog}\n\n{list_choices('methods', choices.ALLOCATIONS)}"
    add_rules(parser, owned("repair", methods_of("repair")))


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument("--split", default="test", help="which images (%(default)s)")
    parser.add_argument("--samples", metavar="N", type=int, help="at most so many images; all")
    add_compute(parser, seed=False)
    add_json(parser)
    offer(parser, split=choices.SPLITS)


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(parser)
    parser.add_argument("--format", default="all", help="what to write (%(default)s)")
    parser.add_argument(
        "--out", metavar="FILE", required=True,
        help="a file; a folder for the format all, or where it is one already",
    )  # fmt: skip
    parser.add_argument(
        "--samples", metavar="N", type=int, default=256,
        help="images to compare on (%(default)s)",
    )  # fmt: skip
    add_json(parser)
    offer(parser, format=choices.FORMATS)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget", metavar="UNIT=KEPT", help="part of the dense model to keep, as params=0.5"
    )
    parser.add_argument(
        "--sparsity", metavar="S", type=float,
        help="part to prune of the weights, or of the channels, that may be pruned, 0 to 0.99",
    )  # fmt: skip
    parser.add_argument(
        "--protect", metavar="A,B,...", type=read_words,
        help="layers or groups to leave dense; the classifier if left out, '' for none",
    )  # fmt: skip
    parser.add_argument("--granularity", metavar="NAME", help=GRANULARITY_HELP)
    parser.add_argument(
        "--channel-multiple", metavar="N", type=int,
        help="round the channels that stay to a multiple, such as 8; channel only (1)",
    )  # fmt: skip
    parser.add_argument("--criterion", help="how weights are ranked (l1)")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; choose a number from 1 to 65535")
    return int(text)
