"""Spread a goal over the groups; what an allocation needs to know first is measured first.

A goal that waits for a measurement is remembered in the workspace: a reload does not lose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import PlanError, WorkbenchError
from workbench.plan import PruningPlan
from workbench.ui import (
    latency_shelf,
    plan_limits,
    plan_moves,
    plan_state,
    running_curves,
    sensitivity_form,
    session,
)
from workbench.ui.errors import notify
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, latest_job
from workbench.ui.plan_target import SPARSITY

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves

_SETTING = "plan_goal"
_TRADE_OFF, _LEARNS = "plan_trade_off", "plan_trade_off_learns"
BEST, PLAIN, BY_COST = "optimal", "uniform", "cost_aware"
CURVES, TIMES = sensitivity_form.KIND, latency_shelf.KIND
"""What may be lacking, as the kinds of the jobs that measure it."""


@dataclass(frozen=True)
class Goal:
    """What to reach, and how.

    Attributes:
        unit: ``sparsity``, or the unit of a budget.
        part: Of a sparsity what goes, of a budget what stays.
        method: Name of an allocation.
        granularity: Of the plan.
        criterion: Of the plan.
        seed: Of the plan.
    """

    unit: str
    part: float
    method: str
    granularity: str
    criterion: str
    seed: int


def reach(goal: Goal) -> bool:
    """Spread it now, or begin to measure what the allocation lacks and spread it then.

    Returns:
        Whether it was spread, or only its trade-off is still to be learnt.

    Raises:
        PlanError: If it cannot be met; the former plan stays.
    """
    lacking = what_is_lacking(goal)
    if not lacking:
        forget()
        if not to_learn(goal):
            plan_state.replace(_allocated(goal))
            plan_moves.remember_base(session.plan())
        return True
    session.remember(**{_SETTING: asdict(goal) | {"of": session.measurement_key()}})
    if lacking == TIMES:
        latency_shelf.measure()
    else:
        _measure_curves()
    return False


def waiting() -> Goal | None:
    """The goal that waits for a measurement; None without one, or where it is not of the plan."""
    kept: Mapping[str, Any] = session.setting(_SETTING) or {}
    if not kept or kept.get("of") != session.measurement_key():
        return None
    goal = Goal(**{name: value for name, value in kept.items() if name != "of"})
    return goal if goal.granularity == session.plan().granularity else None


def forget() -> None:
    """Wait for nothing any more."""
    if session.setting(_SETTING):
        session.remember(**{_SETTING: None})


def go_on() -> Goal | None:
    """Spread the waiting goal as soon as what it lacked is there; called on every run.

    Returns:
        The goal, where it was spread just now.
    """
    goal = waiting()
    if goal is None:
        return None
    lacking = what_is_lacking(goal)
    if lacking and is_active(lacking):
        return None
    job = latest_job(lacking) if lacking else None
    try:
        if job is not None and job.state in ("failed", "cancelled"):
            forget()
        elif reach(goal):
            return goal
    except WorkbenchError as error:
        forget()
        notify(error)
        st.rerun()
    return None


def trade_off() -> float:
    """How much costs count: what was typed or learnt last."""
    return float(session.setting(_TRADE_OFF, 1.0))


def set_trade_off(value: float) -> None:
    """Let costs count so much from now on."""
    session.remember(**{_TRADE_OFF: float(value)})


def learns() -> bool:
    """Whether a person wants the trade-off to be learnt."""
    return bool(session.setting(_LEARNS, True))


def let_learn(wanted: bool) -> None:
    """Learn the trade-off from now on, or take what is typed."""
    session.remember(**{_LEARNS: wanted})


def to_learn(goal: Goal) -> bool:
    """Whether a goal is reached by learning the trade-off; a sparsity has no costs to weigh."""
    return goal.method == BY_COST and goal.unit != SPARSITY and learns()


def what_is_lacking(goal: Goal) -> str:
    """What has to be measured first: ``CURVES``, ``TIMES`` or nothing."""
    from workbench.allocation import get_allocation

    if get_allocation(goal.method).needs_curves and curves_at_hand() is None:
        return CURVES
    if goal.unit == "latency" and latency_shelf.table() is None:
        return TIMES
    return ""


def curves_at_hand() -> SensitivityCurves | None:
    """Curves that tell about every group that the plan on the bench may prune; None without."""
    plan = session.plan()
    if running_curves.job_for_plan(plan) is not None:
        return None
    curves = plan_state.fitting_curves(plan)
    if curves is None or curves.baseline is None:
        return None
    fixed = plan_state.locks()
    free = {group.name for group in session.groups().prunable if group.name not in fixed}
    return curves if free <= set(curves.groups) else None


def _measure_curves() -> None:
    """Go on with a measurement that was stopped, else begin one."""
    plan = session.plan()
    curves = plan_state.fitting_curves(plan)
    if curves is not None and curves.settings.criterion == plan.criterion:
        sensitivity_form.start(curves.settings)
    else:
        sensitivity_form.start_for_plan()


def _allocated(goal: Goal) -> PruningPlan:
    from workbench.allocation import Budget, allocate, get_allocation

    plan, groups = session.plan(), session.groups()
    given = {name: plan.sparsities.get(name, 0.0) for name in plan_limits.held(plan.granularity)}
    if not groups.prunable:
        raise PlanError(plan_state.why_unsuitable(groups), _("Choose another granularity."))
    by_sparsity = goal.unit == SPARSITY
    return allocate(
        session.require_model(), goal.method,
        sparsity=goal.part if by_sparsity else None,
        budget=None if by_sparsity else Budget(goal.unit, goal.part),
        granularity=plan.granularity, channel_multiple=plan.channel_multiple,
        criterion=goal.criterion, seed=goal.seed,
        protected=tuple(plan_state.protected()), groups=groups,
        curves=curves_at_hand() if get_allocation(goal.method).needs_curves else None,
        bounds=plan_limits.bounds(plan.granularity), locked=given,
        latencies=latency_shelf.table() if goal.unit == "latency" else None,
        trade_off=trade_off(),
    )  # fmt: skip
