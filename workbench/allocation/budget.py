"""Budgets: how much of the dense model to keep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from workbench.accounting import size_of_plan
from workbench.errors import PlanError, SettingsError
from workbench.groups import Groups
from workbench.names import suggest
from workbench.plan import PruningPlan

UNITS = ("params", "macs", "bytes")


class Levels(Protocol):
    """An allocation on a row of groups, as a single knob: a higher level prunes more."""

    top: int

    def level_of(self, sparsity: float) -> float:
        """The level at which that part of all weights, or of all channels, goes."""

    def sparsities(self, level: float) -> Mapping[str, float]:
        """Group name to sparsity at a level."""


@dataclass(frozen=True)
class Budget:
    """At most this part of the dense model.

    Attributes:
        unit: ``params`` (non-zero parameters), ``macs`` (theoretical) or ``bytes`` (stored).
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


def smallest_level(groups: Groups, plan: PruningPlan, levels: Levels, budget: Budget) -> int:
    """The lowest level, from 0 to ``levels.top``, at which a model meets a budget.

    Args:
        groups: Of the dense model.
        plan: All of the plan but its sparsities.
        levels: What a level prunes.
        budget: What to meet.

    Raises:
        PlanError: If even the highest level does not meet it.
    """

    def kept(level: int) -> float:
        size = size_of_plan(groups, plan.with_sparsities(levels.sparsities(level)))
        now, dense = {
            "params": (size.num_nonzero, size.num_params),
            "macs": (size.macs, size.dense_macs),
            "bytes": (size.bytes, size.dense_bytes),
        }[budget.unit]
        return now / max(1, dense)

    low, high = -1, levels.top
    if kept(high) > budget.kept:
        least = math.ceil(kept(high) * 1000) / 1000
        members = "groups" if groups.granularity.structured else "layers"
        raise PlanError(
            f"The budget {budget} cannot be met: the parts that stay dense are more than that.",
            f"Keep at least {budget.unit}={least:g} or protect fewer {members}.",
        )
    while high - low > 1:
        middle = (low + high) // 2
        if kept(middle) <= budget.kept:
            high = middle
        else:
            low = middle
    return high
