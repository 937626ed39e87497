"""How much costs count for the cost-aware allocation: typed, or learnt on validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from workbench.jobs import JobView
from workbench.ui import plan_found, plan_goal, session
from workbench.ui.equaliser.text import prediction_basis
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job
from workbench.ui.plan_found import TRADE_OFF
from workbench.ui.plan_goal import Goal
from workbench.ui.plan_target import NARROW
from workbench.ui.repair_choice import usual_repair
from workbench.ui.theme import percent
from workbench.ui.words import explain

_MOST = 4.0
_TAKEN = "trade_off_taken"


def show_trade_off() -> None:
    """Whether the exponent is learnt, and what it is."""
    learns, now = plan_goal.learns(), plan_goal.trade_off()
    switch, typed = f"trade_off_learn_{learns}", f"trade_off_{now}"

    def change_learning() -> None:
        plan_goal.let_learn(bool(st.session_state[switch]))

    def change_value() -> None:
        plan_goal.set_trade_off(float(st.session_state[typed]))

    st.number_input(
        _("Trade-off"), 0.0, _MOST, now, 0.05, key=typed, width=NARROW, format="%.2f",
        on_change=callback(change_value), disabled=learns,
        help=explain("trade-off"),
    )  # fmt: skip
    st.toggle(
        _("Learn it"), learns, key=switch, on_change=callback(change_learning),
        help=_(
            "Tries a few trade-offs at the same budget and takes the plan that loses least, on "
            "up to {samples:,} validation images, {repaired}."
        ).format(samples=plan_found.SAMPLES, repaired=prediction_basis(_repair())),
    )  # fmt: skip


def learn(goal: Goal) -> None:
    """Begin to learn the trade-off for a goal; the plan is put on the bench when it is found."""
    plan_found.search(
        TRADE_OFF, _("Learning the trade-off"), unit=goal.unit, method=goal.method, kept=goal.part,
        repair=_repair(),
    )  # fmt: skip


def _repair() -> str:
    """The one that the plan will get: what is best after a quick one may not be best after it."""
    return usual_repair(session.setting("repair"))


def take_learnt() -> None:
    """Let later plans go by what was learnt."""
    one = plan_found.found(TRADE_OFF)
    if one is None or not one.taken or st.session_state.get(_TAKEN) == repr(one.told):
        return
    st.session_state[_TAKEN] = repr(one.told)
    if plan_goal.learns():
        plan_goal.set_trade_off(float(one.told["trade_off"]))


def show_learning() -> None:
    """How far it is, and what every trade-off lost."""
    show_job(TRADE_OFF, _draw)
    one = plan_found.found(TRADE_OFF)
    if one is None or is_active(TRADE_OFF):
        return
    if not plan_found.is_on_bench(one) and not plan_found.began_from(one):
        return
    _show_trials(one.told["trials"], float(one.told["trade_off"]))
    st.caption(_says(one.told))
    if one.changes and not plan_found.is_on_bench(one):
        st.button(
            _("Take this plan"), icon=":material/input:", key="take_trade_off",
            on_click=callback(partial(plan_found.take, TRADE_OFF)),
        )  # fmt: skip


def _draw(job: JobView) -> None:
    if job.active:
        _show_trials([values for values in job.series if "trade_off" in values])


def _show_trials(trials: Sequence[Mapping[str, Any]], best: float | None = None) -> None:
    """Every trade-off that was tried; the best is marked by a word."""
    if not trials:
        return
    rows = pd.DataFrame({
        _("Trade-off"): [f"{float(trial['trade_off']):g}" for trial in trials],
        _("Loss after repair"): [_or_none(trial["loss"], "{:.4f}") for trial in trials],
        _("Accuracy after repair"): [
            "–" if trial["accuracy"] is None else percent(float(trial["accuracy"]), 2)
            for trial in trials
        ],
        _("Taken"): [_("yes") if trial["trade_off"] == best else "" for trial in trials],
    })  # fmt: skip
    st.table(rows, hide_index=True, border="horizontal")


def _or_none(value: float | None, shape: str) -> str:
    return "–" if value is None else shape.format(value)


def _says(told: Mapping[str, Any]) -> str:
    """Which exponent won, and that these images decided."""
    blind = next((t["loss"] for t in told["trials"] if t["trade_off"] == 0), None)
    best = next(t["loss"] for t in told["trials"] if t["trade_off"] == told["trade_off"])
    sentence = _("Trade-off {value} lost least on {samples:,} validation images").format(
        value=f"{told['trade_off']:g}", samples=int(told["samples"])
    )
    if blind is not None and told["trade_off"]:
        sentence += _(": loss {best}, blind for costs {blind}").format(
            best=f"{best:.4f}", blind=f"{blind:.4f}"
        )
    elif blind is not None:
        sentence += _(": here counting costs does not help")
    sentence += "."
    if not told["complete"]:
        sentence += " " + _("The search was stopped.")
    fit = told.get("latency")
    if fit:
        sentence += " " + _("Timed on this machine: {part} of the dense time.").format(
            part=percent(fit["achieved"])
        )
    return plain(sentence)
