"""Background work on a page: start it, watch it, stop it, and see how it ended."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.jobs import JobView, kept_something
from workbench.ui import bench, session
from workbench.ui.errors import callback, fragment, plain, show_error
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import duration

POLL_S = 0.5


def start_job(kind: str, title: str, request: Mapping[str, object]) -> JobView:
    """Begin background work for this workspace; what is active already is not begun again.

    Args:
        kind: Name of the task in ``workbench.tasks``.
        title: What the panel shows, such as "Fine-tuning".
        request: The task's arguments; plain JSON.
    """
    return bench.jobs().submit(session.workspace_id(), kind, title, request)


def latest_job(kind: str) -> JobView | None:
    """This workspace's newest job of a kind, running or ended; None where there is none."""
    return bench.jobs().latest(session.workspace_id(), kind)


def is_active(kind: str) -> bool:
    """Whether this workspace has a job of that kind queued or running."""
    job = latest_job(kind)
    return job is not None and job.active


def show_job(kind: str, draw: Callable[[JobView], None] | None = None) -> None:
    """Draw this workspace's newest job of a kind: progress, time left and Stop, or how it ended.

    While it is active this part of the page is drawn anew every half second, and the whole page
    once when it ends. Draws nothing where there is no job.

    Args:
        kind: Name of the task.
        draw: Draws what the job has found so far, from ``JobView.series``; called on every update,
            and after the end with the final view.
    """
    seen = latest_job(kind)
    if seen is None:
        return

    def body() -> None:
        job = latest_job(kind) or seen
        if seen.active and not job.active:
            st.rerun()
        if job.active:
            _show_progress(job)
        else:
            _show_ending(job)
        if draw is not None:
            draw(job)

    fragment(body, run_every=POLL_S if seen.active else None)


def _show_progress(job: JobView) -> None:
    """One line: bar with text, and the button that stops it."""
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(job.completed, text=_progress_text(job))
    button.button(
        _("Stop now") if job.stopping else _("Stop"),
        key=f"stop_{job.id}",
        icon=":material/stop_circle:",
        width="stretch",
        help=_("Ends the work and keeps what is finished; pressed again it ends at once."),
        on_click=callback(partial(bench.jobs().stop, job.owner, job.id)),
    )


def _progress_text(job: JobView) -> str:
    """Title, what is being done, how far it is and how long it will take."""
    if job.state == "queued":
        waiting = ngettext("{n} job runs before it", "{n} jobs run before it", job.ahead)
        return f"**{plain(job.title)}** · " + waiting.format(n=job.ahead)
    parts = [f"**{plain(job.title)}**"]
    if job.stopping:
        parts.append(_("stopping"))
    if job.message:
        parts.append(plain(job.message))
    elif not job.total and not job.stopping:
        parts.append(_("getting ready"))
    if job.total:
        parts.append(_("{done:,} of {total:,}").format(done=job.done, total=job.total))
    if job.seconds_left is not None and not job.stopping:
        parts.append(_("{time} left").format(time=duration(job.seconds_left)))
    return " · ".join(parts)


def _show_ending(job: JobView) -> None:
    """How a job ended; a failure says what to do."""
    if job.state == "failed":
        show_error(WorkbenchError(job.error, job.hint))
        return
    took = duration(job.seconds)
    if job.state == "cancelled":
        ending = (
            _("{title}: stopped after {time}. What was finished is kept.")
            if kept_something(job)
            else _("{title}: stopped after {time}. Nothing was finished, so nothing is kept.")
        )
        st.info(ending.format(title=plain(job.title), time=took), icon=":material/stop_circle:")
        return
    ending = _("{title}: done in {time}.")
    st.caption(f":material/check_circle: {ending.format(title=plain(job.title), time=took)}")
