"""Fine-tuning: its settings, the button, and live curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench.jobs import JobView
from workbench.ui import run_shelf, session, training_form
from workbench.ui.charts import accuracy_figure, loss_figure, show_chart
from workbench.ui.errors import guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import percent

PRUNE, FINETUNE = "experiment", "finetune"


def is_busy() -> bool:
    """Whether this workspace prunes or trains now."""
    return is_active(PRUNE) or is_active(FINETUNE)


def show_finetune() -> None:
    """Settings, the button, and live curves."""
    current = run_shelf.chosen()
    job = job_of_bench(FINETUNE)
    running = job is not None and job.active and concerns_bench(job)
    if current is None:
        if job is not None and job.active:  # the run it began with was deleted meanwhile
            show_job(FINETUNE, draw=_draw_training if running else None)
        return
    st.subheader(_("3. Fine-tune"), anchor=False)
    st.write(
        _(
            "Trains what is left of {run}; {held}. The epoch that is best on validation images is "
            "kept."
        ).format(
            run=plain(current.name),
            held=_("removed channels stay gone")
            if current.structured
            else _("pruned weights stay exactly zero"),
        )
    )
    with st.form("finetune_settings"):
        values = training_form.ask()
        sent = st.form_submit_button(
            _("Fine-tune"), type="primary", icon=":material/model_training:", disabled=is_busy()
        )
    if sent:
        with guard():
            _finetune(current, values)
            st.rerun()
    if job is not None:
        show_job(FINETUNE, draw=_draw_training if running else None)
    if not running:
        _draw_history(current)


def _finetune(current: ShelvedRun, values: Mapping[str, Any]) -> None:
    settings = training_form.settings_of(values)
    training_form.remember(values, settings)
    run_shelf.choose_next()
    start_job(
        FINETUNE, _("Fine-tuning {run}").format(run=current.name),
        session.job_request(
            run=current.number, finetune=settings.to_dict(),
            teacher=training_form.teacher_of(values),
        ),
    )  # fmt: skip


def _draw_training(job: JobView) -> None:
    """Live curves of loss and accuracy."""
    points = [values for values in job.series if "epoch" in values]
    if not points:
        if job.state == "running":
            st.skeleton(height=280)
        return
    started: Any = job.request.get("run")
    before = next((one for one in run_shelf.runs() if one.number == started), None)
    asked: Any = job.request.get("finetune") or {}
    _draw_curves(points, before, words=_loss_words(asked))


def _loss_words(settings: Mapping[str, Any]) -> str:
    """What the two losses hold, where they are not the same and so not to be compared."""
    if settings.get("distillation"):
        return _(
            "Two different losses: the training loss holds the distance from the teacher's answers "
            "as well, the validation loss is cross-entropy on the labels alone. Compare each curve "
            "with itself only."
        )
    if settings.get("label_smoothing"):
        return _(
            "Two different losses: the training loss is against smoothed labels, the validation "
            "loss against the labels themselves. Compare each curve with itself only."
        )
    return ""


def _draw_history(current: ShelvedRun) -> None:
    """The curves of a training that is over."""
    training = current.run.training
    if training is not None:
        words = _loss_words(training.settings.to_dict())
        _draw_curves(training.history, current, training.best_epoch, words=words)
        st.caption(training_form.training_words(training))


def _draw_curves(
    points: Sequence[Mapping[str, Any]], shelved: ShelvedRun | None, best: int | None = None, *,
    words: str,
) -> None:  # fmt: skip
    dense = shelved.run.stage("dense") if shelved else None
    epochs = [point for point in points if "accuracy" in point]
    top = max((point["accuracy"] for point in epochs), default=None)
    if top is None:
        takeaway = _("The first epoch is not over yet.")
    elif best == 0:
        takeaway = _(
            "No epoch was better than the start, so the weights stay as they were: {accuracy} on "
            "validation images."
        ).format(accuracy=percent(top))
    else:
        takeaway = _("The best epoch has {accuracy} on validation images.").format(
            accuracy=percent(top)
        )
    left, right = st.columns(2)
    with left:
        show_chart(
            loss_figure(points), key="training_loss",
            alt=_("Curve of the training loss by step. ") + takeaway,
        )  # fmt: skip
        if words:
            st.caption(words)
    with right:
        show_chart(
            accuracy_figure(
                points, dense=dense.validation.accuracy if dense else None, best_epoch=best
            ),
            key="training_accuracy", alt=_("Curve of the accuracy by epoch. ") + takeaway,
        )  # fmt: skip
    st.caption(takeaway)
