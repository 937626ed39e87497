"""The problem of the methods that need curves, as tables: choices, their damage and their cost."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.allocation.budget import Target
from workbench.allocation.costs import UNITS, Array, Bill, Costs, Counts
from workbench.allocation.damage import Damage, increases, predictor_of
from workbench.allocation.knob import too_sparse, unmet
from workbench.allocation.pool import ROUNDING, Pool
from workbench.groups import Group

SLACK = 1e-9
"""Rounding of sums of costs, as a part of them."""
Chosen = list[int]
"""For each group the number of its choice."""


@dataclass(frozen=True)
class Tables:
    """Choices of every member, fewest units first, and what each does and costs.

    Attributes:
        counts: For each member the numbers of units that may go, rising.
        increases: Predicted loss increase of each choice, never falling.
        damages: What each adds to the predicted damage (see ``Damage``), never falling.
        bill: What each keeps.
        limit: The most that may be kept in all.
    """

    counts: list[Counts]
    increases: list[Array]
    damages: list[Array]
    bill: Bill
    limit: float

    @property
    def most(self) -> float:
        """The limit with room for rounding."""
        return self.limit + SLACK * abs(self.limit)

    def damage(self, chosen: Sequence[int]) -> float:
        """All that the choices add up to."""
        return sum(float(own[i]) for own, i in zip(self.damages, chosen, strict=True))

    def fits(self, chosen: Sequence[int]) -> bool:
        """Whether the choices meet the target."""
        return self.bill.total(chosen) <= self.most

    def taken(self, chosen: Sequence[int]) -> list[int]:
        """The numbers of units that go."""
        return [int(own[i]) for own, i in zip(self.counts, chosen, strict=True)]

    def nearest(self, counts: Sequence[int]) -> Chosen:
        """The choices of these numbers, or the next that take more; the last where none does."""
        return [
            min(int(np.searchsorted(own, count)), len(own) - 1)
            for own, count in zip(self.counts, counts, strict=True)
        ]


class Problem:
    """What the damages and costs of a pool's choices are, for any choice of choices.

    Groups are cut no further than their curves were measured, unless the target asks for it.

    Args:
        pool: The groups, with curves.
        target: What to meet.

    Raises:
        PlanError: If a budget cannot be met.
        SparsityError: If a sparsity cannot be.
    """

    def __init__(self, pool: Pool, target: Target) -> None:
        self.pool = pool
        predictor = predictor_of(pool)
        self._curves = [predictor.curves[group.name] for group in pool.members]
        if target.budget is not None:
            self.costs = Costs(pool, target.budget.unit)
            self.limit = self.costs.limit(target.budget.kept)
        else:
            assert target.sparsity is not None
            self.costs = Costs(pool, UNITS)
            self.limit = pool.num_units - math.floor(target.sparsity * pool.num_units + 0.5)
        self._allowed = [pool.counts(group) for group in pool.members]
        self._measured = [
            self._within(group, own, curve.levels[-1])
            for group, own, curve in zip(pool.members, self._allowed, self._curves, strict=True)
        ]
        if not self._reached(self._measured):
            self._measured = self._allowed
            if not self._reached(self._allowed):
                raise self._refusal(target)
        largest = [
            float(increases(curve, self._sparsities(group, np.array([own[-1]])))[0])
            for group, own, curve in zip(pool.members, self._measured, self._curves, strict=True)
        ]
        self._damage = Damage(predictor, max(largest))

    @property
    def counts(self) -> list[Sequence[int]]:
        """For each member all numbers of units that may go."""
        return self._measured

    def tables(self, choose: Callable[[int, Sequence[int]], Sequence[int] | Counts]) -> Tables:
        """Tables of some of the choices.

        Args:
            choose: The number of a member and all its counts to those that are wanted, in any
                order.
        """
        counts = [
            np.unique(np.asarray(choose(i, own), dtype=np.int64))
            for i, own in enumerate(self._measured)
        ]
        sparsities = [
            self._sparsities(group, own)
            for group, own in zip(self.pool.members, counts, strict=True)
        ]
        pairs = zip(self._curves, sparsities, strict=True)
        rising = [increases(curve, own) for curve, own in pairs]
        damages = [self._damage.addend(*both) for both in zip(rising, sparsities, strict=True)]
        return Tables(counts, rising, damages, self.costs.bill(counts), self.limit)

    def sparsities(self, counts: Sequence[int]) -> dict[str, float]:
        """Group name to the exact quotient of each number of units."""
        return {
            group.name: self.pool.sparsity_of(group, count)
            for group, count in zip(self.pool.members, counts, strict=True)
        }

    def _within(self, group: Group, counts: Sequence[int], level: float) -> Sequence[int]:
        """Those of the counts that do not go beyond a level; at least the first."""
        if self.pool.kind == "nm":
            return counts
        most = math.floor(level * group.num_units + ROUNDING)
        return between(counts, counts[0], most) or counts[:1]

    def _sparsities(self, group: Group, counts: Counts) -> Array:
        if self.pool.kind == "nm":
            return np.array([self.pool.sparsity_of(group, int(count)) for count in counts])
        return counts / group.num_units

    def _reached(self, allowed: Sequence[Sequence[int]]) -> bool:
        return self._least(allowed) <= self.limit + SLACK * abs(self.limit)

    def _least(self, allowed: Sequence[Sequence[int]]) -> float:
        last = [np.array([own[-1]], dtype=np.int64) for own in allowed]
        return self.costs.bill(last).total([0] * len(last))

    def _refusal(self, target: Target) -> Exception:
        least = self._least(self._allowed)
        if target.budget is not None:
            return unmet(self.pool, target.budget, least / max(self.costs.dense, 1e-12))
        assert target.sparsity is not None
        return too_sparse(self.pool, target.sparsity, round(self.pool.num_units - least))


def spaced(counts: Sequence[int], most: int) -> Sequence[int]:
    """At most so many of the counts, evenly, with both ends."""
    if len(counts) <= most:
        return counts
    places = np.unique(np.linspace(0, len(counts) - 1, most).round().astype(int))
    return [counts[place] for place in places.tolist()]


def between(counts: Sequence[int], least: int, most: int) -> Sequence[int]:
    """The counts from the least to the most."""
    return counts[bisect_left(counts, least) : bisect_right(counts, most)]
