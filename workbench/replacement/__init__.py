"""Quantisation and weight replacement: what may stand in the place of a network's weights.

One file, one method: what it does, what is told of it, its formula and its paper. A file that is
put here with a ``METHOD`` is found by itself.
"""

from typing import cast

from workbench.errors import SettingsError
from workbench.method import discover
from workbench.names import suggest
from workbench.replacement.kind import Replacement
from workbench.replacement.settings import METHODS, ReplacementSettings, parse_replacement

__all__ = [
    "METHODS",
    "REPLACEMENTS",
    "Replacement",
    "ReplacementSettings",
    "get_replacement",
    "parse_replacement",
]

_FOUND = cast(dict[str, Replacement], discover(__name__, __file__))
REPLACEMENTS: dict[str, Replacement] = {
    name: _FOUND[name] for name in sorted(_FOUND, key=[*METHODS].index)
}


def get_replacement(name: str) -> Replacement:
    """The replacement of that name.

    Raises:
        SettingsError: If there is none.
    """
    if name not in REPLACEMENTS:
        raise SettingsError(f"There is no replacement {name!r}.", suggest(name, REPLACEMENTS))
    return REPLACEMENTS[name]
