"""Measured times for budgets in latency, and the check that a plan really meets one."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workbench.allocation import LatencyTable
from workbench.errors import PlanError
from workbench.groups import Group, Groups, find_groups
from workbench.latency import MIN_RUNS, LatencyComparison
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prediction.loss_curve import isotonic
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.prune import prune
from workbench.saving import part_of
from workbench.speedup import RUNS, measure_speedup
from workbench.staircase import measure_staircase

PARTS = (0.25, 0.5, 0.75)
"""Of a group's units that are left at the measured widths."""
TRIES = 6
CLOSE = 0.97
"""A latency from this part of the budget on is not corrected upwards."""
MARGIN = 0.99
"""Corrections aim a little below the budget."""


@dataclass(frozen=True)
class LatencyFit:
    """A plan for a budget in latency, with what was really measured.

    Attributes:
        plan: The plan that came nearest to the budget, met if any did.
        kept: The budget: at most this part of the dense network's time.
        target: The part that the plan was made for, after corrections.
        measured: Dense and pruned network timed in turns.
        tries: How many plans were timed.
    """

    plan: PruningPlan
    kept: float
    target: float
    measured: LatencyComparison
    tries: int

    @property
    def achieved(self) -> float:
        """Measured part of the dense network's time."""
        return 1 / self.measured.measured_speedup

    @property
    def met(self) -> bool:
        """Whether the measured time is within the budget."""
        return self.achieved <= self.kept

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "kept": self.kept, "achieved": self.achieved, "met": self.met, "target": self.target,
            "tries": self.tries, "measured": self.measured.to_dict(),
        }  # fmt: skip


def measure_latency_table(
    model: Model, *, groups: Groups | None = None, parts: Sequence[float] = PARTS, batch: int = 1,
    threads: int = 1, runtime: str = "onnxruntime", runs: int = MIN_RUNS, report: Report = ignore,
    should_stop: ShouldStop = never,
) -> LatencyTable | None:  # fmt: skip
    """Time the whole network with each group cut to a few widths, in turns with the dense one.

    Times are smoothed to never fall as a group gets wider: what is left of a staircase's steps
    after that is what a plan can rely on.

    Args:
        model: The dense network; it stays as it is.
        groups: What ``find_groups(model, "channel")`` returned, to spare a second look.
        parts: Of a group's units that are left at the measured widths, 0 < part < 1.
        batch: Images in a pass.
        threads: CPU threads.
        runtime: ``torch`` or ``onnxruntime``.
        runs: Turns for each group, at least 20.
        report: Hears of every turn.
        should_stop: Ends early.

    Returns:
        The table, or None if it was stopped.

    Raises:
        PlanError: If no group can be cut.
        SettingsError: If the runtime is unknown or ``runs``, ``batch`` or ``threads`` too small.
        ExportError: If the network cannot be written as ONNX.
    """
    groups = groups or find_groups(model, "channel")
    members = groups.require_prunable()
    steps, dense = {}, []
    for number, group in enumerate(members):
        found = measure_staircase(
            model, group.name, counts=_widths(group, parts), batch=batch, threads=threads,
            runtime=runtime, runs=runs, groups=groups, should_stop=should_stop,
            report=part_of(report, number, len(members), f"{number + 1} of {len(members)} groups"),
        )  # fmt: skip
        if found is None or should_stop():
            return None
        dense.append(found.steps[-1].latency.median_ms)
        times = isotonic([step.relative for step in found.steps])
        kept = [step.kept for step in found.steps]
        steps[group.name] = tuple(zip(kept, [*times[:-1], 1.0], strict=True))
    return LatencyTable(
        model.digest, runtime, batch, threads, statistics.median(dense), steps
    )  # fmt: skip


def fit_latency(
    model: Model, make: Callable[[float], PruningPlan], kept: float, *, groups: Groups,
    table: LatencyTable, runs: int = RUNS, report: Report = ignore,
    should_stop: ShouldStop = never,
) -> LatencyFit | None:  # fmt: skip
    """Make a plan for a budget in latency, time it, and correct the target until it is met.

    A table predicts; only the pruned network tells. It is timed beside the dense one in turns,
    and the target is scaled by what it missed; once one target met the budget and another missed
    it, the next lies between the two, where a line through both times meets it. A few times at
    most.

    Args:
        model: The dense network; it stays as it is.
        make: From a part of the dense network's time to a plan that the table predicts to meet it.
        kept: The budget, 0 < kept <= 1.
        groups: What ``find_groups(model, "channel")`` returned.
        table: The measured times; says in what and with how many threads to time.
        runs: Turns, at least 20.
        report: Hears of every step.
        should_stop: Ends early, with the best plan so far.

    Returns:
        The plan that meets the budget with the most left, or else comes nearest; None if it was
        stopped before the first was timed.

    Raises:
        PlanError: If ``make`` refuses the first target.
    """
    best: LatencyFit | None = None
    timed: list[LatencyFit] = []
    target = kept
    for number in range(TRIES):
        try:
            plan = make(min(1.0, target))
        except PlanError:
            if best is None:
                raise
            break
        except StoppedError:
            break
        pruned = prune(model, plan, groups)
        measured = measure_speedup(
            model, pruned.model, runtime=table.runtime, batch=table.batch, threads=table.threads,
            runs=runs, report=part_of(report, number, TRIES, f"Try {number + 1}"),
            should_stop=should_stop,
        )  # fmt: skip
        if measured is None:
            break
        found = LatencyFit(plan, kept, target, measured, number + 1)
        timed.append(found)
        best = _better(best, found)
        if should_stop() or CLOSE * kept <= found.achieved <= kept:
            break
        if target >= 1 and found.met:
            break
        target = _next_target(timed, kept)
    report(Progress(TRIES, TRIES, "Timed"))
    return best and LatencyFit(best.plan, kept, best.target, best.measured, len(timed))


def _next_target(timed: Sequence[LatencyFit], kept: float) -> float:
    """Between the targets that met the budget and those that missed it; else scaled by the miss."""
    low = max((fit for fit in timed if fit.met), key=lambda fit: fit.target, default=None)
    high = min((fit for fit in timed if not fit.met), key=lambda fit: fit.target, default=None)
    last = timed[-1]
    if low is None or high is None or low.target >= high.target:
        return last.target * MARGIN * kept / last.achieved
    part = (MARGIN * kept - low.achieved) / (high.achieved - low.achieved)
    return low.target + min(0.8, max(0.2, part)) * (high.target - low.target)


def _better(one: LatencyFit | None, other: LatencyFit) -> LatencyFit:
    """The one that meets the budget, with the most left; else the one that comes nearer."""
    if one is None:
        return other
    if one.met != other.met:
        return one if one.met else other
    if one.met:
        return max(one, other, key=lambda fit: fit.achieved)
    return min(one, other, key=lambda fit: fit.achieved)


def _widths(group: Group, parts: Sequence[float]) -> list[int]:
    return sorted({max(1, round(part * group.num_units)) for part in parts})
