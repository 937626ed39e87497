"""The named choices of the command line, each with one sentence.

These tables let ``--help`` answer without importing torch: methods tell of themselves through the
catalogue, and a test keeps all of them equal to the registries of the core.
"""

from collections.abc import Iterable, Mapping

from workbench import criteria
from workbench.catalogue import summaries
from workbench.errors import SettingsError
from workbench.granularity import EXAMPLES, parse_granularity
from workbench.names import suggest

GRANULARITIES = {name: parse_granularity(name).summary for name in EXAMPLES}
CRITERIA = {name: criterion.summary for name, criterion in criteria.CRITERIA.items()}
ALLOCATIONS = summaries("allocation")
REPAIRS = summaries("repair")
PRECISIONS = {
    "exact": "Measures every layer at every level on all images.",
    "fast": "Takes as few images and levels as the half-width allows; interpolates the rest.",
}
FORMATS = {
    "all": "A folder with every format below, the plan and a report.",
    "onnx": "Runs in ONNX Runtime and many other engines, without PyTorch.",
    "pt2": "Runs in PyTorch through torch.export.load, without the network's source code.",
    "safetensors": "The weights, and a model.py that rebuilds the network from them with PyTorch "
    "alone.",
}
DEVICES = {
    "auto": "CUDA where present, else MPS, else the CPU.",
    "cpu": "The processor.",
    "cuda": "An NVIDIA or AMD graphics processor; cuda:1 is the second.",
    "mps": "The graphics processor of a Mac.",
}
SPLITS = {
    "test": "Images for final numbers.",
    "validation": "Images held out of training, for choices.",
}
CORRUPTIONS = summaries("corruption")
ENSEMBLES = summaries("ensemble")
BUDGETS = {
    "params": "Non-zero parameters.",
    "macs": "Theoretical multiply-accumulates.",
    "bytes": "Stored size, zeros left out.",
    "latency": "Time of a pass on this machine, from measured times of every group; channel only.",
}


def check_choice(what: str, name: str, choices: Iterable[str]) -> str:
    """The name itself if it is a choice.

    Args:
        what: The option's name, as in ``criterion``.
        name: What was asked for.
        choices: What there is.

    Raises:
        SettingsError: With the nearest choice.
        PlanError: If there is no such granularity; any N:M and any block is one.
    """
    if what == "granularity":
        return parse_granularity(name).name
    names = list(choices)
    if name in names:
        return name
    raise SettingsError(f"There is no {what} {name!r}.", suggest(name, names))


def list_choices(title: str, choices: Mapping[str, str]) -> str:
    """A paragraph of help: the title, then a line for each choice."""
    width = max(map(len, choices)) + 2
    lines = [f"{title}:"]
    for name, sentence in choices.items():
        lines.append(f"  {name:{width}}{sentence}")
    return "\n".join(lines)
