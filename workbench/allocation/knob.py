"""Allocations that are one knob: a higher level prunes more, and the target sets the level."""

import math
from collections.abc import Mapping
from typing import Protocol

from workbench.allocation.budget import Budget
from workbench.allocation.costs import Costs
from workbench.allocation.pool import Pool
from workbench.errors import PlanError, SparsityError


class Levels(Protocol):
    """An allocation on a row of groups, as a single knob: a higher level prunes more."""

    top: int

    def level_of(self, sparsity: float) -> float:
        """The level at which that part of all weights, or of all channels, goes."""

    def sparsities(self, level: float) -> Mapping[str, float]:
        """Group name to sparsity at a level from 0 to ``top``."""


def smallest_level(pool: Pool, levels: Levels, budget: Budget) -> int:
    """The lowest level, from 0 to ``levels.top``, at which a model meets a budget.

    Args:
        pool: The groups.
        levels: What a level prunes.
        budget: What to meet.

    Raises:
        PlanError: If even the highest level does not meet it.
    """
    costs = Costs(pool, budget.unit)

    def kept(level: int) -> float:
        return costs.kept(levels.sparsities(level)) / max(costs.dense, 1e-12)

    low, high = -1, levels.top
    if kept(high) > budget.kept:
        raise unmet(pool, budget, kept(high))
    while high - low > 1:
        pool.check()
        middle = (low + high) // 2
        if kept(middle) <= budget.kept:
            high = middle
        else:
            low = middle
    return high


def nearest_level(pool: Pool, levels: Levels, sparsity: float) -> int:
    """The level at which the part of all weights, or of all channels, that goes comes nearest.

    Raises:
        SparsityError: If so much cannot go.
    """
    wanted = math.floor(sparsity * pool.num_units + 0.5)

    def gone(level: int) -> int:
        return pool.num_pruned(levels.sparsities(level))

    low, high = -1, levels.top
    most = gone(high)
    if most < wanted and pool.kind in ("weight", "channel") and pool.multiple == 1:
        raise too_sparse(pool, sparsity, most)
    while high - low > 1:
        pool.check()
        middle = (low + high) // 2
        if gone(middle) >= wanted:
            high = middle
        else:
            low = middle
    if high and wanted - gone(high - 1) < gone(high) - wanted:
        return high - 1
    return high


def unmet(pool: Pool, budget: Budget, least: float) -> PlanError:
    """The refusal of a budget that cannot be met.

    Args:
        pool: The groups.
        budget: What was asked for.
        least: Part of the dense model that stays all the same.
    """
    members = "groups" if pool.kind == "channel" else "layers"
    keep = f"Keep at least {budget.unit}={math.ceil(least * 1000) / 1000:g}"
    if pool.bounds or pool.locked:
        return PlanError(
            f"The budget {budget} cannot be met within these bounds and locks.",
            f"{keep}, widen the bounds or lock fewer {members}.",
        )
    return PlanError(
        f"The budget {budget} cannot be met: the parts that stay dense are more than that.",
        f"{keep} or protect fewer {members}.",
    )


def too_sparse(pool: Pool, sparsity: float, most: int) -> SparsityError:
    """The refusal of a sparsity that cannot be reached; ``most`` is how much can go."""
    unit = pool.all.granularity.unit
    return SparsityError(
        f"Sparsity {sparsity:.6g} cannot be reached: at most {most:,} of {pool.num_units:,} "
        f"{unit}s can go this way.",
        f"Choose at most {math.floor(most / pool.num_units * 1000) / 1000:g}"
        + (", or widen the bounds." if pool.bounds else "."),
    )
