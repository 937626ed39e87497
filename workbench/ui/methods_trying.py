"""Trying a method on the model on the bench, what came of it, and what methods cost there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.method import Method
from workbench.ui import curve_shelf, methods_found, session
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, latest_job, show_job, start_job
from workbench.ui.job_scope import concerns_bench
from workbench.ui.links import link_to
from workbench.ui.repair_choice import repair_names, usual_repair
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.trying import TryingSettings

TRYING, COSTS = "trying", "method_costs"
_SETTINGS = "trying"
_TRIED = ("criterion", "allocation", "repair", "schedule", "sparse_training", "finetuning")


def is_of(family: str, name: str) -> bool:
    """Whether this method is being tried now."""
    job = latest_job(TRYING)
    if job is None or not job.active or not concerns_bench(job):
        return False
    asked: Any = job.request.get("settings")
    return (asked["family"], asked["method"]) == (family, name)


# How everything is tried


def show_settings(family: str) -> None:
    """Granularity, sparsity and repair of all trials, and the button that times all methods."""
    if session.workspace().data_ref is None:
        return
    from workbench.repair import REPAIRS
    from workbench.trying import GRANULARITIES

    titles = {"weight": _("Weights"), "channel": _("Channels")}
    kept: Mapping[str, Any] = session.setting(_SETTINGS, {})
    with (
        st.container(border=True),
        st.container(horizontal=True, vertical_alignment="bottom", gap="medium"),
    ):
        granularity = st.segmented_control(
            _("Try on"), list(titles), format_func=titles.__getitem__, required=True,
            default=_kept_granularity(), key="trying_granularity", help=explain("granularity"),
            on_change=callback(_remember_granularity),
        )  # fmt: skip
        usual = float(kept.get(f"sparsity_{granularity}", GRANULARITIES[str(granularity)]))
        st.slider(
            _("Sparsity") if granularity == "weight" else _("Channel pruning ratio"),
            1, 99, round(100 * usual), format="%d %%", key=f"trying_sparsity_{granularity}",
            width=200, on_change=callback(partial(_remember_sparsity, str(granularity))),
            help=_("How much both of a trial prune."),
        )  # fmt: skip
        repairs = [name for name in repair_names() if name != "none"]
        if family in _TRIED and family != "repair":
            chosen = _kept_repair()
            st.selectbox(
                _("Repair"), repairs, repairs.index(chosen), key="trying_repair", width=190,
                format_func=lambda name: REPAIRS[name].title, help=explain("repair"),
                on_change=callback(_remember_repair),
            )  # fmt: skip
        st.button(
            _("Time all methods"), icon=":material/timer:", key="methods_time",
            disabled=is_active(COSTS), on_click=callback(_measure_costs),
            help=_("Measures the seconds that every method takes on this model, in the "
                   "background; they stand on the cards."),
        )  # fmt: skip
    job = latest_job(COSTS)
    if job is not None and concerns_bench(job):
        show_job(COSTS)


def _kept_granularity() -> str:
    kept = session.setting(_SETTINGS, {}).get("granularity")
    if kept:
        return str(kept)
    return "channel" if session.plan().granularity == "channel" else "weight"


def _kept_repair() -> str:
    names = [name for name in repair_names() if name != "none"]
    kept = session.setting(_SETTINGS, {}).get("repair")
    return str(kept) if kept in names else usual_repair()


def _remember(**values: object) -> None:
    session.remember(**{_SETTINGS: {**session.setting(_SETTINGS, {}), **values}})


def _remember_granularity() -> None:
    _remember(granularity=st.session_state["trying_granularity"])


def _remember_sparsity(granularity: str) -> None:
    value = st.session_state[f"trying_sparsity_{granularity}"] / 100
    _remember(**{f"sparsity_{granularity}": value})


def _remember_repair() -> None:
    _remember(repair=st.session_state["trying_repair"])


def _settings(family: str, name: str) -> TryingSettings:
    """What the page shows now."""
    from workbench.trying import GRANULARITIES, TryingSettings

    kept: Mapping[str, Any] = session.setting(_SETTINGS, {})
    granularity = _kept_granularity()
    return TryingSettings(
        family, name, granularity=granularity,
        sparsity=float(kept.get(f"sparsity_{granularity}", GRANULARITIES[granularity])),
        repair="" if family == "repair" else _kept_repair(),
    )  # fmt: skip


# Seconds


def _measure_costs() -> None:
    session.require_data()
    request = session.job_request(granularity=_kept_granularity(), curves=[*curve_shelf.shelf()])
    start_job(COSTS, _("Timing every method"), request)


def show_cost(family: str, method: Method) -> None:
    """The seconds of a method on this model, those of a trial, or that none were measured."""
    if session.workspace().data_ref is None:
        return
    from workbench.trying import costs_key

    key = costs_key(
        session.require_model().digest, methods_found.data_digest(), _kept_granularity()
    )
    kept: Mapping[str, Any] = session.setting("method_costs", {}).get(key, {})
    cost = kept.get(f"{family}.{method.name}")
    timed = methods_found.timed_in_trial(family, method.name, _kept_granularity())
    if cost is None and timed:
        st.caption(_("**Seconds on this model** {seconds}, in a trial").format(seconds=timed))
    elif cost is None:
        st.caption(_("**Seconds on this model** not measured yet"))
    elif cost["seconds"] is None:
        st.caption(_("**On this model** {reason}").format(reason=plain(cost["reason"])))
    else:
        what = {
            "criterion": _("for all scores"),
            "allocation": _("for a plan"),
            "repair": _("for a repair"),
            "schedule": _("for an epoch"),
            "sparse_training": _("for an epoch"),
            "finetuning": _("for an epoch"),
            "replacement": _("for the whole model"),
            "ensemble": _("to combine three models on 1,000 images"),
            "corruption": _("for 1,000 images"),
        }[family]
        st.caption(
            _("**Seconds on this model** {seconds} {what}").format(
                seconds=methods_found.in_seconds(cost["seconds"]), what=what
            )
        )


# One trial


def show_trial(family: str, method: Method) -> None:
    """The button that tries a method, and what came of it."""
    if family not in _TRIED:
        _show_elsewhere(family)
        return
    if session.workspace().data_ref is None:
        st.caption(_("Trying it needs images: choose data on the model page."))
        return
    try:
        settings = _settings(family, method.name)
    except WorkbenchError as error:
        st.caption(f":material/block: {plain(error.message)} {plain(error.hint)}")
        return
    rival = methods_found.method_title(family, settings.rival)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            _("Try it next to {rival}").format(rival=rival),
            icon=":material/experiment:", key=f"try_{family}_{method.name}",
            disabled=is_active(TRYING), on_click=callback(partial(_try, family, method.name)),
            help=_help(family),
        )  # fmt: skip
        st.caption(methods_found.asked_words(settings))
    job = latest_job(TRYING)
    if job is not None and concerns_bench(job):
        asked: Any = job.request.get("settings")
        if (asked["family"], asked["method"]) == (family, method.name):
            show_job(TRYING)
    methods_found.show_found(settings)


def _help(family: str) -> str:
    return {
        "criterion": _("Prunes your model with it and with magnitude, evenly over the layers, and "
                       "measures both on the same validation images."),
        "allocation": _("Spreads the same sparsity by it and evenly, and measures both on the same "
                        "validation images."),
        "repair": _("Prunes by magnitude, repairs with it, and measures both on the same "
                    "validation images."),
        "schedule": _("Trains your model with it on a few thousand images, and cuts it at once by "
                      "magnitude and trains it as long; both are measured on the same validation "
                      "images."),
        "sparse_training": _("Trains your model with it on a few thousand images, and cuts it at "
                             "once by magnitude and trains it as long; both are measured on the "
                             "same validation images."),
        "finetuning": _("Prunes by magnitude, repairs, trains on a few thousand images with it and "
                        "without, and measures both on the same validation images."),
    }[family]  # fmt: skip


def _try(family: str, name: str) -> None:
    session.require_data()
    settings = _settings(family, name)
    request = session.job_request(settings=settings.to_dict(), curves=[*curve_shelf.shelf()])
    start_job(
        TRYING,
        _("Trying {method}").format(method=methods_found.method_title(family, name)),
        request,
    )


def _show_elsewhere(family: str) -> None:
    """The page where methods of another family are used."""
    page, label, icon = {
        "replacement": ("quantise", _("Use it on a run"), "compress"),
        "ensemble": ("ensembles", _("Combine runs with it"), "groups"),
        "corruption": ("robustness", _("Test runs with it"), "foggy"),
    }[family]
    link_to(page, label, icon)
