"""Why each group of a plan has its value: what it does, what it saves, and what more would cost."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import numpy as np

from workbench.allocation.costs import Array, Costs, Counts
from workbench.allocation.damage import Curves, Damage, predictor_of
from workbench.allocation.latencies import LatencyTable
from workbench.allocation.pool import Members, between
from workbench.curves import SensitivityCurves
from workbench.groups import Group, Groups
from workbench.plan import PruningPlan

FAR = 2.0
"""A price is far from the plan's common one beyond this factor."""
PARTS = 50
"""A step is this part of a group, at least the smallest that it allows."""
PERCENT = 0.01


class Kind(StrEnum):
    """The reason in a word, for a page to phrase."""

    LOCKED = "locked"
    """It is held at its value."""
    UNMEASURED = "unmeasured"
    """What cutting it costs is not known."""
    AT_MOST = "at_most"
    """It is cut as far as it may be."""
    AT_LEAST = "at_least"
    """It would be cut less, but may not be."""
    CHEAP = "cheap"
    """Its next step costs less damage than elsewhere for what it saves."""
    FRAGILE = "fragile"
    """Its next step costs much more damage than elsewhere for what it saves."""
    FAIR = "fair"
    """It pays about what the others pay."""
    OVERDRAWN = "overdrawn"
    """Its last step cost much more than elsewhere: less here and more elsewhere would be better."""


@dataclass(frozen=True)
class Reason:
    """Why a group has its value.

    Attributes:
        kind: The reason in a word.
        sparsity: Of the group in the plan, as an exact quotient.
        damage: Predicted loss increase if it alone were cut, in nats; None where not measured.
        saved: What its cut saves with all others as they are, as a part of the dense model.
        price_next: Predicted loss increase of the whole plan for the next one percent of the dense
            model that a further step saves; None where there is none or it is not known.
        price_last: The same for the step before.
        price_common: Median over the plan's groups of what they pay.
    """

    kind: Kind
    sparsity: float
    damage: float | None
    saved: float
    price_next: float | None
    price_last: float | None
    price_common: float | None

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"kind": str(self.kind)}


def explain_plan(
    groups: Groups, plan: PruningPlan, curves: SensitivityCurves | None, unit: str = "macs", *,
    bounds: Mapping[str, tuple[float, float]] | None = None, locked: Collection[str] = (),
    latencies: LatencyTable | None = None, num_classes: int = 10,
) -> dict[str, Reason]:  # fmt: skip
    """Say for every group that can be pruned why it has its value.

    Args:
        groups: What ``find_groups(model, plan.granularity)`` returned.
        plan: Made by an allocation or by hand.
        curves: What cutting each group alone costs; None where nothing was measured.
        unit: Of the budget: ``params``, ``macs``, ``bytes`` or ``latency``.
        bounds: Group name to its least and most sparsity.
        locked: Groups that are held, and protected ones.
        latencies: Measured times, for latency.
        num_classes: Of the model.

    Raises:
        PlanError: If the plan names a group that is unknown, or the unit does not fit it.
    """
    members = Members(
        all=groups, members=groups.prunable, multiple=plan.channel_multiple, bounds=bounds or {},
        latencies=latencies,
    )  # fmt: skip
    steps = [_steps(members, group, plan.sparsities.get(group.name, 0.0)) for group in
             groups.prunable]  # fmt: skip
    counts = np.array(steps)  # dense, a step less, now, a step more
    costs = Costs(members, unit)
    bill = costs.bill(counts)
    now = np.full(len(counts), 2)
    kept = bill.costs(bill.rates(now)) / max(costs.dense, 1e-12)
    worse = _Worse(members, counts, curves, num_classes)
    saved = (kept[:, 0] - kept[:, 2]).tolist()
    last = _prices(worse.steps(1, 2), kept[:, 1] - kept[:, 2])
    following = _prices(worse.steps(2, 3), kept[:, 2] - kept[:, 3])
    known = [
        price
        for group, *prices in zip(groups.prunable, last, following, strict=True)
        if group.name not in locked
        for price in prices
        if price is not None and price > 0
    ]
    common = statistics.median(known) if known else None
    reasons = {}
    for i, group in enumerate(groups.prunable):
        own = counts[i].tolist()
        kind = _kind(group.name in locked, worse.known[i], own, last[i], following[i], common)
        reasons[group.name] = Reason(
            kind, members.sparsity_of(group, own[2]), worse.alone(i), saved[i], following[i],
            last[i], common,
        )  # fmt: skip
    return reasons


