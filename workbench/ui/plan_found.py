"""Plans that a search in the background found: asked for, kept in the workspace, taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.plan import PruningPlan
from workbench.ui import curve_shelf, plan_goal, plan_limits, plan_moves, plan_state, session
from workbench.ui.job_panel import start_job
from workbench.ui.repair_choice import quick_repair

FLOOR, REFINE, LATENCY, TRADE_OFF = "floor", "refine", "latency_fit", "trade_off"
SAMPLES = 1_000
"""Validation images behind every trial."""
_SETTING = "found_plans"
_BY_ITSELF = (FLOOR, REFINE, TRADE_OFF)


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        way: Kind of the search.
        before: The plan on the bench when it began.
        plan: What it found; None where there is nothing.
        told: How, as the search tells it.
        unit: What it made small, or kept equal.
        repair: What came before measuring.
        taken: Whether the plan was put on the bench.
    """

    way: str
    before: PruningPlan
    plan: PruningPlan | None
    told: Mapping[str, Any]
    unit: str
    repair: str
    taken: bool

    @property
    def changes(self) -> bool:
        """Whether it found another plan than it began with."""
        return self.plan is not None and _essence(self.plan) != _essence(self.before)


def search(way: str, title: str, *, unit: str, method: str, **more: object) -> None:
    """Begin a search from the plan on the bench.

    Args:
        way: Kind of the job.
        title: What its panel shows.
        unit: Of a budget.
        method: Name of an allocation.
        more: What this kind is told besides; perhaps another repair than the quick one.
    """
    session.require_data()
    plan = session.plan()
    curves = plan_goal.curves_at_hand()
    own = PruningPlan.from_dict(plan.to_dict() | {"model": session.require_model().digest})
    asked = {"repair": quick_repair()} | more
    request = session.job_request(
        plan=own.to_dict(), unit=unit, method=method, num_samples=SAMPLES,
        curves=curve_shelf.key_of(curves) if curves else "",
        protected=list(plan_state.protected()), locked=list(plan_limits.held(plan.granularity)),
        bounds={name: list(ends) for name, ends in plan_limits.bounds(plan.granularity).items()},
        trade_off=plan_goal.trade_off(), **asked,
    )  # fmt: skip
    start_job(way, title, request)


def found(way: str) -> Found | None:
    """What the last search of a kind found for the model and granularity on the bench."""
    kept: Mapping[str, Any] = (session.setting(_SETTING) or {}).get(way) or {}
    if not kept:
        return None
    before, plan = PruningPlan.from_dict(kept["before"]), kept["plan"]
    here = session.plan()
    if (before.model, before.granularity) != (session.require_model().digest, here.granularity):
        return None
    return Found(
        way, before, PruningPlan.from_dict(plan) if plan else None, kept["told"], kept["unit"],
        kept["repair"], bool(kept["taken"]),
    )  # fmt: skip


def take_new() -> None:
    """Put on the bench what was found since, unless the plan was changed meanwhile."""
    for way in _BY_ITSELF:
        new = found(way)
        if new and new.plan and not new.taken and began_from(new):
            take(way)


def take(way: str) -> None:
    """Put on the bench what was found."""
    new = found(way)
    if new is None or new.plan is None:
        return
    kept = dict(session.setting(_SETTING))
    session.remember(**{_SETTING: {**kept, way: {**kept[way], "taken": True}}})
    plan_state.replace(new.plan)
    plan_moves.remember_base(session.plan())


def is_on_bench(one: Found) -> bool:
    """Whether the plan that was found is the one on the bench."""
    return one.plan is not None and _essence(one.plan) == _essence(session.plan())


def began_from(one: Found) -> bool:
    """Whether the plan that the search began with is the one on the bench."""
    return _essence(one.before) == _essence(session.plan())


def _essence(plan: PruningPlan) -> tuple[object, ...]:
    """What is pruned, whoever decided it."""
    cut = tuple(sorted((name, value) for name, value in plan.sparsities.items() if value))
    return plan.granularity, plan.channel_multiple, plan.criterion, plan.seed, cut
