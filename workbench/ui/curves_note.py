"""The line below the columns: where their colours come from, and what is being measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.ui import bench, links, running_curves, sensitivity_form, session
from workbench.ui.errors import callback, guard, plain, show_error
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, latest_job
from workbench.ui.theme import duration

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.jobs import JobView
    from workbench.plan import PruningPlan


def show_curves_note(plan: PruningPlan, curves: SensitivityCurves | None) -> None:
    """Say what stands behind the columns, if not finished curves of this very kind.

    Args:
        plan: On the bench.
        curves: What the colours and the prediction come from; None without.
    """
    job = running_curves.job_for_plan(plan)
    if job is not None:
        _show_running(job)
    elif curves is None:
        _offer_measuring()
    elif not curves.complete:
        _offer_resuming(curves)
    if curves is not None and curves.settings.criterion != plan.criterion:
        _tell_other_criterion(plan, curves)


def _show_running(job: JobView) -> None:
    """How far the measurement is, and the button that stops it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f":material/monitor_heart: {_progress(job)}", width="content")
        st.button(
            _("Stop now") if job.stopping else _("Stop"), key=f"plan_stop_{job.id}",
            icon=":material/stop_circle:", type="tertiary",
            help=_("Ends the measurement; the points so far are kept."),
            on_click=callback(partial(bench.jobs().stop, job.owner, job.id)),
        )  # fmt: skip


def _progress(job: JobView) -> str:
    if job.state == "queued":
        waiting = ngettext("{n} job runs before it", "{n} jobs run before it", job.ahead)
        return _("Sensitivity is measured soon: {waiting}.").format(
            waiting=waiting.format(n=job.ahead)
        )
    if not job.total:
        return _("Measuring: getting ready.")
    told = _("Measuring: {done:,} of {total:,} points").format(done=job.done, total=job.total)
    if job.stopping:
        return _("{told}, stopping.").format(told=told)
    if job.seconds_left is None:
        return _("{told}. Colours and prediction grow in.").format(told=told)
    return _("{told}, {time} left. Colours and prediction grow in.").format(
        told=told, time=duration(job.seconds_left)
    )


def _offer_measuring() -> None:
    """Nothing was measured at this granularity."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _(
                ":material/monitor_heart: No sensitivity was measured for {title} yet, so "
                "the columns have no colours and nothing is predicted."
            ).format(title=plain(session.groups().granularity.title)),
            width="content",
        )
        _button(_("Measure now"), sensitivity_form.start_for_plan)
        links.link_to("sensitivity", _("Measure the sensitivity"), "monitor_heart")
    _tell_failure()


def _offer_resuming(curves: SensitivityCurves) -> None:
    """The measurement was stopped, or the server was."""
    with st.container(horizontal=True, vertical_alignment="center"):
        told = ngettext(
            "The measurement was stopped: {count:,} point is there.",
            "The measurement was stopped: {count:,} points are there.",
            len(curves.points),
        )
        st.caption(
            f":material/monitor_heart: {told.format(count=len(curves.points))}", width="content"
        )
        _button(_("Resume"), partial(sensitivity_form.start, curves.settings))
    _tell_failure()


def _button(label: str, act: Callable[[], None]) -> None:
    """Start the measurement, and draw the whole page anew so that it is followed."""
    if st.button(
        label, key="plan_measure", icon=":material/play_arrow:",
        disabled=is_active(sensitivity_form.KIND),
    ):  # fmt: skip
        with guard():
            act()
            st.rerun()


def _tell_failure() -> None:
    """Why the last measurement of this workspace gave nothing."""
    job = latest_job(sensitivity_form.KIND)
    if job is not None and job.state == "failed":
        show_error(WorkbenchError(job.error, job.hint))


def _tell_other_criterion(plan: PruningPlan, curves: SensitivityCurves) -> None:
    from workbench.criteria import get_criterion

    st.caption(
        _(
            ":material/info: The curves were measured with the criterion {measured}; this plan "
            "uses {own}. Take colours and prediction as a rough guide."
        ).format(
            measured=plain(get_criterion(curves.settings.criterion).title),
            own=plain(get_criterion(plan.criterion).title),
        )
    )