def _steps(members: Members, group: Group, sparsity: float) -> tuple[int, int, int, int]:
    """Units that go: none or as few as may, a step less than now, now, and a step more."""
    counts = members.counts(group)
    total = 1 if members.kind == "nm" else group.num_units
    wanted = members.count_of(group, sparsity)
    step = max(1, total // PARTS)
    before = [count for count in between(counts, wanted - step, wanted) if count < wanted]
    behind = [count for count in between(counts, wanted, wanted + step) if count > wanted]
    first = before[0] if before else _last_below(counts, wanted)
    return 0, first, wanted, behind[-1] if behind else _first_above(counts, wanted)


def _last_below(counts: Sequence[int], count: int) -> int:
    below = between(counts, 0, count - 1)
    return below[-1] if below else count


def _first_above(counts: Sequence[int], count: int) -> int:
    above = between(counts, count + 1, counts[-1])
    return above[0] if above else count


class _Worse:
    """Predicted loss of a plan around what it is, group by group.

    Args:
        members: The groups.
        counts: Units of each that go, ``(groups, 4)``; the third column is the plan.
        curves: What was measured.
        num_classes: Of the model.
    """

    def __init__(
        self, members: Members, counts: Counts, curves: SensitivityCurves | None, num_classes: int
    ) -> None:
        measured = curves.groups if curves is not None and curves.baseline is not None else ()
        self.known = [group.name in measured for group in members.members]
        self._damages = np.zeros(counts.shape)
        self._increases = np.zeros(counts.shape)
        self._slope = 0.0
        rows = np.flatnonzero(self.known)
        if not len(rows):
            return
        predictor = predictor_of(curves, num_classes)
        own = [members.members[row] for row in rows]
        units = np.array([[members.sparsity_of(group, 1)] for group in own])
        sparsities = counts[rows] * units
        self._increases[rows] = Curves([predictor.curves[group.name] for group in own]).at(
            sparsities
        )
        damage = Damage(predictor, float(self._increases.max()))
        self._damages[rows] = damage.addend(self._increases[rows], sparsities)
        self._slope = damage.slope(float(self._damages[:, 2].sum()))

    def alone(self, group: int) -> float | None:
        """Loss increase of a group cut as in the plan, all others dense."""
        return float(self._increases[group, 2]) if self.known[group] else None

    def steps(self, one: int, other: int) -> list[float | None]:
        """What going from one column to another adds to the predicted loss, for each group."""
        added = (self._damages[:, other] - self._damages[:, one]) * self._slope
        return [
            float(value) if known else None for value, known in zip(added, self.known, strict=True)
        ]


def _prices(worse: Sequence[float | None], saved: Array) -> list[float | None]:
    """Loss for each percent of the dense model; None where nothing is saved."""
    return [
        None if added is None or part <= 0 else added / float(part) * PERCENT
        for added, part in zip(worse, saved.tolist(), strict=True)
    ]


def _kind(
    locked: bool, known: bool, counts: Sequence[int], last: float | None,
    following: float | None, common: float | None,
) -> Kind:  # fmt: skip
    if locked:
        return Kind.LOCKED
    if not known:
        return Kind.UNMEASURED
    _, before, now, behind = counts
    fair = common or 0.0
    if behind == now:
        return Kind.AT_MOST
    if now and last is not None and last > FAR * fair:
        return Kind.AT_LEAST if before == now else Kind.OVERDRAWN
    if before == now > 0:
        return Kind.AT_LEAST
    if following is not None and following * FAR < fair:
        return Kind.CHEAP
    if following is not None and following > FAR * fair:
        return Kind.FRAGILE
    return Kind.FAIR
