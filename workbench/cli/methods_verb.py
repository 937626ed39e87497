"""The verb ``methods``: the catalogue as text, which needs nothing heavy, and what is measured."""

import textwrap
from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

from workbench.catalogue import find_all, search
from workbench.cli.output import check_json_target, write_result
from workbench.errors import SettingsError
from workbench.method import FAMILIES, NEEDS, Method
from workbench.names import suggest

if TYPE_CHECKING:
    from workbench.cli.verbs import Outcome

WIDTH = 100


def tell(arguments: Namespace) -> None:
    """List the methods, or tell of one in full, and write it where it is asked for.

    Raises:
        SettingsError: See ``methods``.
    """
    check_json_target(arguments.json)
    write_result(arguments.json, *methods(arguments))


def methods(arguments: Namespace) -> "Outcome":
    """List the methods or tell of one; with a model, try one or time all of them.

    Raises:
        SettingsError: If there is no such method or family, no model to measure, or nothing to
            measure on it.
    """
    measures = arguments.tries or arguments.costs
    if not arguments.model:
        if measures:
            raise SettingsError(
                "There is no model to try a method on.", "Name one: --model digits-mlp."
            )
        return _found(arguments)
    if not measures:
        raise SettingsError(
            "A model was given, but nothing to do with it.", "Add --try or --costs."
        )
    if arguments.costs and (
        arguments.method or arguments.tries or arguments.family or arguments.search
    ):
        raise SettingsError(
            "--costs times every method there is.",
            "Leave out the name, --try, --family and --search.",
        )
    measuring = import_module("workbench.cli.trying_verb")
    outcome: Outcome = (measuring.costs if arguments.costs else measuring.trial)(arguments)
    return outcome


def _found(arguments: Namespace) -> tuple[Mapping[str, object], str]:
    """What is asked for, as plain values and as text."""
    if arguments.method:
        found = find_all(arguments.method, arguments.family)
        values = [{"family": family, **asdict(method)} for family, method in found]
        return {"methods": values}, "\n\n".join(_in_full(*one) for one in found)
    if arguments.family and arguments.family not in FAMILIES:
        raise SettingsError(
            f"There is no family {arguments.family!r}.", suggest(arguments.family, FAMILIES)
        )
    listed = {
        family: those
        for family, those in search(arguments.search).items()
        if arguments.family in ("", family)
    }
    values = [
        {"family": family, **asdict(method)}
        for family, those in listed.items()
        for method in those.values()
    ]
    text = "\n\n".join(_list(family, those.values()) for family, those in listed.items())
    more = "workbench methods NAME tells of one in full."
    return {"methods": values}, f"{text or 'No method tells of all these words.'}\n\n{more}"


def _list(family: str, those: Iterable[Method]) -> str:
    """A heading and a line for each method."""
    lines = [f"{FAMILIES[family]} ({family})"]
    for method in those:
        lines += textwrap.wrap(
            method.summary, WIDTH, initial_indent=f"  {method.name:18}",
            subsequent_indent=" " * 20,
        )  # fmt: skip
    return "\n".join(lines)


def _in_full(family: str, method: Method) -> str:
    """Everything about one method."""
    parts = [
        f"{method.title} ({family} {method.name})",
        method.summary,
        method.explanation,
        f"Formula: {method.formula}" if method.formula else "",
        f"Paper: {method.paper}" if method.paper else "Paper: none, it is the workbench's own.",
        "Needs: " + " ".join(NEEDS[need] for need in method.needs),
        f"Strengths: {method.strengths}",
        f"Limits: {method.limits}",
    ]
    return "\n\n".join(
        part if part.startswith("Formula") else textwrap.fill(part, WIDTH, break_on_hyphens=False)
        for part in parts
        if part
    )
