"""Pruning and repair: what the plan takes, how it goes, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.jobs import JobView
from workbench.ui import repair_panels, run_shelf, session
from workbench.ui.charts.groups import units
from workbench.ui.errors import callback
from workbench.ui.i18n import _
from workbench.ui.job_panel import show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.links import link_to
from workbench.ui.methods_links import explain_methods
from workbench.ui.repair_choice import repair_names, repair_note, usual_repair
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import compact, in_bytes, interval, milliseconds, percent
from workbench.ui.training_panels import PRUNE, is_busy
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.accounting import PlanSize
    from workbench.experiment import Run
    from workbench.groups import Group
    from workbench.plan import PruningPlan

_REPAIR = "repair"


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
    st.markdown(_plan_sentence(plan, size))
    repairs, usual = repair_names(), usual_repair(session.setting(_REPAIR))
    repair_key = f"repair_{repairs}_{usual}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        repair = st.selectbox(
            _("Repair"), repairs, repairs.index(usual),
            format_func=lambda name: REPAIRS[name].title, help=explain_methods("repair", "repair"),
            disabled=len(repairs) == 1, key=repair_key,
        )  # fmt: skip
        st.button(
            _("Prune and measure"), type="primary", icon=":material/content_cut:",
            disabled=is_busy(), on_click=callback(partial(_prune, repair_key)),
            help=_("Prunes a copy of the dense model and measures it on all test images."),
        )  # fmt: skip
    st.caption(repair_note(repair))
    _show_pruning()


def _plan_sentence(plan: PruningPlan, size: PlanSize) -> str:
    """What goes: whole channels, or weights that become zero."""
    groups = session.groups()
    cut = [group for group in groups.prunable if plan.sparsities.get(group.name)]
    if groups.granularity.structured:
        gone = {
            group.name: groups.num_pruned(
                group.name, plan.sparsities[group.name], plan.channel_multiple
            )
            for group in cut
        }
        return _(
            "The plan removes **{units}**: {gone} of {total} parameters are really gone "
            "({ratio}× fewer), and {macs} of {dense_macs} MACs."
        ).format(
            units=removed_units(groups.prunable, gone),
            gone=compact(size.num_params - size.num_nonzero), total=compact(size.num_params),
            ratio=f"{size.compression_ratio:.2f}", macs=compact(size.dense_macs - size.macs),
            dense_macs=compact(size.dense_macs),
        )  # fmt: skip
    return _(
        "The plan keeps {kept} of {total} parameters ({ratio}× fewer) in {layers} layers, by "
        "setting the others to zero: {granularity}."
    ).format(
        kept=compact(size.num_nonzero), total=compact(size.num_params),
        ratio=f"{size.compression_ratio:.2f}", layers=len(cut),
        granularity=groups.granularity.title[:1].lower() + groups.granularity.title[1:],
    )  # fmt: skip


def removed_units(groups: Sequence[Group], gone: Mapping[str, int]) -> str:
    """What goes of what there is, by kind: ``12 of 24 heads and 384 of 768 neurons``."""
    totals: dict[str, list[int]] = {}
    for group in groups:
        entry = totals.setdefault(group.unit, [0, 0])
        entry[0] += gone.get(group.name, 0)
        entry[1] += group.num_units
    return _(" and ").join(
        _("{gone} of {total} {units}").format(
            gone=f"{part:,}", total=f"{whole:,}", units=units(unit, whole)
        )
        for unit, (part, whole) in totals.items()
        if part
    )


def _show_pruning() -> None:
    job = job_of_bench(PRUNE)
    if job is not None:
        show_job(PRUNE, draw=_draw_pruning if concerns_bench(job) else None)


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
        number = st.session_state[widget]
        if number != current.number:  # a list that is gone may report its old choice once more
            run_shelf.choose(number)

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
    st.caption(_takeaway(current))
    repair_panels.show_repair(run, current.number)


def _is_of_plan(run: Run) -> bool:
    """Whether a run pruned what the plan on the plan page says; how it came about is no matter."""

    def decides(plan: PruningPlan) -> tuple[object, ...]:
        seed = plan.seed if plan.criterion == "random" else 0
        pruned = {name: value for name, value in plan.sparsities.items() if value}
        return plan.granularity, plan.channel_multiple, plan.criterion, seed, pruned

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
            "latency": column.TextColumn(
                _("Latency"),
                help=explain("latency")
                + " " + _("Stages are timed one after the other, so a busy machine shows."),
            ),
        },
    )  # fmt: skip


def _takeaway(current: ShelvedRun) -> str:
    """What the run kept of the dense accuracy, and the honest word on speed."""
    dense, final = current.run.stage("dense"), current.run.final
    words = (
        _("The channels are really gone: the file is smaller and every runtime does less work.")
        if current.structured
        else _(
            "Single zeros do not make dense runtimes faster; the plan page says why, and what does."
        )
    )
    if dense is None or final.name == "dense":
        return words
    lost = 100 * (dense.measurement.accuracy - final.measurement.accuracy)
    change = _("{points} points below dense").format(points=f"{lost:.1f}")
    if lost < 0:
        change = _("{points} points above dense").format(points=f"{-lost:.1f}")
    ratio = current.dense_params / max(1, final.measurement.num_nonzero)
    sentence = _("With {ratio}× fewer parameters the {stage} model is {change}.").format(
        ratio=f"{ratio:.1f}", stage=run_shelf.stage_title(final.name), change=change
    )
    if current.structured:
        ratio = dense.measurement.macs / max(1, final.measurement.macs)
        words += " " + _(
            "Theoretical speedup {ratio}×; the plan page measures the real one, dense and pruned "
            "in turns."
        ).format(ratio=f"{ratio:.2f}")
    return f"{sentence} {words}"
