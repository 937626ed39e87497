"""The parts of the sensitivity page: what was measured, its settings, and the work itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import SettingsError
from workbench.granularity import parse_granularity
from workbench.jobs import JobView
from workbench.ui import curve_shelf, session
from workbench.ui.charts import curves_figure, damage_figure, multiples_figure, show_chart
from workbench.ui.charts.sensitivity import MAX_MULTIPLES, Metric
from workbench.ui.errors import callback, fragment, guard, plain
from workbench.ui.granularity_choice import (
    granularity_names,
    granularity_title,
    group_noun,
    level_title,
)
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.repair_choice import quick_repair, repair_names
from workbench.ui.theme import interval, is_dark, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves, SensitivitySettings

KIND = "sensitivity"
_SETTINGS = "sensitivity"
_DROP = 0.01
_LEVELS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
_CHANNEL_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


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
        on_click=callback(_start_for_plan),
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
                on_click=callback(_start_for_plan),
            )  # fmt: skip


def _draw_shown() -> None:
    curves = curve_shelf.shelf().get(curve_shelf.shown_key())
    if curves is not None:
        _draw(curves)


def _draw_growing(job: JobView) -> None:
    """The points that have come so far."""
    curves = curves_of_job(job)
    if curves is not None and curves.points:
        _draw(curves)
    elif job.state == "running":
        st.skeleton(height=440)


def curves_of_job(job: JobView) -> SensitivityCurves | None:
    """The curves so far of a running measurement; None before its first point."""
    from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings

    request: Mapping[str, Any] = job.request
    fields = SensitivityPoint.__dataclass_fields__
    points = [
        SensitivityPoint.from_dict({key: values[key] for key in fields})
        for values in job.series
        if "group" in values
    ]
    if not points:
        return None
    baseline = next((point for point in points if not point.group), None)
    cut = tuple(point for point in points if point.group)
    return SensitivityCurves(
        SensitivitySettings.from_dict(request["settings"]), "", "", baseline, cut,
        job.seconds, len(points), False,
    )  # fmt: skip


def _draw(curves: SensitivityCurves) -> None:
    """A sentence, then the three views of the same numbers."""
    from workbench.curves import most_fragile

    fragile = most_fragile(curves, 5, _DROP)
    st.markdown(_sentence(curves))
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
            takeaway=_("Bands are 95 % intervals.") if metric == "accuracy" else "",
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
        takeaway=_("Bars are 95 % intervals; the dashed line is the dense model.")
        if metric == "accuracy"
        else _("The dashed line is the dense model."),
    )  # fmt: skip


def _thing(curves: SensitivityCurves) -> str:
    return group_noun(parse_granularity(curves.settings.granularity))


def _level(curves: SensitivityCurves) -> str:
    return level_title(curves.settings.granularity).lower()


def _metric(name: str) -> Metric:
    return "loss" if name == "loss" else "accuracy"


def _sentence(curves: SensitivityCurves) -> str:
    """The most fragile layers or groups, with emphasis."""
    from workbench.curves import most_fragile

    worst = most_fragile(curves, 3, _DROP)
    if curves.baseline is None:
        return _("The dense model is being measured.")
    base = _("Dense: {accuracy} ({interval}).").format(
        accuracy=percent(curves.baseline.accuracy),
        interval=interval(curves.baseline.ci_low, curves.baseline.ci_high, curves.baseline.samples),
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


def measure_again() -> None:
    """Settings of a measurement and the button that begins it."""
    with st.expander(_("Measure with other settings"), icon=":material/tune:"):
        granularity = _ask_granularity()
        with st.form("sensitivity", border=False):
            values = _ask(_remembered(granularity))
            sent = st.form_submit_button(
                _("Measure"), icon=":material/play_arrow:", disabled=is_active(KIND)
            )
        if sent:
            with guard():
                start(_settings(values | {"granularity": granularity}))
                st.rerun()


def _ask_granularity() -> str:
    """What goes together; the plan's until another is chosen."""
    planned = session.plan().granularity
    names = granularity_names(planned)
    granularity = st.selectbox(
        _("Granularity"), names, names.index(planned), format_func=granularity_title,
        key=f"sensitivity_granularity_{planned}", persist_state="session",
        help=explain("granularity"),
    )  # fmt: skip
    st.caption(parse_granularity(granularity).summary)
    return str(granularity)


