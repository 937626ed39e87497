"""A method of the field as a page, the command line and a test see it."""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path

NEEDS: dict[str, str] = {
    "weights": "The weights alone.",
    "curves": "Sensitivity curves.",
    "images": "Images without labels (calibration split).",
    "labels": "Images with labels (training split).",
    "validation": "Images with labels (validation split).",
    "test": "Images with labels, for the final number (test split).",
    "gradients": "Gradients of the loss on labelled training images.",
    "training": "Training steps on labelled training images.",
}
"""What a method may need, the least demanding first."""

FAMILIES: dict[str, str] = {
    "criterion": "Criteria: which weights or channels go first",
    "allocation": "Allocation: how much goes where",
    "repair": "Repair after the cut",
    "schedule": "Schedules: when the cut is made",
    "sparse_training": "Sparse training: zeros that training makes",
    "finetuning": "Fine-tuning",
    "replacement": "Quantisation and weight replacement",
    "ensemble": "Ensembles",
    "corruption": "Corruptions that test robustness",
}
"""Kinds of methods, in the order of the road."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method and all that is told of it; what it does is a field of each family's own kind.

    Attributes:
        name: The word used in plans, settings and on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
        explanation: A paragraph: the idea, what happens step by step, when to reach for it.
        formula: LaTeX, without dollar signs; empty where there is none.
        paper: ``Authors year, "Title", section``; empty where it is ours.
        needs: Names in ``NEEDS``.
        options: Names of the settings and options that are its own: they mean nothing where no
            method that names them is chosen. A setting that no method names belongs to all.
        strengths: A sentence or two.
        limits: A sentence or two, honest.
    """

    name: str
    title: str
    summary: str
    explanation: str
    formula: str = ""
    paper: str = ""
    needs: tuple[str, ...] = ("weights",)
    options: tuple[str, ...] = ()
    strengths: str
    limits: str


def discover(package: str, folder: str) -> dict[str, Method]:
    """The methods of a package: each module there that has a ``METHOD`` adds it.

    A new method is therefore one new file. The least demanding come first, then by name; a module
    that others share has no ``METHOD``.

    Args:
        package: Dotted name of the package.
        folder: The package's ``__file__``.
    """
    found = []
    for info in pkgutil.iter_modules([str(Path(folder).parent)]):
        module = importlib.import_module(f"{package}.{info.name}")
        if isinstance(method := getattr(module, "METHOD", None), Method):
            found.append(method)
    demands = list(NEEDS)
    found.sort(key=lambda one: (max(map(demands.index, one.needs)), one.name))
    return {method.name: method for method in found}
