"""Refine a plan by a few measured moves: exchanges between two groups at equal cost."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from workbench.allocation import Budget, LatencyTable
from workbench.allocation.costs import Costs
from workbench.allocation.damage import check_curves
from workbench.allocation.exchanges import exchanges
from workbench.allocation.pool import Pool
from workbench.criteria import get_criterion
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.errors import SettingsError
from workbench.groups import Groups
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.trials import Bench, TrialSettings

MAX_EVALUATIONS = 1_000
REFINABLE = "optimal"
"""The allocation that refining is for."""
RIVALS = ("greedy", "equal_loss", "global", "lamp", "erk", "uniform")
"""Those that it is measured against at first, as far as the number of evaluations goes."""


@dataclass(frozen=True)
class Move:
    """An exchange that was measured.

    Attributes:
        more: The group that was cut further.
        less: The group that was cut less for it.
        loss: Measured loss with it, in nats.
        accuracy: Measured accuracy with it.
        accepted: Whether the loss fell.
    """

    more: str
    less: str
    loss: float
    accuracy: float
    accepted: bool

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "more": self.more, "less": self.less, "loss": self.loss, "accuracy": self.accuracy,
            "accepted": self.accepted,
        }  # fmt: skip


@dataclass(frozen=True)
class Refined:
    """A refined plan.

    Attributes:
        plan: It costs no more than the one it came from.
        loss_before: Measured loss of the plan that was given, in nats.
        loss: Measured loss of the refined plan.
        accuracy_before: Measured accuracy of the plan that was given.
        accuracy: Measured accuracy of the refined plan.
        samples: Images behind them.
        moves: What was tried.
    """

    plan: PruningPlan
    loss_before: float
    loss: float
    accuracy_before: float
    accuracy: float
    samples: int
    moves: tuple[Move, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON, without the plan."""
        return {
            "loss_before": self.loss_before, "loss": self.loss,
            "accuracy_before": self.accuracy_before, "accuracy": self.accuracy,
            "samples": self.samples, "moves": [move.to_dict() for move in self.moves],
        }  # fmt: skip