def _ask(before: SensitivitySettings) -> dict[str, Any]:
    """The widgets of the settings, filled with what was asked last."""
    from workbench.criteria import CRITERIA
    from workbench.repair import REPAIRS

    first, second = st.columns(2), st.columns(2)
    criteria, repairs = list(CRITERIA), repair_names()
    kind = parse_granularity(before.granularity)
    levels = ", ".join(f"{100 * level:g}" for level in before.levels)
    return {
        "criterion": first[0].selectbox(
            _("Criterion"), criteria, criteria.index(before.criterion),
            format_func=lambda name: CRITERIA[name].title, help=explain("criterion"),
        ),
        "repair": first[1].selectbox(
            _("Repair before measuring"), repairs, repairs.index(before.repair),
            format_func=lambda name: REPAIRS[name].title, help=explain("repair"),
        ),
        "levels": second[0].text_input(
            _("Channel pruning ratios in percent") if kind.structured else _("Levels in percent"),
            levels, disabled=kind.kind == "nm", key=f"levels_{before.granularity}_{levels}",
            help=_("N:M prunes the same share everywhere, so there is one level.")
            if kind.kind == "nm"
            else _("The levels at which every {thing} is measured.").format(
                thing=group_noun(kind)
            ),
        ),
        "num_samples": second[1].number_input(
            _("Validation images"), 50, 10_000, before.num_samples, 50,
            help=_("More images give narrower intervals and take longer."),
        ),
    }  # fmt: skip


def _settings(values: Mapping[str, Any]) -> SensitivitySettings:
    from workbench.curves import SensitivitySettings

    return SensitivitySettings(
        levels=_levels(str(values["levels"])), num_samples=int(values["num_samples"]),
        criterion=values["criterion"], repair=values["repair"],
        granularity=values["granularity"],
    )  # fmt: skip


def _levels(text: str) -> tuple[float, ...]:
    """Sparsities from percentages with commas or spaces between them.

    Raises:
        SettingsError: If there are none, or one is no number between 0 and 100.
    """
    hint = _("Write percentages with commas between them, such as 30, 50, 70, 90.")
    words = text.replace("%", " ").replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        message = _("The levels {text!r} are not all numbers.").format(text=text)
        raise SettingsError(message, hint) from None
    if not numbers:
        raise SettingsError(_("No level was given."), hint)
    for number in numbers:
        if not 0 < number < 100:
            message = _("The level {number} % is not between 0 and 100 %.")
            raise SettingsError(message.format(number=f"{number:g}"), hint)
    return tuple(number / 100 for number in numbers)


def _remembered(granularity: str) -> SensitivitySettings:
    """What was asked last in this workspace at a granularity, or a good beginning."""
    from workbench.curves import SensitivitySettings

    kept = session.setting(_SETTINGS)
    if kept is not None and kept["granularity"] == granularity:
        repair = quick_repair(kept["repair"])
        return SensitivitySettings.from_dict(kept | {"repair": repair})
    structured = parse_granularity(granularity).structured
    return SensitivitySettings(
        levels=_CHANNEL_LEVELS if structured else _LEVELS, num_samples=500,
        repair=quick_repair(), granularity=granularity,
    )  # fmt: skip


def _start_for_plan() -> None:
    plan = session.plan()
    start(replace(_remembered(plan.granularity), criterion=plan.criterion))


def start(settings: SensitivitySettings) -> None:
    """Begin or resume a measurement; points that are in the cache come at once."""
    session.require_data()
    if len(repair_names()) > 1:  # else the repair was not chosen, and must not be remembered
        session.remember(**{_SETTINGS: settings.to_dict()})
    curve_shelf.expect_curves(settings)
    start_job(
        KIND, _("Measuring the sensitivity of {model}").format(model=session.model_ref().name),
        session.job_request(settings=settings.to_dict()),
    )  # fmt: skip
