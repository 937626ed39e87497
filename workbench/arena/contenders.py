"""The plans that compete: every allocation at every budget, and the person's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.accounting import PlanSize, size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, LatencyTable, allocate
from workbench.arena.settings import OWN, REFINED, ArenaSettings
from workbench.arena.values import kept_of_size
from workbench.errors import PlanError, SettingsError, WorkbenchError
from workbench.plan import PruningPlan
from workbench.refine import REFINABLE

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.groups import Groups
    from workbench.model import Model

SAME_BUDGET = 0.005
"""Budgets closer than that, relative to each other, are one."""
_LEAST_DENSITY = 1e-4
_MOST_SCALING = 64.0
_HALVINGS = 40


@dataclass(frozen=True)
class Contender:
    """A plan at a budget, or the reason why there is none.

    Attributes:
        method: A name in ``ALLOCATIONS``, ``own`` or ``refined``.
        factor: The budget.
        plan: What it would prune; where refining is to come, before that.
        size: What that leaves.
        scaled: Whether it is the person's plan at another budget than its own.
        reason: Why there is no plan.
    """

    method: str
    factor: float
    plan: PruningPlan | None = None
    size: PlanSize | None = None
    scaled: bool = False
    reason: str = ""


def methods_of(settings: ArenaSettings) -> tuple[str, ...]:
    """The allocations that compete."""
    return settings.methods or tuple(ALLOCATIONS)


def needs_curves(settings: ArenaSettings) -> bool:
    """Whether any of the allocations goes by sensitivity curves."""
    return any(ALLOCATIONS[method].needs_curves for method in methods_of(settings))


def budgets_of(
    groups: Groups, settings: ArenaSettings, latencies: LatencyTable | None = None
) -> tuple[float, ...]:
    """The factors, that of the person's plan in the place of one that is nearly the same."""
    own = own_factor(groups, settings, latencies)
    if own is None:
        return settings.factors
    others = [f for f in settings.factors if abs(f / own - 1) > SAME_BUDGET]
    return tuple(sorted([*others, own]))


def own_factor(
    groups: Groups, settings: ArenaSettings, latencies: LatencyTable | None = None
) -> float | None:
    """The budget that the person's plan meets exactly; None where no plan competes."""
    if settings.own is None:
        return None
    kept = _kept(groups, settings.own, settings.unit, latencies)
    return 1 / kept if 0 < kept < 1 else None


def contenders(
    model: Model, groups: Groups, settings: ArenaSettings,
    curves: SensitivityCurves | None = None, latencies: LatencyTable | None = None,
) -> Iterator[Contender]:  # fmt: skip
    """Every plan, by rising factor: the person's first, then the allocations in their order.

    The one to be refined comes with the plan that it starts from.

    Raises:
        SettingsError: If budgets are in latency and no times were measured.
    """
    if settings.unit == "latency" and latencies is None:
        raise SettingsError(
            "Budgets in latency need measured times, and there are none.",
            "Time the model's groups first, or choose budgets in MACs.",
        )
    own = own_factor(groups, settings, latencies)
    for factor in budgets_of(groups, settings, latencies):
        budget = Budget(settings.unit, 1 / factor)
        if settings.own is not None and own is not None:
            yield _own_contender(groups, settings.own, budget, factor, factor == own, latencies)
        for method in methods_of(settings):
            made = _allocated(model, groups, settings, method, factor, curves, latencies)
            yield made
            if method == REFINABLE and settings.refine:
                yield replace(made, method=REFINED)


def _own_contender(
    groups: Groups, plan: PruningPlan, budget: Budget, factor: float, exact: bool,
    latencies: LatencyTable | None,
) -> Contender:  # fmt: skip
    if exact:
        return Contender(OWN, factor, plan, size_of_plan(groups, plan))
    try:
        scaled = scale_plan(groups, plan, budget, latencies)
    except PlanError as error:
        return Contender(OWN, factor, scaled=True, reason=str(error))
    return Contender(OWN, factor, scaled, size_of_plan(groups, scaled), scaled=True)


def _allocated(
    model: Model, groups: Groups, settings: ArenaSettings, method: str, factor: float,
    curves: SensitivityCurves | None, latencies: LatencyTable | None,
) -> Contender:  # fmt: skip
    more: dict[str, Any] = {"curves": curves} if ALLOCATIONS[method].needs_curves else {}
    try:
        plan = allocated(model, groups, settings, method, factor, latencies=latencies, **more)
    except WorkbenchError as error:
        return Contender(method, factor, reason=str(error))
    return Contender(method, factor, plan, size_of_plan(groups, plan))


def allocated(
    model: Model, groups: Groups, settings: ArenaSettings, method: str, factor: float, *,
    latencies: LatencyTable | None = None, **more: Any,
) -> PruningPlan:  # fmt: skip
    """The plan of one allocation at one budget.

    Raises:
        WorkbenchError: If the budget cannot be met.
    """
    return allocate(
        model, method, budget=Budget(settings.unit, 1 / factor),
        granularity=settings.granularity, channel_multiple=settings.channel_multiple,
        criterion=settings.criterion, seed=settings.seed, groups=groups, latencies=latencies,
        protected=settings.protected, locked=settings.locked, bounds=settings.bounds, **more,
    )  # fmt: skip


def scale_plan(
    groups: Groups, plan: PruningPlan, budget: Budget, latencies: LatencyTable | None = None
) -> PruningPlan:
    """The same plan, pruning more or less, so that it just meets another budget.

    The part of each group that a plan keeps, its density, is raised to one power for all groups:
    the plan applied so many times over. Power 1 is the plan itself and 0 the dense model; groups
    keep their order, and what the plan leaves dense stays dense.

    Args:
        groups: Of the dense model, at the granularity of the plan.
        plan: What the person made.
        budget: What to meet.
        latencies: Measured times, for a budget in latency.

    Raises:
        PlanError: If it cannot be met by the groups that the plan prunes.
    """

    def powered(power: float) -> PruningPlan:
        return replace(plan, sparsities=_powered(plan.sparsities, power))

    low, high = 0.0, _MOST_SCALING
    if _kept(groups, powered(high), budget.unit, latencies) > budget.kept:
        raise PlanError(
            f"Your plan cannot be scaled to {budget}: what it leaves dense is more than that.",
            "Prune more groups, or compare at a larger budget.",
        )
    for _step in range(_HALVINGS):
        middle = (low + high) / 2
        if _kept(groups, powered(middle), budget.unit, latencies) <= budget.kept:
            high = middle
        else:
            low = middle
    return powered(high)


def _powered(sparsities: Mapping[str, float], power: float) -> dict[str, float]:
    return {
        name: 1 - max(_LEAST_DENSITY, (1 - sparsity) ** power) if sparsity else 0.0
        for name, sparsity in sparsities.items()
    }


def _kept(
    groups: Groups, plan: PruningPlan, unit: str, latencies: LatencyTable | None
) -> float:  # fmt: skip
    if unit != "latency" or latencies is None:
        return kept_of_size(size_of_plan(groups, plan), unit)
    left = {
        group.name: group.num_units - groups.num_pruned(
            group.name, plan.sparsities.get(group.name, 0.0), plan.channel_multiple
        )
        for group in groups.prunable
    }  # fmt: skip
    return latencies.predict(groups, left) / latencies.dense_ms
