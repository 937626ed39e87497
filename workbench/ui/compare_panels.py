"""The parts of the compare page: the trade-off chart, the chosen run, and the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.pareto import pareto_front
from workbench.ui import bench, plan_panels, run_shelf, session
from workbench.ui.charts import Mark, show_chart, tradeoff_figure
from workbench.ui.charts.tradeoff import MARKS_TRACE
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.links import link_to
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import compact, in_bytes, interval, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.experiment import Stage
    from workbench.metrics import Measurement

_BASELINE_JOB = "experiment"

_SIZES: dict[str, Callable[[Measurement], float | None]] = {
    "nonzero": lambda m: m.num_nonzero,
    "macs": lambda m: m.macs,
    "bytes": lambda m: m.bytes,
    "latency": lambda m: m.latency_ms,
}


def _size_titles() -> dict[str, str]:
    return {
        "nonzero": _("Non-zero parameters"),
        "macs": _("MACs, theoretical"),
        "bytes": _("Stored size, bytes"),
        "latency": _("Latency, ms"),
    }


def show_comparison() -> None:
    """Every run of the model on the bench, or how to make the first."""
    found = run_shelf.runs()
    _tell_others(len(run_shelf.everything()) - len(found))
    if not found:
        st.info(_("There is no run of this model yet."), icon=":material/info:")
        link_to("finetune", _("Prune the model"), "content_cut")
        _tell_plan_taken()
        return
    titles = _size_titles()
    size = st.segmented_control(
        _("Size as"), list(titles), format_func=titles.__getitem__, default="nonzero",
        required=True, key="tradeoff_size", persist_state="session",
    )  # fmt: skip
    _draw(found, size, titles[size])
    _offer_baseline(found)
    _show_chosen()
    _tell_plan_taken()
    _show_table(found)


def _tell_others(count: int) -> None:
    if count:
        st.caption(
            ngettext(
                "{n} run belongs to another model or other data and is not shown.",
                "{n} runs belong to another model or other data and are not shown.",
                count,
            ).format(n=count)
        )


def _draw(found: Sequence[ShelvedRun], size: str, title: str) -> None:
    """The trade-off chart; a click chooses a run."""
    current, measure = run_shelf.chosen(), _SIZES[size]
    drawn = [one for one in found if measure(one.run.final.measurement) is not None]
    if not drawn:
        st.info(_("This was measured for none of the runs."), icon=":material/info:")
        return
    marks = [_mark(one, measure, one.number == (current and current.number)) for one in drawn]
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
        key=f"tradeoff_{size}",
        alt=_("Chart of test accuracy against size, one mark per run. ") + takeaway,
        takeaway=takeaway + " " + _("Bars are 95 % intervals; click a run to choose it."),
        on_click=lambda index: run_shelf.choose(drawn[index].number),
        clickable=MARKS_TRACE,
    )  # fmt: skip


def _mark(one: ShelvedRun, measure: Callable[[Measurement], float | None], current: bool) -> Mark:
    """A run at its last stage; its size is there."""
    final = one.run.final.measurement
    stages = [s.measurement for s in one.run.stages if s.name != "dense"][:-1]
    path = tuple((size, m.accuracy) for m in stages if (size := measure(m)) is not None)
    return Mark(
        one.name, measure(final) or 0, final.accuracy, final.ci_low, final.ci_high,
        path=path, random=one.run.plan.criterion == "random", current=current,
    )  # fmt: skip


def _dense_mark(stage: Stage, measure: Callable[[Measurement], float | None]) -> Mark | None:
    m = stage.measurement
    size = measure(m)
    return None if size is None else Mark(_("Dense"), size, m.accuracy, m.ci_low, m.ci_high)


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
                help=_("Prunes as many weights of every layer at random, does the rest alike."),
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


def _show_chosen() -> None:
    """Plan and numbers of the chosen run, and what can be done with it."""
    current = run_shelf.chosen()
    if current is None:
        return
    with st.container(border=True):
        left, right = st.columns([3, 2], vertical_alignment="center")
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
        rows = {k: percent(v, 2) for k, v in current.run.plan.sparsities.items() if v}
        with st.expander(_("Plan and stages"), icon=":material/list:"):
            plan_side, stage_side = st.columns(2)
            plan_side.dataframe(
                pd.DataFrame({"layer": list(rows), "sparsity": list(rows.values())}),
                hide_index=True, height=260, alt=_("The plan of this run, layer by layer."),
                column_config={"layer": _("Layer"), "sparsity": _("Sparsity")},
            )  # fmt: skip
            stage_side.dataframe(
                pd.DataFrame(
                    {
                        "stage": [run_shelf.stage_title(s.name) for s in current.run.stages],
                        "accuracy": [
                            percent(s.measurement.accuracy, 2) for s in current.run.stages
                        ],
                        "interval": [
                            interval(
                                s.measurement.ci_low, s.measurement.ci_high, s.measurement.samples
                            )
                            for s in current.run.stages
                        ],
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
    return _("{stage}, {accuracy} ({interval}), {nonzero} of {params} parameters, {bytes}").format(
        stage=run_shelf.stage_title(current.run.final.name), accuracy=percent(m.accuracy, 2),
        interval=interval(m.ci_low, m.ci_high, m.samples), nonzero=compact(m.num_nonzero),
        params=compact(m.num_params), bytes=in_bytes(m.bytes),
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


def _show_table(found: Sequence[ShelvedRun]) -> None:
    """All runs as numbers, and the same as a file."""
    frame = run_frame(found)
    shown = frame.assign(
        plan=frame["allocation"] + ", " + frame["criterion"], accuracy=100 * frame["accuracy"]
    )
    column = st.column_config
    titles = _size_titles()
    st.dataframe(
        shown, hide_index=True, alt=_("Table of {n} runs.").format(n=len(frame)),
        column_order=[
            "run", "stage", "plan", "repair", "accuracy", "num_nonzero", "macs", "bytes",
            "latency_ms",
        ],
        column_config={
            "run": column.TextColumn(_("Run"), pinned=True, width=140),
            "stage": column.TextColumn(_("Stage"), width=95),
            "plan": column.TextColumn(
                _("Plan"), help=_("Allocation and criterion of the plan."), width=110
            ),
            "repair": column.TextColumn(_("Repair"), help=explain("repair"), width=70),
            "accuracy": column.NumberColumn(
                _("Accuracy"), format="%.2f %%", help=explain("test split"), width=85
            ),
            "num_nonzero": column.NumberColumn(
                _("Non-zero"), format="localized", help=titles["nonzero"], width=90
            ),
            "macs": column.NumberColumn(
                _("MACs"), format="localized", help=titles["macs"], width=95
            ),
            "bytes": column.NumberColumn(
                _("Bytes"), format="localized", help=titles["bytes"], width=85
            ),
            "latency_ms": column.NumberColumn(
                _("Latency, ms"), format="%.3g", help=explain("latency"), width=95
            ),
        },
    )  # fmt: skip
    st.download_button(
        _("Download as CSV"), frame.to_csv(index=False), file_name="runs.csv", mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def run_frame(found: Sequence[ShelvedRun]) -> pd.DataFrame:
    """One row per run with its final numbers, plain units."""
    return pd.DataFrame(
        [
            {
                "number": one.number,
                "run": one.name,
                "stage": run_shelf.stage_title(one.run.final.name),
                "criterion": one.run.plan.criterion,
                "allocation": one.run.plan.allocation,
                "repair": one.run.repair,
                "accuracy": m.accuracy,
                "ci_low": m.ci_low,
                "ci_high": m.ci_high,
                "samples": m.samples,
                "loss": m.loss,
                "num_nonzero": m.num_nonzero,
                "macs": m.macs,
                "bytes": m.bytes,
                "latency_ms": m.latency_ms,
            }
            for one in found
            for m in (one.run.final.measurement,)
        ]
    )
