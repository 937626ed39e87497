"""The parts of the sensitivity page that show what was measured, and how far the work is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from workbench.granularity import parse_granularity
from workbench.jobs import JobView
from workbench.ui import curve_shelf, running_curves, session
from workbench.ui.charts import curves_figure, damage_figure, multiples_figure, show_chart
from workbench.ui.charts.sensitivity import MAX_MULTIPLES, Metric
from workbench.ui.errors import callback, fragment, plain
from workbench.ui.granularity_choice import granularity_title, group_noun, level_title
from workbench.ui.i18n import _
from workbench.ui.job_panel import show_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.sensitivity_form import KIND, start, start_for_plan
from workbench.ui.theme import interval, is_dark, percent

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves

_DROP = 0.01


def show_curves() -> None:
    """The curves on the bench, or as far as the running measurement has come."""
    job = job_of_bench(KIND)
    if job is not None and job.active and concerns_bench(job):
        show_job(KIND, draw=_draw_growing)
        return
    if job is not None:
        show_job(KIND)
    curves = curve_shelf.shelf().get(curve_shelf.shown_key())
    busy = job is not None and job.active
    if curves is None:
        _offer_first(busy)
        return
    _choose_shown()
    if not curves.complete:
        _offer_resume(curves)
    if not curve_shelf.fits_plan(curves):
        _tell_other_granularity(curves, busy)
    fragment(_draw_shown)


def _offer_first(busy: bool) -> None:
    """What to do where nothing was measured yet."""
    st.info(
        _("The sensitivity of this model has not been measured yet."),
        icon=":material/monitor_heart:",
    )
    st.button(
        _("Measure now"), type="primary", icon=":material/play_arrow:", disabled=busy,
        on_click=callback(start_for_plan),
    )  # fmt: skip


def _tell_other_granularity(curves: SensitivityCurves, busy: bool) -> None:
    """These curves tell nothing about the plan; offer those that do."""
    own, wanted = curves.settings.granularity, session.plan().granularity
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            _("These curves are of “{curves}”; the plan is of “{plan}”.").format(
                curves=plain(granularity_title(own)), plan=plain(granularity_title(wanted))
            ),
            icon=":material/info:",
        )
        if not curve_shelf.current_key():
            st.button(
                _("Measure for the plan"), icon=":material/play_arrow:", disabled=busy,
                on_click=callback(start_for_plan),
            )  # fmt: skip


def _draw_shown() -> None:
    curves = curve_shelf.shelf().get(curve_shelf.shown_key())
    if curves is not None:
        _draw(curves)


def _draw_growing(job: JobView) -> None:
    """The points that have come so far."""
    curves = running_curves.curves_of_job(job)
    if curves is not None and curves.points:
        _draw(curves)
    elif job.state == "running":
        st.skeleton(height=440)


def _draw(curves: SensitivityCurves) -> None:
    """A sentence, then the three views of the same numbers."""
    from workbench.curves import most_fragile

    fragile = most_fragile(curves, 5, _DROP)
    st.markdown(_sentence(curves))
    if curves.note:
        st.caption(
            _(":material/info: The whole network was run for every point. {reason}").format(
                reason=plain(curves.note)
            )
        )
    views = {
        "together": _("All together"),
        "each": _("One by one"),
        "map": _("Heat map"),
    }
    metrics = {"accuracy": _("Accuracy"), "loss": _("Loss")}
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        view = st.segmented_control(
            _("View"), list(views), format_func=views.__getitem__, default="together", key="view",
            persist_state="session", label_visibility="collapsed", required=True,
        )  # fmt: skip
        metric = st.segmented_control(
            _("Measure"), list(metrics), format_func=metrics.__getitem__, default="accuracy",
            key="metric", persist_state="session", label_visibility="collapsed",
            disabled=view == "map", required=True,
        )  # fmt: skip
    takeaway = _plain_sentence(curves)
    if view == "map":
        show_chart(
            damage_figure(curves, dark=is_dark()), key="damage_map",
            alt=_("Heat map of the accuracy lost by {thing} and level. ").format(
                thing=_thing(curves)) + takeaway,
        )  # fmt: skip
    elif view == "each":
        _draw_multiples(curves, metric, takeaway)
    else:
        show_chart(
            curves_figure(curves, _metric(metric), highlighted=[f.group for f in fragile]),
            key=f"curves_{metric}",
            alt=_("Curves of {metric} against {level}, one per {thing}. ").format(
                metric=metric, level=_level(curves), thing=_thing(curves)
            )
            + takeaway,
            takeaway=_takeaway(curves, metric, _("Bands are 95 % intervals")),
        )


def _draw_multiples(curves: SensitivityCurves, metric: str, takeaway: str) -> None:
    """Small charts, at most 24 at once."""
    groups = list(curves.groups)
    parts = [groups[i : i + MAX_MULTIPLES] for i in range(0, len(groups), MAX_MULTIPLES)]
    shown = parts[0] if parts else []
    if len(parts) > 1:
        index = st.select_slider(
            _("Shown"), range(len(parts)),
            format_func=lambda i: f"{parts[i][0]} … {parts[i][-1]}", key="multiples_part",
        )  # fmt: skip
        shown = parts[index]
    show_chart(
        multiples_figure(curves, shown, _metric(metric)),
        key=f"multiples_{metric}",
        alt=_("One small chart of {metric} against {level} per {thing}. ").format(
            metric=metric, level=_level(curves), thing=_thing(curves)) + takeaway,
        takeaway=_takeaway(curves, metric, _("Bars are 95 % intervals"))
        + " " + _("The dashed line is the dense model."),
    )  # fmt: skip


def _takeaway(curves: SensitivityCurves, metric: str, intervals: str) -> str:
    """What bands, bars and hollow points mean, where there are any."""
    of_all = _("{intervals} of what all images would give.").format(intervals=intervals)
    told = of_all if curves.settings.precision == "fast" else f"{intervals}."
    parts = [told] if metric == "accuracy" else []
    if curves.interpolated:
        parts.append(_("Hollow points on dotted lines are interpolated."))
    return " ".join(parts)


def _thing(curves: SensitivityCurves) -> str:
    return group_noun(parse_granularity(curves.settings.granularity))


def _level(curves: SensitivityCurves) -> str:
    return level_title(curves.settings.granularity).lower()


def _metric(name: str) -> Metric:
    return "loss" if name == "loss" else "accuracy"


def _sentence(curves: SensitivityCurves) -> str:
    """The most fragile layers or groups, with emphasis."""
    from workbench.curves import most_fragile
    from workbench.metrics import wilson_interval

    worst = most_fragile(curves, 3, _DROP)
    if curves.baseline is None:
        return _("The dense model is being measured.")
    dense = curves.baseline
    low, high = wilson_interval(round(dense.accuracy * dense.samples), dense.samples)
    base = _("Dense: {accuracy} ({interval}).").format(
        accuracy=percent(dense.accuracy), interval=interval(low, high, dense.samples)
    )
    if not worst:
        none = _("No {thing} has lost more than one point of accuracy so far.")
        return none.format(thing=_thing(curves)) + " " + base
    named = ", ".join(
        _("**{layer}** (loses a point from about {level} on)").format(
            layer=plain(f.group), level=percent(f.level, 0)
        )
        for f in worst
    )
    sentence = _("Most fragile: {layers}.").format(layers=named) + " " + base
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def _plain_sentence(curves: SensitivityCurves) -> str:
    return _sentence(curves).replace("**", "").replace("\\", "")


def _choose_shown() -> None:
    """A list of the sets of curves at hand, where there are several."""
    keys = list(curve_shelf.shelf())
    titles = {key: curve_shelf.title(key) for key in keys}
    if len(keys) == 1:
        st.caption(plain(titles[keys[0]]))
        return
    current = curve_shelf.shown_key()
    widget = f"shown_{'_'.join(keys)}_{current}"

    def choose() -> None:
        key = st.session_state[widget]
        if key != current:  # a list that is gone may report its old choice once more
            curve_shelf.choose(key)

    st.selectbox(
        _("Curves"), keys, index=keys.index(current), format_func=titles.__getitem__, key=widget,
        on_change=callback(choose),
        help=_("The plan page shows the damage of the curves chosen here, if they fit the plan."),
    )  # fmt: skip


def _offer_resume(curves: SensitivityCurves) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            _("The measurement was stopped; these are the points so far."), icon=":material/info:"
        )
        st.button(
            _("Resume"), icon=":material/play_arrow:",
            on_click=callback(partial(start, curves.settings)),
        )  # fmt: skip
