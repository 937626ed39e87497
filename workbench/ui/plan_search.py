"""Searches that measure plans: the smallest model above a floor, and a refined plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from workbench.granularity import parse_granularity
from workbench.jobs import JobView
from workbench.ui import plan_found, plan_goal, plan_spread, plan_target, session
from workbench.ui.equaliser.text import prediction_basis
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, show_job
from workbench.ui.plan_found import FLOOR, REFINE, Found
from workbench.ui.repair_choice import quick_repair
from workbench.ui.theme import percent
from workbench.ui.words import explain

_FLOOR, _TRIES = "plan_floor", "plan_tries"
_USUAL_DROP, _USUAL_TRIES, _MOST_TRIES = 0.01, 20, 200


def show_search() -> None:
    """Two searches, folded away until they are wanted."""
    opened = st.expander(
        _("Search by measuring: smallest model above a floor, refine"), on_change="rerun",
        icon=":material/travel_explore:", key="plan_search",
    )  # fmt: skip
    if not opened.open:
        return
    with opened:
        left, right = st.columns(2, gap="large")
        with left:
            _show_floor()
        with right:
            _show_refine()


def unit_of_search() -> str:
    """What is made small: what the goal counts, where that can be had without timing."""
    kind = parse_granularity(session.plan().granularity)
    unit = plan_target.unit(kind)
    if unit in ("latency", plan_target.SPARSITY):
        return "macs" if kind.structured else "params"
    return unit


# The smallest model above a floor


def _show_floor() -> None:
    kind = parse_granularity(session.plan().granularity)
    whole = plan_target.titles(kind)[unit_of_search()]
    st.markdown(_("**Smallest model above a floor**"))
    st.caption(
        _(
            "{whole}: cuts in steps of 10 %, then halves the step, with the allocation chosen "
            "above. Every plan is measured on up to {samples:,} validation images, {repaired}."
        ).format(
            whole=plain(whole),
            samples=plan_found.SAMPLES,
            repaired=prediction_basis(quick_repair()),
        )
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            _("Least accuracy, %"), 1.0, 99.9, _usual_floor(), 0.5, format="%.1f", key=_FLOOR,
            persist_state="session", width=160, help=explain("accuracy"),
        )  # fmt: skip
        st.button(
            _("Find it"), icon=":material/search:", key="plan_floor_go", disabled=is_active(FLOOR),
            on_click=callback(_search_floor),
        )  # fmt: skip
    show_job(FLOOR, _draw_trials)
    one = plan_found.found(FLOOR)
    if one is not None and not is_active(FLOOR):
        _show_trials(one.told["trials"])
        st.caption(_floor_says(one))
        _offer(one)


def _usual_floor() -> float:
    """One point below what the dense model reaches, as far as that is known."""
    curves = plan_goal.curves_at_hand()
    known = session.measured_accuracy()
    dense = curves.baseline.accuracy if curves and curves.baseline else None
    if dense is None:
        dense = known.accuracy if known else 0.9
    return round(100 * (dense - _USUAL_DROP), 1)


def _search_floor() -> None:
    unit = unit_of_search()
    plan_found.search(
        FLOOR, _("Looking for the smallest model"), unit=unit, method=plan_spread.chosen_rule(),
        floor=float(st.session_state[_FLOOR]) / 100,
    )  # fmt: skip


def _draw_trials(job: JobView) -> None:
    if job.active:
        _show_trials([values for values in job.series if "holds" in values])


def _show_trials(trials: Sequence[Mapping[str, Any]]) -> None:
    """Every plan that was tried, in the order of the search."""
    if not trials:
        return
    rows = pd.DataFrame({
        _("Kept"): [percent(float(trial["kept"])) for trial in trials],
        _("Accuracy"): [percent(float(trial["accuracy"]), 2) for trial in trials],
        _("Above the floor"): [_("yes") if trial["holds"] else _("no") for trial in trials],
    })  # fmt: skip
    st.table(rows, hide_index=True, border="horizontal")


def _floor_says(one: Found) -> str:
    holding = [trial for trial in one.told["trials"] if trial["holds"]]
    if not holding:
        return _("No plan stays above the floor.")
    best = min(holding, key=lambda trial: float(trial["kept"]))
    told = _(
        "The smallest above {floor} keeps {kept}: {accuracy} on {samples:,} validation images."
    ).format(
        floor=percent(float(one.told["floor"])), kept=percent(float(best["kept"])),
        accuracy=percent(float(best["accuracy"]), 2), samples=int(best["samples"]),
    )  # fmt: skip
    return told if one.told["complete"] else told + " " + _("The search was stopped.")


# Refine


def _show_refine() -> None:
    plan = session.plan()
    st.markdown(_("**Refine the plan**"))
    st.caption(
        _(
            "Exchanges a little between two groups at equal cost, measures the plan, and keeps "
            "what lowers the loss. Undo brings the former plan back."
        )
    )
    ready = plan_goal.curves_at_hand() is not None and any(plan.sparsities.values())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            _("Plans to measure"), 2, _MOST_TRIES, _USUAL_TRIES, 10, key=_TRIES,
            persist_state="session", width=160, help=_("The plan as it stands is the first."),
        )  # fmt: skip
        st.button(
            _("Refine"), icon=":material/tune:", key="plan_refine_go", on_click=callback(_refine),
            disabled=is_active(REFINE) or not ready,
            help=None if ready else _("It needs a plan, and the sensitivity of its groups."),
        )  # fmt: skip
    show_job(REFINE, _draw_moves)
    one = plan_found.found(REFINE)
    if one is not None and not is_active(REFINE):
        st.caption(_refine_says(one))
        _show_moves(one.told["moves"])
        _offer(one)


def _refine() -> None:
    plan_found.search(
        REFINE, _("Refining the plan"), unit=unit_of_search(), method=plan_goal.BEST,
        evaluations=int(st.session_state[_TRIES]),
    )  # fmt: skip


def _draw_moves(job: JobView) -> None:
    if job.active:
        _show_moves([values for values in job.series if "accepted" in values])


def _show_moves(moves: Sequence[Mapping[str, Any]]) -> None:
    """Every exchange that was measured; what was kept is marked by a word."""
    if not moves:
        return
    rows = pd.DataFrame({
        _("Cut further"): [str(move["more"]) for move in moves],
        _("Spared for it"): [str(move["less"]) for move in moves],
        _("Loss"): [f"{float(move['loss']):.4f}" for move in moves],
        _("Kept"): [_("yes") if move["accepted"] else _("no") for move in moves],
    })  # fmt: skip
    st.dataframe(rows, hide_index=True, height=min(36 * (len(rows) + 1) + 3, 300))


def _refine_says(one: Found) -> str:
    told = one.told
    kept = sum(bool(move["accepted"]) for move in told["moves"])
    outcome = ngettext(
        "{n} of {all} exchanges was kept: loss {before} → {after}, accuracy {old} → {new} on "
        "{samples:,} validation images.",
        "{n} of {all} exchanges were kept: loss {before} → {after}, accuracy {old} → {new} on "
        "{samples:,} validation images.",
        kept,
    ).format(
        n=kept, all=len(told["moves"]), before=f"{told['loss_before']:.4f}",
        after=f"{told['loss']:.4f}", old=percent(told["accuracy_before"], 2),
        new=percent(told["accuracy"], 2), samples=told["samples"],
    )  # fmt: skip
    return outcome + " " + _("These images decided, so part of the gain is luck with them.")


def _offer(one: Found) -> None:
    """Take the plan, where it is not on the bench."""
    if one.plan is not None and one.changes and not plan_found.is_on_bench(one):
        st.button(
            _("Take this plan"), icon=":material/input:", key=f"take_{one.way}",
            on_click=callback(partial(plan_found.take, one.way)),
        )  # fmt: skip
