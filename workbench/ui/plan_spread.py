"""A goal for the whole model, spread over the groups by one of the allocations."""

from __future__ import annotations

from functools import partial

import streamlit as st

from workbench.granularity import parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import (
    plan_found,
    plan_freeze,
    plan_goal,
    plan_state,
    plan_target,
    plan_trade_off,
    session,
)
from workbench.ui.criterion_choice import criterion_help, criterion_names, criterion_title, prepare
from workbench.ui.errors import callback, guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job
from workbench.ui.methods_links import explain_methods
from workbench.ui.plan_found import Found
from workbench.ui.plan_goal import Goal
from workbench.ui.theme import milliseconds, percent

MAX_SEED = 2**53 - 1  # the browser counts no further
_RULE = "plan_rule"
_QUICK = ("channel", "macs", 1 / 4)


def show_quick_start() -> None:
    """The plan that most people want, in one click."""
    empty = not any(session.plan().sparsities.values())
    st.button(
        _("4× fewer MACs, smallest loss"), icon=":material/bolt:", key="plan_quick",
        type="primary" if empty else "secondary", on_click=callback(_quick),
        help=_(
            "Removes whole channels, as the optimal allocation chooses them; undo brings the "
            "former plan back."
        ),
    )  # fmt: skip


def show_spread() -> None:
    """The goal, how it is spread, and how what goes is ranked."""
    _follow_up(plan_goal.go_on())
    plan_found.take_new()
    plan_trade_off.take_learnt()
    plan = session.plan()
    with guard():
        prepare(plan.criterion, plan.granularity)
    kind = parse_granularity(plan.granularity)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            unit_key = plan_target.show_unit(kind)
            plan_target.show_part(kind)
            _rule()
            _button(unit_key)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            _ranking(plan)
            if chosen_rule() == plan_goal.BY_COST:
                plan_trade_off.show_trade_off()
            st.caption(_told(unit_key), width="stretch")
        plan_freeze.show_freeze()
        if chosen_rule() == plan_goal.BY_COST:
            plan_trade_off.show_learning()
        if plan_target.unit(kind) == "latency":
            _show_times()


def _quick() -> None:
    """Channels, a quarter of the MACs, the least predicted loss."""
    granularity, unit, part = _QUICK
    plan_state.change_granularity(granularity)
    plan_target.remember(unit, part, parse_granularity(granularity))
    session.remember(**{_RULE: plan_goal.BEST})
    plan = session.plan()
    plan_goal.reach(Goal(unit, part, plan_goal.BEST, granularity, plan.criterion, plan.seed))


def _rule() -> None:
    """Choose an allocation."""
    from workbench.allocation import ALLOCATIONS

    names = sorted(ALLOCATIONS, key=lambda name: name != plan_goal.BEST)
    chosen = chosen_rule()
    if st.session_state.get(_RULE) != chosen:
        st.session_state[_RULE] = chosen
    st.selectbox(
        _("Allocation"), names, key=_RULE, width=230,
        format_func=lambda name: ALLOCATIONS[name].title,
        help=explain_methods("allocation", "allocation"), on_change=callback(_remember_rule),
    )  # fmt: skip


def chosen_rule() -> str:
    """What was chosen last; until then the best that can be had without measuring."""
    from workbench.allocation import ALLOCATIONS

    kept = str(session.setting(_RULE, ""))
    if kept in ALLOCATIONS:
        return kept
    ready = plan_goal.curves_at_hand() is not None
    return plan_goal.BEST if ready else plan_goal.PLAIN


def _remember_rule() -> None:
    session.remember(**{_RULE: st.session_state[_RULE]})


def _button(unit_key: str) -> None:
    """Spread at once, or measure first; the choices are read when it is clicked."""
    lacking = plan_goal.what_is_lacking(_goal(unit_key))
    waits = plan_goal.waiting() is not None and is_active(lacking)
    st.button(
        _("Measure and spread") if lacking else _("Spread"), type="primary",
        icon=":material/hourglass_top:" if waits else ":material/auto_awesome:", disabled=waits,
        on_click=callback(partial(_spread, unit_key)), key="plan_spread",
        help=_("Sets every unlocked group at once; undo brings the former plan back."),
    )  # fmt: skip


