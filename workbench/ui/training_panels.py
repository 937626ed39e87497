"""Fine-tuning: its settings, the button, and live curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.jobs import JobView
from workbench.ui import run_shelf, session
from workbench.ui.charts import accuracy_figure, loss_figure, show_chart
from workbench.ui.errors import guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.finetune_settings import FineTuneSettings

PRUNE, FINETUNE = "experiment", "finetune"
_SETTINGS = "finetune"


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
        values = _ask(_remembered())
        sent = st.form_submit_button(
            _("Fine-tune"), type="primary", icon=":material/model_training:", disabled=is_busy()
        )
    if sent:
        with guard():
            _finetune(current, _settings(values))
            st.rerun()
    if job is not None:
        show_job(FINETUNE, draw=_draw_training if running else None)
    if not running:
        _draw_history(current)


def _ask(before: FineTuneSettings) -> dict[str, Any]:
    """The widgets of the settings, filled with what was asked last."""
    from workbench.finetune_settings import OPTIMIZERS

    optimizers = list(OPTIMIZERS)
    by = {"epochs": _("Epochs"), "seconds": _("Seconds")}
    first = st.columns(4)
    asked: dict[str, Any] = {
        "by": first[0].segmented_control(
            _("Train for"), list(by), format_func=by.__getitem__, required=True,
            default="epochs" if before.seconds is None else "seconds",
            help=_("An epoch is one pass over the training images."),
        ),
        "amount": first[1].number_input(
            _("How many"), 1, 10_000, int(before.seconds or before.epochs),
            help=_("Epochs or seconds, as chosen beside it."),
        ),
        "optimizer": first[2].selectbox(
            _("Optimiser"), optimizers, optimizers.index(before.optimizer),
            help="\n\n".join(f"**{name}**: {text}" for name, text in OPTIMIZERS.items()),
        ),
        "lr": first[3].number_input(
            _("Learning rate"), 0.0, 10.0, before.lr, format="%.4f", placeholder=_("automatic"),
            help=_("The highest one; empty takes the optimiser's usual one."),
        ),
    }  # fmt: skip
    with st.expander(_("More settings"), icon=":material/tune:"):
        second = st.columns(5, vertical_alignment="bottom")
        asked |= {
            "batch_size": second[0].number_input(
                _("Batch size"), 2, 8192, before.batch_size, help=_("Images in a step.")
            ),
            "weight_decay": second[1].number_input(
                _("Weight decay"), 0.0, 1.0, before.weight_decay, format="%.5f",
                help=_("Pull of every weight towards zero."),
            ),
            "shift": second[2].number_input(
                _("Shift, pixels"), 0, 8, before.shift,
                help=_("Training images are moved at random by up to so many pixels."),
            ),
            "seed": second[3].number_input(
                _("Seed"), 0, 2**31 - 1, before.seed, help=_("Decides everything random.")
            ),
            "flip": second[4].checkbox(
                _("Mirror images"), before.flip, help=_("Half of them, left to right.")
            ),
        }  # fmt: skip
    return asked


def _settings(values: Mapping[str, Any]) -> FineTuneSettings:
    from workbench.finetune_settings import FineTuneSettings

    rest = {k: v for k, v in values.items() if k not in ("by", "amount", "lr")}
    amount = int(values["amount"])
    by_time = values["by"] == "seconds"
    return FineTuneSettings(
        **rest, lr=values["lr"], seconds=float(amount) if by_time else None,
        epochs=FineTuneSettings().epochs if by_time else amount,
    )  # fmt: skip


def _remembered() -> FineTuneSettings:
    from workbench.finetune_settings import FineTuneSettings

    kept = session.setting(_SETTINGS)
    return FineTuneSettings.from_dict(kept) if kept else FineTuneSettings()


def _finetune(current: ShelvedRun, settings: FineTuneSettings) -> None:
    session.remember(**{_SETTINGS: settings.to_dict()})
    run_shelf.choose_next()
    start_job(
        FINETUNE, _("Fine-tuning {run}").format(run=current.name),
        session.job_request(run=current.number, finetune=settings.to_dict()),
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
    _draw_curves(points, before)


def _draw_history(current: ShelvedRun) -> None:
    """The curves of a training that is over."""
    training = current.run.training
    if training is not None:
        _draw_curves(training.history, current, training.best_epoch)


def _draw_curves(
    points: Sequence[Mapping[str, Any]], shelved: ShelvedRun | None, best: int | None = None
) -> None:
    dense = shelved.run.stage("dense") if shelved else None
    epochs = [point for point in points if "accuracy" in point]
    top = max((point["accuracy"] for point in epochs), default=None)
    takeaway = (
        _("The best epoch has {accuracy} on validation images.").format(accuracy=percent(top))
        if top is not None
        else _("The first epoch is not over yet.")
    )
    left, right = st.columns(2)
    with left:
        show_chart(
            loss_figure(points), key="training_loss",
            alt=_("Curve of the training loss by step. ") + takeaway,
        )  # fmt: skip
    with right:
        show_chart(
            accuracy_figure(
                points, dense=dense.validation.accuracy if dense else None, best_epoch=best
            ),
            key="training_accuracy", alt=_("Curve of the accuracy by epoch. ") + takeaway,
        )  # fmt: skip
    st.caption(takeaway)
