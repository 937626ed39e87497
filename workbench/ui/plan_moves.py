"""What the hand changed in a plan that an allocation made, and what that costs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.accounting import size_of_plan
from workbench.plan import PruningPlan
from workbench.ui import session

if TYPE_CHECKING:
    from workbench.groups import Groups
    from workbench.ui.equaliser import Board

_SETTING = "plan_base"
MOST_TOLD = 3
"""Moves that are put into words."""
_MOST_TRIED = 6
_MOST_STEPS = 200
_ALIKE = 1e-9
_WORTH = 0.001
"""Accuracy by which another group must be better to be named."""


@dataclass(frozen=True)
class Move:
    """One group that was moved by hand.

    Attributes:
        group: Its name.
        before: Its sparsity as the allocation left it.
        now: Its sparsity.
        lost: Predicted accuracy that the move costs, as a fraction; negative where it brings some.
        saved: What it saves, as a part of the dense model; negative where it adds.
        elsewhere: The group that would save as much for less, or bring more for as much; empty
            where there is none.
        lost_elsewhere: What that would cost.
    """

    group: str
    before: float
    now: float
    lost: float
    saved: float
    elsewhere: str = ""
    lost_elsewhere: float = 0.0


def remember_base(plan: PruningPlan) -> None:
    """Later moves of the hand are told against this plan."""
    session.remember(**{_SETTING: plan.to_dict()})


def base_of(plan: PruningPlan) -> PruningPlan | None:
    """What the hand began with, if a plan may have come from it."""
    kept = session.setting(_SETTING)
    base = PruningPlan.from_dict(kept) if kept else None
    return base if base is not None and _kind(base) == _kind(plan) else None


def _kind(plan: PruningPlan) -> tuple[object, ...]:
    return plan.model, plan.granularity, plan.channel_multiple, plan.criterion


def moved(board: Board, base: PruningPlan, plan: PruningPlan) -> list[str]:
    """Groups that have another value than in the base."""
    before, now = board.settled(base.sparsities), board.settled(plan.sparsities)
    return [
        name for name in board.names if abs(before.get(name, 0.0) - now.get(name, 0.0)) > _ALIKE
    ]


class Scale:
    """Predicts and weighs variants of one plan.

    Args:
        board: With a prediction.
        groups: Of the plan's granularity.
        plan: On the bench.
        unit: What is saved: ``params``, ``macs`` or ``bytes``.
    """

    def __init__(self, board: Board, groups: Groups, plan: PruningPlan, unit: str) -> None:
        self._board, self._groups, self._plan, self._unit = board, groups, plan, unit

    def accuracy(self, values: Mapping[str, float]) -> float:
        """What is predicted."""
        assert self._board.predictor is not None
        return self._board.predictor.predict(self._board.settled(values)).accuracy

    def kept(self, values: Mapping[str, float]) -> float:
        """What stays of the dense model, as a part of it."""
        size = size_of_plan(self._groups, self._plan.with_sparsities(values))
        if self._unit == "macs":
            return size.macs / max(1, size.dense_macs)
        if self._unit == "bytes":
            return size.bytes / max(1, size.dense_bytes)
        return size.num_nonzero / max(1, size.num_params)

    def weigh(self, base: PruningPlan, group: str, others: Sequence[str]) -> Move:
        """Tell what the move of one group costs, others as they are.

        Args:
            base: What the hand began with.
            group: Was moved.
            others: Groups in which the same might be had, the likeliest first.
        """
        now = dict(self._plan.sparsities)
        reference = now | {group: base.sparsities.get(group, 0.0)}
        start, kept = self.accuracy(reference), self.kept(now)
        lost, saved = start - self.accuracy(now), self.kept(reference) - kept
        best, least = "", lost
        if abs(saved) > _ALIKE:
            for other in others[:_MOST_TRIED]:
                value = self._same_elsewhere(reference, other, kept, saved > 0)
                if value is None:
                    continue
                cost = start - self.accuracy(reference | {other: value})
                if cost < min(least, lost - _WORTH):
                    best, least = other, cost
        settled = self._board.settled
        return Move(
            group, settled(reference).get(group, 0.0), settled(now).get(group, 0.0), lost, saved,
            best, least,
        )  # fmt: skip

    def _same_elsewhere(
        self, reference: Mapping[str, float], other: str, kept: float, further: bool
    ) -> float | None:
        """The least change of another group after which no more is kept; None without.

        Args:
            reference: The plan without the move.
            other: The group.
            kept: What may stay.
            further: Whether it is to be cut further, else as little as may be.
        """
        column = next(one for one in self._board.columns if one.name == other)
        if column.thinned:
            return None
        steps = min(self._groups.group(other).num_units, _MOST_STEPS)
        here = round(self._board.settled(reference).get(other, 0.0) * steps)
        tried = range(here, min(steps - 1, int(column.most * steps)) + 1)
        tried = tried if further else range(here + 1)
        place = bisect_left(
            tried, True, key=lambda step: self.kept({**reference, other: step / steps}) <= kept
        )
        return None if place == len(tried) or tried[place] == here else tried[place] / steps