def _goal(unit_key: str) -> Goal:
    """What the page shows now."""
    plan = session.plan()
    kind = parse_granularity(plan.granularity)
    unit = str(st.session_state.get(unit_key, plan_target.unit(kind)))
    chosen = f"plan_criterion_{plan.criterion}_{plan.granularity}"
    criterion = st.session_state.get(chosen, plan.criterion)
    seed = int(st.session_state.get(f"plan_seed_{plan.seed}", plan.seed))
    method = str(st.session_state.get(_RULE) or chosen_rule())
    part = plan_target.part(unit, kind)
    return Goal(unit, part, method, plan.granularity, str(criterion), seed)


def _spread(unit_key: str) -> None:
    """Spread what the widgets say now: they may have changed with the very click."""
    session.refresh()
    kind = parse_granularity(session.plan().granularity)
    plan_target.read(unit_key, kind)
    goal = _goal(unit_key)
    if plan_goal.reach(goal):
        _follow_up(goal)


def _follow_up(goal: Goal | None) -> None:
    """Learn what is to be learnt; time a plan made for a latency, since the table only predicts."""
    if goal is None:
        return
    if plan_goal.to_learn(goal):
        plan_trade_off.learn(goal)
    elif goal.unit == "latency":
        plan_found.search(
            plan_found.LATENCY, _("Timing the plan"), unit=goal.unit, method=goal.method,
            kept=goal.part,
        )  # fmt: skip


def _show_times() -> None:
    """How far the timing is, and what the plan really takes."""
    show_job(plan_goal.TIMES)
    show_job(plan_found.LATENCY)
    one = plan_found.found(plan_found.LATENCY)
    if one is None or is_active(plan_found.LATENCY):
        return
    if not plan_found.is_on_bench(one) and not plan_found.began_from(one):
        return
    st.caption(_times_say(one))
    if one.changes and not plan_found.is_on_bench(one):
        st.button(
            _("Take the corrected plan"), icon=":material/input:", key="take_latency",
            on_click=callback(partial(plan_found.take, plan_found.LATENCY)),
        )  # fmt: skip


def _times_say(one: Found) -> str:
    """The measured time beside the budget."""
    told = one.told
    dense, pruned = (told["measured"][name]["median_ms"] for name in ("dense", "pruned"))
    first = _("Timed on this machine: {pruned} instead of {dense}, {part} of the dense time.")
    met = (
        _("The budget of {kept} is met.")
        if told["met"]
        else _("The budget of {kept} is missed; no plan that was tried meets it.")
    )
    which = ""
    if one.changes:
        which = " " + _(
            "That is a corrected plan: the one made from the table took longer or less."
        )
    return (first + " " + met).format(
        pruned=milliseconds(pruned), dense=milliseconds(dense), part=percent(told["achieved"]),
        kept=percent(told["kept"]),
    ) + which  # fmt: skip


def _told(unit_key: str) -> str:
    """What the allocation does, who described it, and what it has to know first."""
    from workbench.allocation import get_allocation

    goal = _goal(unit_key)
    chosen = get_allocation(goal.method)
    told = plain(chosen.summary)
    if chosen.paper:
        told += " " + _("From {paper}.").format(paper=plain(chosen.paper))
    lacking = plan_goal.what_is_lacking(goal)
    if not lacking:
        return told
    if plan_goal.waiting() is not None and is_active(lacking):
        return told + " " + _("It goes on by itself as soon as what it needs is measured.")
    needs = {
        plan_goal.CURVES: _(
            ":material/monitor_heart: It needs to know what cutting each group costs, which is "
            "measured first."
        ),
        plan_goal.TIMES: _(
            ":material/timer: It needs the times of the model on this machine, which are measured "
            "first."
        ),
    }
    return told + " " + needs[lacking]


def _ranking(plan: PruningPlan) -> None:
    """The criterion and its seed; another one keeps the sparsities."""
    names = criterion_names(plan.granularity, plan.criterion)
    criterion = st.selectbox(
        _("Criterion"), names, names.index(plan.criterion), width=310,
        format_func=criterion_title, help=criterion_help(plan.criterion),
        key=f"plan_criterion_{plan.criterion}_{plan.granularity}",
    )  # fmt: skip
    seed = st.number_input(
        _("Seed"), 0, MAX_SEED, plan.seed, width=plan_target.NARROW, key=f"plan_seed_{plan.seed}",
        help=_("Decides whatever is random: the random criterion and the random allocation."),
        disabled="random" not in (criterion, st.session_state[_RULE]),
    )  # fmt: skip
    if (criterion, int(seed)) != (plan.criterion, plan.seed):
        changed = plan.to_dict() | {"criterion": criterion, "seed": int(seed)}
        plan_state.replace(PruningPlan.from_dict(changed))
        st.rerun()
