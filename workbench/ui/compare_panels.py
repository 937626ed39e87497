"""The parts of the compare page: the trade-off chart, the chosen run, and the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.pareto import pareto_front
from workbench.ui import bench, plan_panels, run_shelf, session, width_panels
from workbench.ui.charts import Mark, Step, show_chart, tradeoff_figure
from workbench.ui.charts.tradeoff import MARKS_TRACE
from workbench.ui.errors import callback, plain
from workbench.ui.granularity_choice import level_title
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.links import link_to
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.run_table import show_table, size_titles
from workbench.ui.shortening import shortened
from workbench.ui.theme import compact, in_bytes, interval, percent, plain_number
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.experiment import Stage
    from workbench.metrics import Measurement

_BASELINE_JOB = "experiment"
_LABEL_LENGTH = 28

_SIZES: dict[str, Callable[[Measurement], float | None]] = {
    "nonzero": lambda m: m.num_nonzero,
    "macs": lambda m: m.macs,
    "bytes": lambda m: m.bytes,
    "latency": lambda m: m.latency_ms,
}


def show_comparison() -> None:
    """Every run of the model on the bench, or the dense model and how to make the first run."""
    found = run_shelf.runs()
    _tell_others(len(run_shelf.everything()) - len(found))
    if not found:
        st.info(
            _("There is no run of this model yet; the chart shows the dense model."),
            icon=":material/info:",
        )
        link_to("finetune", _("Prune the model"), "content_cut")
    size, with_path = _choose_axes(found)
    if found:
        _draw(found, size, size_titles()[size], with_path)
        _offer_baseline(found)
        _show_chosen(found)
    else:
        _draw_dense(size, size_titles()[size])
    _tell_plan_taken()
    if found:
        show_table(found)


def _choose_axes(found: Sequence[ShelvedRun]) -> tuple[str, bool]:
    """What counts as size, and whether every stage is drawn or only the last."""
    titles = size_titles()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        size = st.segmented_control(
            _("Size as"), list(titles), format_func=titles.__getitem__, default="nonzero",
            required=True, key="tradeoff_size", persist_state="session",
        )  # fmt: skip
        with_path = st.toggle(
            _("Show every stage"), value=True, key="tradeoff_path", persist_state="session",
            disabled=not found,
            help=_("The way from dense over pruned and repaired to fine-tuned; off shows only "
                   "where each run ended, closer."),
        )  # fmt: skip
    return size, with_path


def _tell_others(count: int) -> None:
    if count:
        st.caption(
            ngettext(
                "{n} run belongs to another model or other data and is not shown.",
                "{n} runs belong to another model or other data and are not shown.",
                count,
            ).format(n=count)
        )


def _draw(found: Sequence[ShelvedRun], size: str, title: str, with_path: bool) -> None:
    """The trade-off chart; a click chooses a run."""
    current, measure = run_shelf.chosen(), _SIZES[size]
    drawn = [one for one in found if measure(one.run.final.measurement) is not None]
    if not drawn:
        st.info(_("This was measured for none of the runs."), icon=":material/info:")
        return
    chosen = current.number if current else None
    names = shortened([one.name for one in drawn], _LABEL_LENGTH)
    marks = [
        replace(_mark(one, measure, one.number == chosen, with_path), short=name)
        for one, name in zip(drawn, names, strict=True)
    ]
    front = pareto_front([(mark.size, mark.accuracy) for mark in marks])
    dense = next((s for one in reversed(drawn) if (s := one.run.stage("dense"))), None)
    best = max(marks, key=lambda mark: mark.accuracy)
    takeaway = _(
        "{name} is the most accurate with {accuracy}; {n} of {total} runs are on the Pareto front."
    ).format(
        name=best.label, accuracy=percent(best.accuracy, 2), n=len(front), total=len(marks)
    )  # fmt: skip
    show_chart(
        tradeoff_figure(
            marks, dense=_dense_mark(dense, measure) if dense else None, front=front,
            size_title=title,
        ),
        key=f"tradeoff_{size}_{with_path}",
        alt=_("Chart of test accuracy against size, one mark per run. ") + takeaway,
        takeaway=" ".join([takeaway, *_notes(size)]),
        on_click=lambda index: run_shelf.choose(drawn[index].number),
        clickable=MARKS_TRACE,
    )  # fmt: skip


def _notes(size: str) -> list[str]:
    """How to read the chart."""
    notes = [_("Bars are 95 % intervals; click a run to choose it.")]
    if size == "latency":
        notes.append(
            _("Latencies were measured at different moments; the plan page compares in turns.")
        )
    return notes


def _mark(
    one: ShelvedRun, measure: Callable[[Measurement], float | None], current: bool, with_path: bool
) -> Mark:
    """A run at its last stage; its size is there."""
    final = one.run.final.measurement
    before = one.run.stages[:-1] if with_path else ()
    path = tuple(
        Step(s.name, run_shelf.stage_title(s.name), size, s.measurement.accuracy)
        for s in before
        if (size := measure(s.measurement)) is not None
    )
    return Mark(
        one.name, measure(final) or 0, final.accuracy, final.ci_low, final.ci_high,
        stage=one.run.final.name, path=path, random=one.run.plan.criterion == "random",
        structured=one.structured, by_training=bool(one.run.made_by), current=current,
    )  # fmt: skip


def _dense_mark(stage: Stage, measure: Callable[[Measurement], float | None]) -> Mark | None:
    m = stage.measurement
    size = measure(m)
    if size is None:
        return None
    return Mark(_("Dense"), size, m.accuracy, m.ci_low, m.ci_high, stage="dense")


def _draw_dense(size: str, title: str) -> None:
    """The dense model alone, from what is known of it without a run."""
    measured, whole = session.measured_accuracy(), session.inspection()
    if measured is None:
        st.caption(_("Its accuracy is not measured yet; the model page does that."))
        return
    zeros = sum(layer.num_zeros for layer in whole.layers)
    sizes = {
        "nonzero": whole.num_params - zeros, "macs": whole.macs, "bytes": 4 * whole.num_params,
    }  # fmt: skip
    if size not in sizes:
        st.caption(_("The latency is measured with the first run."))
        return
    dense = Mark(
        _("Dense"), sizes[size], measured.accuracy, measured.ci_low, measured.ci_high,
        stage="dense",
    )  # fmt: skip
    takeaway = _("The dense model has {accuracy} on test images; runs appear to its left.").format(
        accuracy=percent(measured.accuracy, 2)
    )
    show_chart(
        tradeoff_figure([], dense=dense, front=(), size_title=title), key=f"tradeoff_dense_{size}",
        alt=_("Chart of test accuracy against size. ") + takeaway, takeaway=takeaway,
    )  # fmt: skip


def _offer_baseline(found: Sequence[ShelvedRun]) -> None:
    """Random pruning of the same sizes shows what the criterion is worth."""
    current = run_shelf.chosen()
    if current is not None and current.run.plan.criterion != "random":
        wanted = dict(current.run.plan.to_dict(), criterion="random")
        present = any(
            one.run.plan.to_dict() == wanted and _is_trained(one) == _is_trained(current)
            for one in found
        )
        if not present:
            st.button(
                _("Add a random baseline for {run}").format(run=current.name),
                icon=":material/casino:", disabled=is_active(_BASELINE_JOB),
                on_click=callback(partial(_start_baseline, current)),
                help=_("Prunes as much of every layer or group at random, does the rest alike."),
            )  # fmt: skip
    job = job_of_bench(_BASELINE_JOB)
    if job is not None and (job.active or job.title == _baseline_title()):
        show_job(_BASELINE_JOB)


def _is_trained(one: ShelvedRun) -> bool:
    return one.run.training is not None


def _baseline_title() -> str:
    return _("Random baseline")


def _start_baseline(current: ShelvedRun) -> None:
    """The same sparsities, weights chosen at random, the same repair and training."""
    training = current.run.training
    run_shelf.choose(current.number)  # the baseline is not what one goes on with
    start_job(
        _BASELINE_JOB, _baseline_title(),
        session.job_request(
            plan=current.run.plan.to_dict() | {"criterion": "random"},
            repair=current.run.repair,
            finetune=training.settings.to_dict() if training else None,
            name=_("Random, as {run}").format(run=current.name),
        ),
    )  # fmt: skip


def _show_chosen(found: Sequence[ShelvedRun]) -> None:
    """Plan and numbers of the chosen run, and what can be done with it."""
    current = run_shelf.chosen()
    if current is None:
        return
    with st.container(border=True):
        left, right = st.columns(2, vertical_alignment="center")
        left.markdown(f"**{plain(current.name)}** · {_describe(current)}")
        with right.container(horizontal=True, horizontal_alignment="right"):
            st.button(
                _("Take its plan"), icon=":material/equalizer:",
                on_click=callback(partial(_take_plan, current)),
                help=_("Puts the plan of this run on the plan page; the plan there is replaced."),
            )  # fmt: skip
            renaming = st.popover(_("Rename"), icon=":material/edit:")
            deletion = st.popover(_("Delete"), icon=":material/delete:")
        with renaming:
            widget = f"name_{current.number}_{current.name}"
            st.text_input(
                _("Name of the run"), current.name, max_chars=60, key=widget,
                on_change=callback(partial(_rename, current, widget)),
            )  # fmt: skip
        with deletion:
            st.write(
                _("Delete {run}, its weights and its exported files for good?").format(
                    run=plain(current.name)
                )
            )
            st.button(
                _("Delete it"), type="primary", on_click=callback(partial(_delete, current)),
                key=f"delete_{current.number}",
            )  # fmt: skip
        st.caption(_path_sentence(current))
        if current.run.made_by:
            st.caption(_made_sentence(current))
        with st.expander(_("Widths, plan and stages"), icon=":material/list:"):
            width_panels.show_widths(current, found)
            plan_side, stage_side = st.columns(2)
            with plan_side:
                _show_plan(current)
            with stage_side:
                _show_stages(current)


def _path_sentence(current: ShelvedRun) -> str:
    """The accuracy of every stage in a row."""
    return " → ".join(
        f"{run_shelf.stage_title(stage.name)} {percent(stage.measurement.accuracy, 2)}"
        for stage in current.run.stages
    )


def _made_sentence(current: ShelvedRun) -> str:
    """How a run that was cut during training came about, and what its plan is."""
    from workbench.sparse_training import SparseTrainingSettings

    settings = SparseTrainingSettings.from_dict(current.run.made_by)
    strength = (
        _(", strength {strength}").format(strength=plain_number(settings.used_strength))
        if settings.chosen.strength is not None
        else ""
    )
    return _(
        "Cut during training: {method}{strength}. Its plan states what training made; on the plan "
        "page the same sparsities are cut from the dense model by rank."
    ).format(method=settings.chosen.title, strength=strength)


def _show_plan(current: ShelvedRun) -> None:
    plan = current.run.plan
    rows = {name: percent(value, 2) for name, value in plan.sparsities.items() if value}
    level = level_title(plan.granularity)
    st.dataframe(
        pd.DataFrame({"group": list(rows), "sparsity": list(rows.values())}),
        hide_index=True, height=min(36 * (len(rows) + 1) + 3, 260),
        alt=_("The plan of this run, one row a layer or group."),
        column_config={
            "group": _("Group") if current.structured else _("Layer"),
            "sparsity": st.column_config.TextColumn(level, help=explain(level.lower())),
        },
    )  # fmt: skip


def _show_stages(current: ShelvedRun) -> None:
    stages = current.run.stages
    measured = [stage.measurement for stage in stages]
    st.dataframe(
        pd.DataFrame(
            {
                "stage": [run_shelf.stage_title(stage.name) for stage in stages],
                "accuracy": [percent(m.accuracy, 2) for m in measured],
                "interval": [interval(m.ci_low, m.ci_high, m.samples) for m in measured],
            }
        ),
        hide_index=True, alt=_("Test accuracy of every stage of this run."),
        column_config={"stage": _("Stage"), "accuracy": _("Test accuracy"),
                       "interval": _("95 % interval")},
    )  # fmt: skip


def _tell_plan_taken() -> None:
    """Confirm, once, that a plan was taken back, with the way to it."""
    if taken := st.session_state.pop("plan_taken", ""):
        st.success(
            _("The plan of {run} is on the plan page now.").format(run=plain(taken)),
            icon=":material/check_circle:",
        )
        link_to("plan", _("Open the plan"), "equalizer")


def _describe(current: ShelvedRun) -> str:
    m = current.run.final.measurement
    words = (
        _("{stage}, {accuracy} ({interval}), {nonzero} of {params} parameters left, {bytes}, "
          "channels really gone")
        if current.structured and m.num_params < current.dense_params
        else _("{stage}, {accuracy} ({interval}), {nonzero} of {params} parameters, {bytes}")
    )  # fmt: skip
    return words.format(
        stage=run_shelf.stage_title(current.run.final.name), accuracy=percent(m.accuracy, 2),
        interval=interval(m.ci_low, m.ci_high, m.samples), nonzero=compact(m.num_nonzero),
        params=compact(current.dense_params), bytes=in_bytes(m.bytes),
    )  # fmt: skip


def _take_plan(current: ShelvedRun) -> None:
    plan_panels.put_plan(current.run.plan)
    st.session_state["plan_taken"] = current.name


def _rename(current: ShelvedRun, widget: str) -> None:
    bench.store().rename_run(session.workspace_id(), current.number, st.session_state[widget])


def _delete(current: ShelvedRun) -> None:
    from workbench.run_export import delete_export

    bench.store().delete_run(session.workspace_id(), current.number)
    delete_export(bench.store(), session.workspace_id(), current.number)
    run_shelf.choose(None)
