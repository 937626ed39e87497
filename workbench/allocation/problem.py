"""The problem of the methods that need curves, as tables: choices, their damage and their cost."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.allocation.budget import Target
from workbench.allocation.costs import UNITS, Array, Bill, Costs, Counts
from workbench.allocation.damage import Curves, Damage, predictor_of
from workbench.allocation.knob import too_sparse, unmet
from workbench.allocation.pool import ROUNDING, Pool, between
from workbench.groups import Group

SLACK = 1e-9
"""Rounding of sums of costs, as a part of them."""


@dataclass(frozen=True)
class Tables:
    """Choices of every member, fewest units first, and what each does and costs.

    Rows are ``(groups, choices)``; short ones repeat their last choice with infinite damage.

    Attributes:
        counts: Numbers of units that may go, rising.
        sizes: How many choices each group has.
        increases: Predicted loss increase of each choice, never falling.
        damages: What each adds to the predicted damage (see ``Damage``), rising.
        bill: What each keeps.
        limit: The most that may be kept in all.
    """

    counts: Counts
    sizes: Counts
    increases: Array
    damages: Array
    bill: Bill
    limit: float

    @property
    def most(self) -> float:
        """The limit with room for rounding."""
        return self.limit + SLACK * abs(self.limit)

    def damage(self, chosen: Counts) -> float:
        """All that the choices add up to."""
        return float(self.damages[self.bill.numbers, chosen].sum())

    def fits(self, chosen: Counts) -> bool:
        """Whether the choices meet the target."""
        return self.bill.total(chosen) <= self.most

    def taken(self, chosen: Counts) -> list[int]:
        """The numbers of units that go."""
        counts: list[int] = self.counts[self.bill.numbers, chosen].tolist()
        return counts

    def nearest(self, counts: Sequence[int]) -> Counts:
        """The choices of these numbers, or the next that take more; the last where none does."""
        before = (self.counts < np.array(counts)[:, None]).sum(1)
        return np.asarray(np.minimum(before, self.sizes - 1))


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
        predictor = predictor_of(pool.curves, pool.model.num_classes)
        self._curves = Curves([predictor.curves[group.name] for group in pool.members])
        if target.budget is not None:
            self.costs = Costs(pool, target.budget.unit)
            self.limit = self.costs.limit(target.budget.kept)
        else:
            assert target.sparsity is not None
            self.costs = Costs(pool, UNITS)
            self.limit = pool.num_units - math.floor(target.sparsity * pool.num_units + 0.5)
        self._allowed = [pool.counts(group) for group in pool.members]
        levels = self._curves.last_levels[:, 0].tolist()
        self._measured = [
            self._within(group, own, level)
            for group, own, level in zip(pool.members, self._allowed, levels, strict=True)
        ]
        if not self._reached(self._measured):
            self._measured = self._allowed
            if not self._reached(self._allowed):
                raise self._refusal(target)
        last = np.array([[own[-1]] for own in self._measured])
        largest = float(self._curves.at(self._sparsities(last)).max())
        self._damage = Damage(predictor, largest)

    @property
    def counts(self) -> list[Sequence[int]]:
        """For each member all numbers of units that may go."""
        return self._measured

    @cached_property
    def units(self) -> Array:
        """Units of each member; at N:M one."""
        if self.pool.kind == "nm":
            return np.ones(len(self.pool.members))
        return np.array([group.num_units for group in self.pool.members], dtype=float)

    def tables(self, choose: Callable[[int, Sequence[int]], Sequence[int] | Counts]) -> Tables:
        """Tables of some of the choices.

        Args:
            choose: The number of a member and all its counts to those that are wanted, in any
                order.
        """
        rows = [
            np.unique(np.asarray(choose(i, own), dtype=np.int64))
            for i, own in enumerate(self._measured)
        ]
        sizes = np.array([len(row) for row in rows])
        counts = np.empty((len(rows), int(sizes.max())), dtype=np.int64)
        for i, row in enumerate(rows):
            counts[i, : len(row)] = row
            counts[i, len(row) :] = row[-1]
        sparsities = self._sparsities(counts)
        rising = self._curves.at(sparsities)
        damages = self._damage.addend(rising, sparsities)
        damages[np.arange(counts.shape[1]) >= sizes[:, None]] = np.inf
        return Tables(counts, sizes, rising, damages, self.costs.bill(counts), self.limit)

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

    def _sparsities(self, counts: Counts) -> Array:
        pool = self.pool
        units = np.array([[pool.sparsity_of(group, 1)] for group in pool.members])
        return np.asarray(counts * units)

    def _reached(self, allowed: Sequence[Sequence[int]]) -> bool:
        return self._least(allowed) <= self.limit + SLACK * abs(self.limit)

    def _least(self, allowed: Sequence[Sequence[int]]) -> float:
        last = np.array([[own[-1]] for own in allowed])
        return self.costs.bill(last).total(np.zeros(len(last), dtype=np.int64))

    def _refusal(self, target: Target) -> Exception:
        least = self._least(self._allowed)
        if target.budget is not None:
            return unmet(self.pool, target.budget, least / max(self.costs.dense, 1e-12))
        assert target.sparsity is not None
        return too_sparse(self.pool, target.sparsity, round(self.pool.num_units - least))


def spaced(counts: Sequence[int], most: int) -> Sequence[int] | Counts:
    """At most so many of the counts, evenly, with both ends."""
    if len(counts) <= most:
        return counts
    places = np.linspace(0, len(counts) - 1, most).round().astype(np.int64)
    if isinstance(counts, range):
        return counts.start + places
    return np.asarray(counts)[places]


def give_back_(problem: Problem, counts: list[int], left: float, order: Sequence[int]) -> None:
    """Prune less of some layers, one after another, as far as what is left allows; not channels.

    Args:
        problem: Of weights, blocks or kernels.
        counts: Units of each layer that go; changed in place.
        left: How much more may be kept.
        order: Numbers of the layers.
    """
    for i in order:
        allowed = problem.counts[i]
        high = bisect_left(allowed, counts[i])
        low, now = -1, problem.costs.of_count(i, counts[i])
        while high - low > 1:
            middle = (low + high) // 2
            fits = problem.costs.of_count(i, allowed[middle]) - now <= left
            low, high = (low, middle) if fits else (middle, high)
        left -= problem.costs.of_count(i, allowed[high]) - now
        counts[i] = allowed[high]