def refine(
    model: Model, data: Data, plan: PruningPlan, curves: SensitivityCurves, unit: str, *,
    groups: Groups, rivals: Sequence[PruningPlan] = (), evaluations: int = 20,
    settings: TrialSettings | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    locked: Mapping[str, float] | None = None, latencies: LatencyTable | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> Refined:  # fmt: skip
    """Exchange sparsity between pairs of groups as long as the measured loss falls.

    The exchanges of least predicted damage are tried first, each pair of groups once after every
    one that was accepted. Validation images decide, so some of what is gained is luck with these
    images; the test split tells how much.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split decides, its calibration split repairs.
        plan: Where to start.
        curves: What cutting each group alone costs, at the plan's granularity.
        unit: What stays equal: a unit of ``Budget``.
        groups: What ``find_groups(model, plan.granularity)`` returned.
        rivals: Plans of other rules for the same groups that cost no more; the exchanges begin at
            the best that was measured. The prediction is most wrong about the plan that it likes
            best, and no rule is best at every budget.
        evaluations: Plans to measure, the first and its rivals among them.
        settings: Repair and images; None for the usual ones.
        bounds: Group name to its least and most sparsity.
        locked: Groups that are held.
        latencies: Measured times, where the unit is latency.
        device: Where to run.
        report: Hears of every move, with its values.
        should_stop: Ends early, with what was gained so far.

    Raises:
        SettingsError: If ``evaluations`` is out of range.
        PlanError: If the curves do not fit the plan.
        StoppedError: If it was stopped before the plan itself was measured.
    """
    if not 2 <= evaluations <= MAX_EVALUATIONS:
        raise SettingsError(
            f"{evaluations} evaluations were asked for.",
            f"Choose 2 to {MAX_EVALUATIONS}: the plan itself is the first.",
        )
    model = with_data(model, data, should_stop)
    held = {name: plan.sparsities.get(name, 0.0) for name in locked or {}}
    members = tuple(
        group for group in groups.prunable
        if group.name in plan.sparsities and group.name not in held
    )  # fmt: skip
    check_curves(model, groups, members, "Refining", curves)
    pool = Pool(
        model=model, all=groups, members=members, criterion=get_criterion(plan.criterion),
        seed=plan.seed, multiple=plan.channel_multiple, bounds=dict(bounds or {}), locked=held,
        curves=curves, latencies=latencies,
    )  # fmt: skip
    costs = Costs(pool, unit)
    own = {group.name: plan.sparsities[group.name] for group in members}
    budget = Budget(unit, min(1.0, costs.kept(own) / costs.dense))
    bench = Bench(
        model, data, groups, settings or TrialSettings(), device=device, should_stop=should_stop
    )
    climb = _Climb(bench, plan, pool, budget, evaluations, report)
    with suppress(StoppedError):
        for rival in rivals:
            climb.compare(rival)
        while climb.step():
            pass
    return climb.result()


class _Climb:
    """The best plan so far, and the exchanges that were tried from it."""

    def __init__(
        self, bench: Bench, plan: PruningPlan, pool: Pool, budget: Budget, evaluations: int,
        report: Report,
    ) -> None:  # fmt: skip
        self._bench, self._pool, self._budget = bench, pool, budget
        self._plan, self._evaluations, self._report = plan, evaluations, report
        self._first = self._best = bench.score(plan)
        self._moves: list[Move] = []
        self._measured = 1
        self._open = self._exchanges()

    def compare(self, rival: PruningPlan) -> None:
        """Begin at another plan if it is better."""
        if self._measured >= self._evaluations:
            return
        found = self._bench.score(rival)
        self._measured += 1
        if found.loss < self._best.loss:
            self._plan, self._best = rival, found
            self._open = self._exchanges()
        message = f"{rival.allocation}: loss {found.loss:.4f}"
        self._report(Progress(self._measured, self._evaluations, message))

    def step(self) -> bool:
        """Measure the most promising exchange; False where none is left to measure."""
        if not self._open or self._measured >= self._evaluations:
            return False
        more, less, sparsities = self._open.pop(0)
        plan = self._plan.with_sparsities(
            {**self._plan.sparsities, **sparsities}, self._plan.allocation
        )
        found = self._bench.score(plan)
        self._measured += 1
        accepted = found.loss < self._best.loss
        self._moves.append(Move(more, less, found.loss, found.accuracy, accepted))
        if accepted:
            self._plan, self._best = plan, found
            self._open = self._exchanges()
        message = f"{more} more, {less} less: loss {found.loss:.4f}"
        self._report(
            Progress(self._measured, self._evaluations, message, self._moves[-1].to_dict())
        )
        return True

    def result(self) -> Refined:
        """What came of it."""
        return Refined(
            self._plan, self._first.loss, self._best.loss, self._first.accuracy,
            self._best.accuracy, self._first.samples, tuple(self._moves),
        )  # fmt: skip

    def _exchanges(self) -> list[tuple[str, str, dict[str, float]]]:
        """Exchanges from the best plan, least predicted damage first, each pair of groups once."""
        now = {group.name: self._plan.sparsities[group.name] for group in self._pool.members}
        tried = {(move.more, move.less) for move in self._moves if not move.accepted}
        found: dict[tuple[str, str], dict[str, float]] = {}
        for _, sparsities in exchanges(self._pool, now, self._budget):
            pair = _pair(now, sparsities)
            if pair and pair not in tried and pair not in found:
                found[pair] = sparsities
        return [(*pair, sparsities) for pair, sparsities in found.items()]


def _pair(now: Mapping[str, float], then: Mapping[str, float]) -> tuple[str, str] | None:
    """The group that is cut further and the one that is cut less."""
    more = max(now, key=lambda name: then[name] - now[name])
    less = min(now, key=lambda name: then[name] - now[name])
    return (more, less) if then[more] > now[more] and then[less] < now[less] else None
