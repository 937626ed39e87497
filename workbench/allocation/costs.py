"""What a plan keeps, in the unit of its target: exactly, and as tables for the optimisers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.accounting import BYTES_PER_PARAM, size_without
from workbench.allocation.latencies import TimeModel
from workbench.allocation.pool import ROUNDING, Members
from workbench.errors import PlanError

UNITS = "units"
"""Weights, or channels, of the members: the unit of a target that is a sparsity."""
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Bill:
    """What is kept, as a function of the choice of every group.

    With the share s and the own cost a of the choices: ``fixed + sum(once * s)
    + sum(twice * s ** 2) + sum of both[g, h] * s[g] * s[h] over pairs g < h + sum(a)``.

    Attributes:
        fixed: What always stays.
        once: ``(groups,)``.
        twice: ``(groups,)``.
        both: ``(groups, groups)``, symmetric, 0 on the diagonal.
        shares: Share of every choice, ``(groups, choices)``.
        own: Cost of every choice by itself, ``(groups, choices)``; the squares are in it.
    """

    fixed: float
    once: Array
    twice: Array
    both: Array
    shares: Array
    own: Array

    @cached_property
    def separable(self) -> bool:
        """Whether what a group costs does not depend on the others."""
        return not self.both.any()

    @cached_property
    def numbers(self) -> Counts:
        """The groups from 0, to pick one choice of each."""
        return np.arange(len(self.once))

    def costs(self, rates: Array) -> Array:
        """What every choice of a group costs, others as they are, ``(groups, choices)``.

        Args:
            rates: See ``rates``; at what is chosen now.
        """
        return np.asarray(self.own + self.shares * rates[:, None])

    def rates(self, chosen: Counts) -> Array:
        """What a share of each group costs at these choices: ``once + both @ shares``."""
        return np.asarray(self.once + self.both @ self.shares[self.numbers, chosen])

    def total(self, chosen: Counts) -> float:
        """All that is kept."""
        share = self.shares[self.numbers, chosen]
        own = float(self.own[self.numbers, chosen].sum())
        return self.fixed + own + float(share @ (self.once + self.both @ share / 2))


class Costs:
    """What plans for the groups of a pool keep, in one unit.

    Args:
        pool: The groups.
        unit: Of a budget, or ``units`` for weights or channels of the members.

    Raises:
        PlanError: If the unit is latency and nothing was measured, or zeros cannot save time.
    """

    def __init__(self, pool: Members, unit: str) -> None:
        self._pool, self.unit = pool, unit
        self.dense: float = {
            UNITS: pool.num_units,
            "params": pool.all.inspection.num_params,
            "macs": pool.all.inspection.macs,
            "bytes": BYTES_PER_PARAM * pool.all.inspection.num_params,
            "latency": self._times.relative({}) if unit == "latency" else 0,
        }[unit]

    @cached_property
    def _times(self) -> TimeModel:
        if self._pool.kind != "channel":
            raise PlanError(
                "Latency cannot be a budget for weights: zeros in a layer do not make it faster.",
                "Choose granularity 'channel', or a budget in params, macs or bytes.",
            )
        if self._pool.latencies is None:
            raise PlanError(
                "A budget in latency needs measured times of this model's groups.",
                "Measure them with measure_latency_table first, or choose a budget in macs.",
            )
        return TimeModel(self._pool.latencies, self._pool.all)

    def limit(self, kept: float) -> float:
        """The most that may be kept of the dense model's, at a part of it."""
        most = kept * self.dense
        return most if self.unit == "latency" else math.floor(most + ROUNDING)

    def kept(self, sparsities: Mapping[str, float]) -> float:
        """What is kept at sparsities of the members; locked groups are as they are."""
        pool = self._pool
        if self.unit == UNITS:
            return pool.num_units - pool.num_pruned(sparsities)
        gone = {
            name: pool.all.num_pruned(name, value, pool.multiple)
            for name, value in {**pool.locked, **sparsities}.items()
        }
        if self.unit == "latency":
            whole = pool.all.by_name
            return self._times.relative({n: whole[n].num_units - c for n, c in gone.items()})
        size = size_without(pool.all, gone)
        return {"params": size.num_nonzero, "macs": size.macs, "bytes": size.bytes}[self.unit]

    def bill(self, counts: Counts) -> Bill:
        """Tables of what the members keep.

        Args:
            counts: Numbers of units of each member that may go, ``(members, choices)``; at N:M 0
                or 1.
        """
        pool = self._pool
        if pool.kind != "channel":
            gone = counts * self._unit_weights[:, None] // self._units[:, None]
            rest = 0.0 if self.unit == UNITS else self.kept({}) - self._dense_members
            return _separate(rest, self._of_layers(gone, slice(None)))
        if self.unit == UNITS:
            return _separate(0.0, self._units[:, None] - counts.astype(float))
        if self.unit == "latency":
            return self._bill_of_times(counts)
        weight = BYTES_PER_PARAM if self.unit == "bytes" else 1
        parts = [
            (term.groups, float(term.macs if self.unit == "macs" else weight * term.num_params))
            for term in pool.all.terms
        ]
        locked = {name: self._locked_share(name) for name in pool.locked}
        shares = 1 - counts / self._units[:, None]
        return self._crossed(parts, locked, shares, np.zeros(shares.shape), 0.0)

    def of_count(self, member: int, count: int) -> float:
        """What a layer keeps without so many of its units; not for channels."""
        gone = np.array([[count * self._unit_weights[member] // self._units[member]]])
        return float(self._of_layers(gone, slice(member, member + 1))[0, 0])

    @cached_property
    def _units(self) -> Counts:
        """Units of each member; at N:M one."""
        if self._pool.kind == "nm":
            return np.ones(len(self._pool.members), dtype=np.int64)
        return np.array([group.num_units for group in self._pool.members])

    @cached_property
    def _unit_weights(self) -> Counts:
        """Weights of all units of each member; at N:M those that may go."""
        if self._pool.kind == "nm":
            names = [group.name for group in self._pool.members]
            return np.array([self._pool.all.num_pruned_weights(name, 1.0) for name in names])
        return np.array([group.num_params for group in self._pool.members])

    def _locked_share(self, name: str) -> float:
        group = self._pool.all.group(name)
        return group.num_kept(self._pool.locked[name], self._pool.multiple) / group.num_units

    def _bill_of_times(self, counts: Counts) -> Bill:
        shares, own = np.empty(counts.shape), np.empty(counts.shape)
        for i, group in enumerate(self._pool.members):
            kept = (group.num_units - counts[i]).tolist()
            split = {width: self._times.split(group.name, width) for width in set(kept)}
            shares[i] = [split[width][0] for width in kept]
            own[i] = [-split[width][1] for width in kept]
        locked, aside = {}, 0.0
        for name, value in self._pool.locked.items():
            kept_units = self._pool.all.group(name).num_kept(value, self._pool.multiple)
            locked[name], beside = self._times.split(name, kept_units)
            aside += beside
        return self._crossed(self._times.parts, locked, shares, own, -aside)

    def _crossed(
        self, parts: Sequence[tuple[tuple[str, ...], float]], locked: Mapping[str, float],
        shares: Array, own: Array, fixed: float,
    ) -> Bill:  # fmt: skip
        """A bill of parts that shrink with up to two groups."""
        number = {group.name: i for i, group in enumerate(self._pool.members)}
        once, twice = np.zeros(len(number)), np.zeros(len(number))
        both = np.zeros((len(number), len(number)))
        for names, cost in parts:
            cost *= math.prod(locked.get(name, 1.0) for name in names)
            which = [number[name] for name in names if name in number]
            if not which:
                fixed += cost
            elif len(which) == 1:
                once[which[0]] += cost
            elif which[0] == which[1]:
                twice[which[0]] += cost
            else:
                both[which[0], which[1]] += cost
                both[which[1], which[0]] += cost
        return Bill(fixed, once, twice, both, shares, own + twice[:, None] * shares**2)

    @cached_property
    def _dense_members(self) -> float:
        nothing = np.zeros((len(self._pool.members), 1), dtype=np.int64)
        return float(self._of_layers(nothing, slice(None)).sum())

    @cached_property
    def _layers(self) -> Counts:
        """Weights, parameters and MACs of the members' layers, ``(3, members, 1)``."""
        layers = [group.layer for group in self._pool.members]
        rows = [(row.num_weights, row.num_params, row.macs) for row in layers if row]
        return np.array(rows, dtype=np.int64).T[:, :, None]

    def _of_layers(self, gone: Counts, which: slice) -> Array:
        """What layers keep without so many weights, ``(layers, choices)``."""
        weights, params, macs = self._layers[:, which]
        kept = weights - gone
        if self.unit == "macs":
            return (macs * kept // weights).astype(float)
        if self.unit == "bytes":
            sparse = BYTES_PER_PARAM * kept + -(-weights // 8)
            rest = BYTES_PER_PARAM * (params - weights)
            return np.asarray(np.minimum(BYTES_PER_PARAM * weights, sparse) + rest, dtype=float)
        return kept.astype(float)


def _separate(fixed: float, own: Array) -> Bill:
    none = np.zeros(len(own))
    return Bill(fixed, none, none, np.zeros((len(own), len(own))), np.zeros(own.shape), own)
