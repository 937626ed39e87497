"""The parts of the arena page: the chart, the table, who prunes what, and taking a plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.granularity import parse_granularity
from workbench.jobs import JobView
from workbench.ui import arena_form, arena_shelf, arena_words, plan_panels, session
from workbench.ui.arena_form import KIND, unit_titles
from workbench.ui.charts import arena_figure, show_chart, sparsities_figure
from workbench.ui.charts.arena import Metric
from workbench.ui.errors import callback, fragment, plain
from workbench.ui.granularity_choice import group_noun, level_title
from workbench.ui.i18n import _
from workbench.ui.job_panel import show_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.links import link_to
from workbench.ui.theme import is_dark, percent

if TYPE_CHECKING:
    from workbench.arena import Arena, ArenaEntry

_TAKEN = "arena_plan_taken"


def show_arena() -> None:
    """What was measured, or as far as the running arena has come."""
    job = job_of_bench(KIND)
    if job is not None and job.active and concerns_bench(job):
        show_job(KIND, draw=_draw_growing)
        return
    if job is not None:
        show_job(KIND)
    key = arena_shelf.current_key()
    arena = arena_shelf.shelf().get(key)
    if arena is None or not arena.entries:
        arena_form.offer_first(job is not None and job.active)
        return
    arena_shelf.learn(key, arena)
    _choose_shown(key)
    if not arena.complete:
        _offer_resume(arena)
    fragment(partial(_draw, key))


def _draw_growing(job: JobView) -> None:
    """The entries that have come so far."""
    key = arena_shelf.current_key()
    arena = arena_shelf.shelf().get(key)
    if arena is not None and arena.measured:
        _draw(key)
    elif job.state == "running":
        st.skeleton(height=500)


def _draw(key: str) -> None:
    """A sentence, the chart, the table, and a closer look at one budget."""
    arena = arena_shelf.shelf().get(key)
    if arena is None:
        return
    if not arena.measured:
        st.info(_("None of the budgets could be met."), icon=":material/info:")
        _tell_reasons(arena)
        return
    st.markdown(arena_words.takeaway(arena))
    axis, metric = _choose_axes(arena)
    names = arena_words.names(arena)
    takeaway = arena_words.axis_note(arena, axis)
    show_chart(
        arena_figure(
            arena, axis, metric, names=names, axis_title=arena_words.axis_title(axis)
        ),
        key=f"arena_{axis}_{metric}",
        alt=_("Chart of validation {metric} against the part of {what} that is kept, a line for "
              "each method. ").format(metric=_metric_word(metric), what=unit_titles()[axis].lower())
        + arena_words.takeaway(arena).replace("**", "").replace("\\", "") + " " + takeaway,
        takeaway=takeaway + " " + _reading(metric),
    )  # fmt: skip
    _show_table(arena, metric)
    if arena.settings.refine:
        st.caption(
            _("The refined plan was bettered on validation images, some of them those shown here: "
              "part of its gain is luck with them. Test images tell, after pruning.")
        )  # fmt: skip
    _tell_reasons(arena)
    _show_budget(arena)


def _metric_word(metric: Metric) -> str:
    return _("loss") if metric == "loss" else _("accuracy")


def _reading(metric: Metric) -> str:
    """How to read the chart."""
    if metric == "loss":
        return _("Both axes are logarithmic.")
    return _(
        "Bars are 95 % intervals of the best at each budget. The axis counts errors: halving "
        "them is always the same way up."
    )


def _choose_axes(arena: Arena) -> tuple[str, Metric]:
    """What is drawn against what; the same entries every time."""
    titles = unit_titles()
    metrics = {"accuracy": _("Accuracy"), "loss": _("Loss")}
    axes = list(arena.axes())
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        axis = st.segmented_control(
            _("Axis"), axes, format_func=titles.__getitem__, required=True,
            default=arena.settings.unit if arena.settings.unit in axes else axes[0],
            key=f"arena_axis_{arena.key}_{len(axes)}", persist_state="session",
            help=_("The same models against another measure of what they keep."),
        )  # fmt: skip
        metric = st.segmented_control(
            _("Measure"), list(metrics), format_func=metrics.__getitem__, default="accuracy",
            key="arena_metric", persist_state="session", required=True,
        )  # fmt: skip
    return str(axis), "loss" if metric == "loss" else "accuracy"


def _show_table(arena: Arena, metric: Metric) -> None:
    """A row for each method, a column for each budget; the best is marked, and its ties."""
    names = arena_words.names(arena)
    columns = {arena_words.budget_title(arena, factor): factor for factor in arena.factors}
    frame = pd.DataFrame([
        {"method": names[method]} | {
            title: _cell(arena, arena.entry(method, factor), metric)
            for title, factor in columns.items()
        }
        for method in arena.methods
    ])  # fmt: skip
    st.dataframe(
        frame, hide_index=True, key=f"arena_table_{metric}", height=36 * (len(frame) + 1) + 3,
        alt=_("Table of validation {metric}, a row for each method and a column for each "
              "budget.").format(metric=_metric_word(metric)),
        column_config={
            "method": st.column_config.TextColumn(_("Method"), pinned=True),
            **{title: st.column_config.TextColumn(title) for title in columns},
        },
    )  # fmt: skip
    st.caption(
        _("★ least loss at this budget · – budget cannot be met")
        if metric == "loss"
        else _("★ best at this budget · ≈ tie: compared image by image it cannot be told from the "
               "best (sign test, 95 %) · – budget cannot be met")
    )  # fmt: skip
    st.download_button(
        _("Download as CSV"), arena_frame(arena).to_csv(index=False), file_name="arena.csv",
        mime="text/csv", icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _cell(arena: Arena, entry: ArenaEntry | None, metric: Metric) -> str:
    if entry is None:
        return ""
    if entry.score is None:
        return "–"
    score = entry.score
    value = f"{score.loss:.3f}" if metric == "loss" else percent(score.accuracy, 2)
    if entry is arena.best(entry.factor, metric):
        return f"{value} ★"
    if metric == "loss":
        return value
    return f"{value} ≈" if entry.method in arena.ties(entry.factor) else value


def arena_frame(arena: Arena) -> pd.DataFrame:
    """One row for each entry, plain units."""
    settings = arena.settings
    return pd.DataFrame([
        {
            "method": entry.method, "scaled": entry.scaled, "unit": settings.unit,
            "factor": entry.factor, "granularity": settings.granularity,
            "criterion": entry.plan.criterion if entry.plan else settings.criterion,
            "repair": settings.repair,
            "accuracy": entry.score and entry.score.accuracy,
            "ci_low": entry.score and entry.score.ci_low,
            "ci_high": entry.score and entry.score.ci_high,
            "loss": entry.score and entry.score.loss,
            "samples": entry.score and entry.score.samples,
            "num_nonzero": entry.size and entry.size.num_nonzero,
            "macs": entry.size and entry.size.macs, "bytes": entry.size and entry.size.bytes,
            "latency_kept": entry.latency, "seconds": entry.seconds, "reason": entry.reason,
        }
        for entry in arena.entries
    ])  # fmt: skip


def _tell_reasons(arena: Arena) -> None:
    """Why some budgets could not be met, each reason once."""
    names = arena_words.names(arena)
    by_reason: dict[str, list[str]] = {}
    for entry in arena.entries:
        if entry.reason:
            who = f"{names[entry.method]}, {entry.factor:.3g}×"
            by_reason.setdefault(entry.reason, []).append(who)
    for reason, everybody in by_reason.items():
        st.caption(f":material/block: {plain('; '.join(everybody))}: {plain(reason)}")


def _show_budget(arena: Arena) -> None:
    """Who prunes what at one budget, and the way of a plan to the editor."""
    factors = [factor for factor in arena.factors if arena.best(factor) is not None]
    st.subheader(_("Who prunes what"), anchor=False)
    factor = st.segmented_control(
        _("At the budget"), factors, default=factors[min(1, len(factors) - 1)], required=True,
        format_func=lambda f: arena_words.budget_title(arena, f),
        key=f"arena_budget_{arena.key}_{len(factors)}", persist_state="session",
    )  # fmt: skip
    entries = [e for e in arena.entries if e.factor == factor and e.plan is not None]
    _take_row(arena, [entry for entry in entries if entry.score is not None])
    groups = [
        group.name
        for group in session.groups(arena.settings.granularity).prunable
        if any(entry.plan and entry.plan.sparsities.get(group.name) for entry in entries)
    ]
    names = arena_words.names(arena)
    kind = parse_granularity(arena.settings.granularity)
    takeaway = arena_words.disagreement(entries, groups, names)
    show_chart(
        sparsities_figure(
            groups,
            {_column(names, e): e.plan.sparsities for e in entries if e.plan is not None},
            dark=is_dark(), level_title=level_title(arena.settings.granularity),
        ),
        key=f"arena_map_{factor:g}",
        alt=_("Heat map of what each method prunes of each {thing}. ").format(
            thing=group_noun(kind)) + takeaway,
        takeaway=takeaway,
    )  # fmt: skip


def _column(names: dict[str, str], entry: ArenaEntry) -> str:
    """A method over its accuracy."""
    if entry.score is None:
        return names[entry.method]
    return f"{names[entry.method]}<br>{percent(entry.score.accuracy)}"


def _take_row(arena: Arena, entries: list[ArenaEntry]) -> None:
    """Choose one of the plans at a budget and put it into the editor."""
    names = arena_words.names(arena)
    methods = [entry.method for entry in entries]
    best = arena.best(entries[0].factor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"arena_take_{arena.key}_{entries[0].factor:g}_{len(methods)}"
        st.selectbox(
            _("Plan of"), methods, methods.index(best.method) if best else 0, key=key, width=280,
            format_func=names.__getitem__,
        )  # fmt: skip
        st.button(
            _("Take this plan"), icon=":material/equalizer:", key=f"{key}_button",
            on_click=callback(partial(_take, arena, entries[0].factor, key)),
            help=_("Puts it on the plan page, to be bent by hand; undo there brings the former "
                   "plan back."),
        )  # fmt: skip
    _tell_plan_taken()


def _take(arena: Arena, factor: float, key: str) -> None:
    entry = arena.entry(st.session_state[key], factor)
    if entry is not None and entry.plan is not None:
        plan_panels.put_plan(entry.plan)
        name = arena_words.names(arena)[entry.method]
        st.session_state[_TAKEN] = f"{name}, {arena_words.budget_title(arena, factor)}"


def _tell_plan_taken() -> None:
    """Confirm, once, that a plan was taken, with the way to it."""
    if taken := st.session_state.pop(_TAKEN, ""):
        st.success(
            _("The plan of {who} is on the plan page now.").format(who=plain(taken)),
            icon=":material/check_circle:",
        )
        link_to("plan", _("Open the plan"), "equalizer")


def _choose_shown(current: str) -> None:
    """A list of the arenas of this model, where there are several."""
    found = arena_shelf.shelf()
    if len(found) < 2:
        st.caption(plain(arena_words.title(found[current])))
        return
    widget = f"arena_shown_{'_'.join(found)}_{current}"

    def choose() -> None:
        if st.session_state[widget] != current:
            arena_shelf.choose(st.session_state[widget])

    st.selectbox(
        _("Arena"), list(found), index=list(found).index(current), key=widget,
        format_func=lambda key: arena_words.title(found[key]), on_change=callback(choose),
    )  # fmt: skip


def _offer_resume(arena: Arena) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(_("It was stopped; these are the entries so far."), icon=":material/info:")
        st.button(
            _("Resume"), icon=":material/play_arrow:",
            on_click=callback(partial(arena_form.start, arena.settings)),
        )  # fmt: skip
