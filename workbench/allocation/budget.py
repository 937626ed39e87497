"""Budgets: how much of the dense model to keep."""

import math
from dataclasses import dataclass

from workbench.errors import SettingsError
from workbench.names import suggest
from workbench.plan import check_sparsity

UNITS = ("params", "macs", "bytes", "latency")


@dataclass(frozen=True)
class Budget:
    """At most this part of the dense model.

    Attributes:
        unit: ``params`` (non-zero parameters), ``macs`` (theoretical), ``bytes`` (stored) or
            ``latency`` (time of a pass through the whole model, from measured tables).
        kept: Fraction of the dense model's, 0 < kept <= 1.

    Raises:
        SettingsError: If the unit is unknown or the fraction out of range.
    """

    unit: str
    kept: float

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SettingsError(f"There is no budget in {self.unit!r}.", suggest(self.unit, UNITS))
        if not isinstance(self.kept, int | float) or not 0 < self.kept <= 1:
            raise SettingsError(
                f"The budget keeps {self.kept!r} of {self.unit}.",
                "Give a fraction above 0 and up to 1, such as 0.5.",
            )

    def __str__(self) -> str:
        return f"{self.unit}={self.kept:g}"


def parse_budget(text: str) -> Budget:
    """Read a budget such as ``params=0.5``.

    Raises:
        SettingsError: If it is not a unit, an equals sign and a fraction.
    """
    unit, sign, value = text.partition("=")
    try:
        kept = float(value)
    except ValueError:
        kept = math.nan
    if not sign or math.isnan(kept):
        raise SettingsError(
            f"The budget {text!r} cannot be read.", "Write it like this: params=0.5."
        )
    return Budget(unit.strip(), kept)


@dataclass(frozen=True)
class Target:
    """What an allocation should meet: a sparsity or a budget.

    Attributes:
        sparsity: Part of the weights, or of the channels, that goes.
        budget: What stays of the dense model.
    """

    sparsity: float | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.budget is None):
            count = "none" if self.sparsity is None else "two"
            raise SettingsError(
                f"A plan needs one target; {count} given.", "Give either a sparsity or a budget."
            )
        if self.sparsity is not None:
            check_sparsity("The model", self.sparsity)
