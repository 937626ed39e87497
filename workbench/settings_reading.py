"""How every kind of settings reads plain values back, and refuses numbers out of range."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from workbench.errors import SettingsError
from workbench.names import suggest


def known_values(cls: type, values: object, kind: str) -> dict[str, Any]:
    """The values of a settings dataclass, as they were written down.

    Args:
        cls: The dataclass.
        values: What was read.
        kind: What the settings are of, as in ``fine-tuning``.

    Raises:
        SettingsError: If it is no mapping or holds a setting that there is not.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(
            f"The {kind} settings are a {type(values).__name__}, not a mapping.",
            "Write one 'name: value' per line.",
        )
    known = [field.name for field in fields(cls)]
    for name in values:
        if name not in known:
            raise SettingsError(f"There is no {kind} setting {name!r}.", suggest(name, known))
    return dict(values)


def check_number(name: str, value: object, low: float, high: float, whole: bool = False) -> None:
    """Refuse a number out of range.

    Raises:
        SettingsError: With the name, the value and the range.
    """
    kinds = int if whole else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or not low <= value <= high or not math.isfinite(value):  # type: ignore[operator, arg-type]
        kind = "whole number" if whole else "number"
        raise SettingsError(f"{name} is {value!r}.", f"Choose a {kind} from {low:g} to {high:,g}.")
