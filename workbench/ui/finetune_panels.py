"""The parts of the page that prunes and fine-tunes: what to do, how it goes, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.jobs import JobView
from workbench.ui import run_shelf, session
from workbench.ui.charts import accuracy_figure, loss_figure, show_chart
from workbench.ui.errors import callback, guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.links import link_to
from workbench.ui.repair_choice import repair_names, repair_note, usual_repair
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import compact, in_bytes, interval, milliseconds, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.experiment import Run
    from workbench.finetune_settings import FineTuneSettings
    from workbench.plan import PruningPlan

PRUNE, FINETUNE = "experiment", "finetune"
_REPAIR, _SETTINGS = "repair", "finetune"


def show_prune() -> None:
    """The plan in a sentence, the repair, and the button."""
    from workbench.accounting import size_of_plan
    from workbench.repair import REPAIRS

    plan = session.plan()
    size = size_of_plan(session.groups(), plan)
    st.subheader(_("1. Prune"), anchor=False)
    if size.num_nonzero == size.num_params:
        st.info(_("The plan is empty, so there is nothing to prune."), icon=":material/info:")
        link_to("plan", _("Make a plan"), "equalizer")
        _show_pruning()
        return
    st.write(
        _(
            "The plan keeps {kept} of {total} parameters ({ratio}× fewer) in {layers} layers."
        ).format(
            kept=compact(size.num_nonzero), total=compact(size.num_params),
            ratio=f"{size.compression_ratio:.2f}",
            layers=sum(value > 0 for value in plan.sparsities.values()),
        )
    )  # fmt: skip
    repairs, usual = repair_names(), usual_repair(session.setting(_REPAIR))
    repair_key = f"repair_{repairs}_{usual}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        repair = st.selectbox(
            _("Repair"), repairs, repairs.index(usual),
            format_func=lambda name: REPAIRS[name].title, help=explain("repair"),
            disabled=len(repairs) == 1, key=repair_key,
        )  # fmt: skip
        st.button(
            _("Prune and measure"), type="primary", icon=":material/content_cut:",
            disabled=_busy(), on_click=callback(partial(_prune, repair_key)),
            help=_("Prunes a copy of the dense model and measures it on all test images."),
        )  # fmt: skip
    st.caption(repair_note(repair))
    _show_pruning()


def _show_pruning() -> None:
    job = job_of_bench(PRUNE)
    if job is not None:
        show_job(PRUNE, draw=_draw_pruning if concerns_bench(job) else None)


def _busy() -> bool:
    return is_active(PRUNE) or is_active(FINETUNE)


def _prune(repair_key: str) -> None:
    repair = str(st.session_state[repair_key])
    session.require_data()
    if len(repair_names()) > 1:
        session.remember(**{_REPAIR: repair})
    run_shelf.choose_next()
    start_job(
        PRUNE, _("Pruning {model}").format(model=session.model_ref().name),
        session.job_request(plan=session.plan().to_dict(), repair=repair, finetune=None),
    )  # fmt: skip


def _draw_pruning(job: JobView) -> None:
    """The stages measured so far, while it runs."""
    if not job.active:
        return
    series: Sequence[Mapping[str, Any]] = job.series
    rows = [
        (str(values["stage"]), values["measurement"])
        for values in series
        if "measurement" in values
    ]
    if rows:
        _show_stages([_row(name, measurement) for name, measurement in rows], key="growing")


def show_outcome() -> None:
    """The chosen run, stage by stage."""
    found = run_shelf.runs()
    current = run_shelf.chosen()
    if current is None:
        return
    st.subheader(_("2. Look at the outcome"), anchor=False)
    numbers = [one.number for one in found]
    titles = {one.number: one.title for one in found}
    widget = f"run_{numbers}_{current.number}"

    def choose() -> None:
        run_shelf.choose(st.session_state[widget])

    st.selectbox(
        _("Run"), numbers[::-1], index=numbers[::-1].index(current.number), key=widget,
        format_func=titles.__getitem__, on_change=callback(choose),
    )  # fmt: skip
    run = current.run
    if not _is_of_plan(run):
        st.caption(
            _(":material/info: This run belongs to another plan than the one on the plan page.")
        )
    _show_stages(
        [_row(stage.name, stage.measurement.to_dict()) for stage in run.stages],
        key=f"stages_{current.number}",
    )
    st.caption(_takeaway(run))


def _is_of_plan(run: Run) -> bool:
    """Whether a run pruned what the plan on the plan page says; how it came about is no matter."""

    def decides(plan: PruningPlan) -> tuple[object, ...]:
        seed = plan.seed if plan.criterion == "random" else 0
        pruned = {name: value for name, value in plan.sparsities.items() if value}
        return plan.granularity, plan.criterion, seed, pruned

    return decides(run.plan) == decides(session.plan())


def _row(stage: str, measurement: Mapping[str, Any]) -> dict[str, object]:
    """One stage as a line of the table."""
    latency = measurement["latency_ms"]
    return {
        "stage": run_shelf.stage_title(stage),
        "accuracy": percent(measurement["accuracy"], 2),
        "interval": interval(measurement["ci_low"], measurement["ci_high"], measurement["samples"]),
        "loss": "∞" if measurement["loss"] is None else f"{measurement['loss']:.3f}",
        "nonzero": compact(measurement["num_nonzero"]),
        "macs": compact(measurement["macs"]),
        "bytes": in_bytes(measurement["bytes"]),
        "latency": "–" if latency is None else milliseconds(latency),
    }


def _show_stages(rows: Sequence[Mapping[str, object]], *, key: str) -> None:
    """Accuracy and size of every stage, measured on the test split."""
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key=key,
        alt=_("Table of {count} measured stages with accuracy and size.").format(count=len(rows)),
        column_config={
            "stage": column.TextColumn(_("Stage"), pinned=True, width=110),
            "accuracy": column.TextColumn(_("Test accuracy"), help=explain("test split")),
            "interval": column.TextColumn(_("95 % interval"), help=explain("interval")),
            "loss": column.TextColumn(_("Test loss"), help=explain("loss")),
            "nonzero": column.TextColumn(
                _("Non-zero parameters"), help=explain("non-zero parameters")
            ),
            "macs": column.TextColumn(_("MACs (theoretical)"), help=explain("MACs")),
            "bytes": column.TextColumn(_("Stored size"), help=explain("stored size")),
            "latency": column.TextColumn(_("Latency"), help=explain("latency")),
        },
    )  # fmt: skip


def _takeaway(run: Run) -> str:
    """What the run kept of the dense accuracy, and the honest word on speed."""
    dense, final = run.stage("dense"), run.final
    words = _("Single zeros do not make dense runtimes faster: compare the latencies above.")
    if dense is None or final.name == "dense":
        return words
    lost = 100 * (dense.measurement.accuracy - final.measurement.accuracy)
    change = _("{points} points below dense").format(points=f"{lost:.1f}")
    if lost < 0:
        change = _("{points} points above dense").format(points=f"{-lost:.1f}")
    ratio = final.measurement.num_params / max(1, final.measurement.num_nonzero)
    return (
        _("With {ratio}× fewer parameters the {stage} model is {change}.").format(
            ratio=f"{ratio:.1f}", stage=run_shelf.stage_title(final.name), change=change
        )
        + " "
        + words
    )


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
            "Trains what is left of {run} while pruned weights stay exactly zero. The epoch that "
            "is best on validation images is kept."
        ).format(run=plain(current.name))
    )
    with st.form("finetune_settings"):
        values = _ask(_remembered())
        sent = st.form_submit_button(
            _("Fine-tune"), type="primary", icon=":material/model_training:", disabled=_busy()
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
