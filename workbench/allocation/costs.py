"""What a plan keeps, in the unit of its target: exactly, and as tables for the optimisers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.accounting import BYTES_PER_PARAM, size_without
from workbench.allocation.latencies import TimeModel
from workbench.allocation.pool import ROUNDING, Pool
from workbench.errors import PlanError
from workbench.groups import Group

UNITS = "units"
"""Weights, or channels, of the members: the unit of a target that is a sparsity."""
Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Bill:
    """What is kept, as a function of the chosen row of every group's table.

    With the share s and the own cost a of the chosen rows: ``fixed + sum(once * s)
    + sum(twice * s ** 2) + sum of both[g, h] * s[g] * s[h] over pairs g < h + sum(a)``.

    Attributes:
        fixed: What always stays.
        once: ``(groups,)``.
        twice: ``(groups,)``.
        both: ``(groups, groups)``, symmetric, 0 on the diagonal.
        shares: For each group the share of every choice.
        own: For each group the cost of every choice.
    """

    fixed: float
    once: Array
    twice: Array
    both: Array
    shares: list[Array]
    own: list[Array]

    @property
    def separable(self) -> bool:
        """Whether what a group costs does not depend on the others."""
        return not self.both.any()

    def rows(self, group: int, rates: Array) -> Array:
        """What each choice of a group costs, others as they are.

        Args:
            group: Its number.
            rates: ``once + both @ shares`` at what is chosen now.
        """
        share = self.shares[group]
        return self.own[group] + share * (rates[group] + self.twice[group] * share)

    def rates(self, share: Array) -> Array:
        """``once + both @ share``."""
        return np.asarray(self.once + self.both @ share)

    def total(self, chosen: Sequence[int]) -> float:
        """All that is kept."""
        share = np.array([own[i] for own, i in zip(self.shares, chosen, strict=True)])
        own = sum(float(cost[i]) for cost, i in zip(self.own, chosen, strict=True))
        crossed = self.once + self.twice * share + self.both @ share / 2
        return self.fixed + own + float(share @ crossed)


class Costs:
    """What plans for the groups of a pool keep, in one unit.

    Args:
        pool: The groups.
        unit: Of a budget, or ``units`` for weights or channels of the members.

    Raises:
        PlanError: If the unit is latency and nothing was measured, or zeros cannot save time.
    """

    def __init__(self, pool: Pool, unit: str) -> None:
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

    def bill(self, choices: Sequence[Counts]) -> Bill:
        """Tables of what the members keep.

        Args:
            choices: For each member the numbers of its units that may go; at N:M 0 or 1.
        """
        pool = self._pool
        structured = pool.kind == "channel"
        if self.unit == UNITS and structured:
            own = [
                (group.num_units - gone).astype(float)
                for group, gone in zip(pool.members, choices, strict=True)
            ]
            return _separate(0.0, own)
        if not structured:
            own = [
                self._of_layer(group, gone_weights(pool, group, gone))
                for group, gone in zip(pool.members, choices, strict=True)
            ]
            rest = 0.0 if self.unit == UNITS else self.kept({}) - self._dense_members()
            return _separate(rest, own)
        if self.unit == "latency":
            return self._bill_of_times(choices)
        shares = [
            1 - gone / group.num_units for group, gone in zip(pool.members, choices, strict=True)
        ]
        weight = BYTES_PER_PARAM if self.unit == "bytes" else 1
        parts = [
            (term.groups, float(term.macs if self.unit == "macs" else weight * term.num_params))
            for term in pool.all.terms
        ]
        locked = {name: self._locked_share(name) for name in pool.locked}
        own = [np.zeros(len(share)) for share in shares]
        return self._crossed(parts, locked, shares, own, 0.0)

    def _locked_share(self, name: str) -> float:
        group = self._pool.all.group(name)
        return group.num_kept(self._pool.locked[name], self._pool.multiple) / group.num_units

    def _bill_of_times(self, choices: Sequence[Counts]) -> Bill:
        shares, own = [], []
        for group, gone in zip(self._pool.members, choices, strict=True):
            split = [self._times.split(group.name, group.num_units - int(g)) for g in gone]
            shares.append(np.array([share for share, _ in split]))
            own.append(np.array([-beside for _, beside in split]))
        locked, aside = {}, 0.0
        for name, value in self._pool.locked.items():
            kept = self._pool.all.group(name).num_kept(value, self._pool.multiple)
            locked[name], beside = self._times.split(name, kept)
            aside += beside
        return self._crossed(self._times.parts, locked, shares, own, -aside)

    def _crossed(
        self, parts: Sequence[tuple[tuple[str, ...], float]], locked: Mapping[str, float],
        shares: list[Array], own: list[Array], fixed: float,
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
        return Bill(fixed, once, twice, both, shares, own)

    def _dense_members(self) -> float:
        nothing = np.zeros(1, dtype=np.int64)
        return sum(float(self._of_layer(group, nothing)[0]) for group in self._pool.members)

    def of_count(self, group: Group, count: int) -> float:
        """What a layer keeps without so many of its units; not for channels."""
        gone = gone_weights(self._pool, group, np.array([count]))
        return float(self._of_layer(group, gone)[0])

    def _of_layer(self, group: Group, gone: Counts) -> Array:
        """What a layer keeps without so many weights."""
        layer = group.layer
        assert layer is not None
        kept = layer.num_weights - gone
        if self.unit == "macs":
            return np.asarray(layer.macs * kept // layer.num_weights, dtype=float)
        if self.unit == "bytes":
            sparse = BYTES_PER_PARAM * kept + -(-layer.num_weights // 8)
            rest = BYTES_PER_PARAM * (layer.num_params - layer.num_weights)
            return np.minimum(BYTES_PER_PARAM * layer.num_weights, sparse).astype(float) + rest
        return kept.astype(float)


def gone_weights(pool: Pool, group: Group, counts: Counts) -> Counts:
    """Weights that go with numbers of a layer's units; at N:M with 0 or 1."""
    if pool.kind == "nm":
        thinned = pool.all.num_pruned_weights(group.name, 1.0)
        return counts * thinned
    return counts * group.num_params // group.num_units


def _separate(fixed: float, own: list[Array]) -> Bill:
    none = np.zeros(len(own))
    zero = [np.zeros(len(row)) for row in own]
    return Bill(fixed, none, none, np.zeros((len(own), len(own))), zero, own)
