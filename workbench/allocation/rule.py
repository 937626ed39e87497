"""What an allocation is: one rule that spreads a target over groups, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workbench.allocation.budget import Target
from workbench.allocation.knob import Levels, smallest_level
from workbench.allocation.problem import Problem
from workbench.method import Method

if TYPE_CHECKING:
    from workbench.allocation.pool import Pool

Spread = Callable[["Pool", Target], Mapping[str, float]]
"""Makes sparsities of the members of a pool that meet a target."""


class Solver(Protocol):
    """Finds what to cut in a problem."""

    def counts(self) -> list[int]:
        """How many units of each group go."""


@dataclass(frozen=True, kw_only=True)
class Allocation(Method):
    """One way to spread a target over the groups.

    Attributes:
        spread: Makes the sparsities.
    """

    spread: Spread

    @property
    def needs_curves(self) -> bool:
        """Whether it needs to know what cutting each group alone costs."""
        return "curves" in self.needs


def by_level(make: Callable[[Pool], Levels]) -> Spread:
    """An allocation that is one knob, which the target sets."""

    def spread(pool: Pool, target: Target) -> Mapping[str, float]:
        return meet_target(pool, make(pool), target)

    return spread


def meet_target(pool: Pool, levels: Levels, target: Target) -> Mapping[str, float]:
    """The sparsities at the level that meets a target.

    Raises:
        PlanError: If a budget cannot be met.
        SparsityError: If a sparsity cannot be.
    """
    if target.budget is not None:
        return levels.sparsities(smallest_level(pool, levels, target.budget))
    assert target.sparsity is not None
    return levels.sparsities(levels.level_of(target.sparsity))


def by_damage(make: Callable[[Problem], Solver]) -> Spread:
    """An allocation that weighs predicted damages against costs."""

    def spread(pool: Pool, target: Target) -> Mapping[str, float]:
        problem = Problem(pool, target)
        return problem.sparsities(make(problem).counts())

    return spread
