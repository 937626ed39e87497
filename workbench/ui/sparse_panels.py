"""Sparse training: its form, its progress, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.jobs import JobView
from workbench.ui import run_shelf, session, sparse_form
from workbench.ui.charts import show_chart
from workbench.ui.charts.sparse import reached_figure, sparse_figure, strength_figure, unroll
from workbench.ui.errors import guard, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.links import link_to
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.experiment import Run
    from workbench.sparse_training import SparseTrainingSettings

KIND = "sparse_training"
_NEXT_TO_NOTHING = 0.005


def show_form() -> None:
    """Method, settings, and the button."""
    session.require_data()
    method, granularity = sparse_form.ask_method()
    with st.form(f"sparse_{method.name}"):
        values = sparse_form.ask(method, granularity)
        sent = st.form_submit_button(
            _("Train sparse"), type="primary", icon=":material/model_training:",
            disabled=is_active(KIND),
        )  # fmt: skip
    if not sent:
        return
    with guard():
        settings, strengths, finetune = sparse_form.settings_of(method, granularity, values)
        sparse_form.remember(method, granularity, values)
        run_shelf.choose_next()
        start_job(
            KIND, _("{method} on {model}").format(
                method=method.title, model=session.model_ref().name
            ),
            session.job_request(
                settings=settings.to_dict(), strengths=list(strengths),
                finetune=finetune.to_dict() if finetune else None,
            ),
        )  # fmt: skip
        st.rerun()


def show_training() -> None:
    """The training that runs, or what the chosen or last sparse run came to."""
    job = job_of_bench(KIND)
    running = job is not None and job.active and concerns_bench(job)
    if job is not None:
        show_job(KIND, draw=_draw_live if running else None)
    if running:
        return
    made = [one for one in run_shelf.runs() if one.run.made_by]
    if not made:
        st.info(
            _("No run of this model was cut during training yet. Choose a method and train."),
            icon=":material/info:",
        )
        return
    chosen = run_shelf.chosen()
    _show_run(chosen if chosen is not None and chosen.run.made_by else made[-1])


def _draw_live(job: JobView) -> None:
    """Live charts of what trains now."""
    if not job.active:
        return
    asked: Mapping[str, Any] = job.request["settings"]  # type: ignore[assignment]
    settings = _settings(asked)
    series: Sequence[Mapping[str, Any]] = job.series
    attempts = [values["attempt"] for values in series if "attempt" in values]
    number = len(attempts)
    points = [
        values
        for values in series
        if "epoch" in values and values.get("number") == number and "sparsity" in values
    ]
    if not points:
        if job.state == "running":
            st.skeleton(height=320)
        return
    strengths: Sequence[float] = job.request.get("strengths") or ()  # type: ignore[assignment]
    strength = strengths[number] if number < len(strengths) else settings.used_strength
    live = {"strength": strength, "sparsity": points[-1]["sparsity"]}
    _draw(points, settings, [*_attempts(settings), *attempts], live=live)


def _show_run(one: ShelvedRun) -> None:
    """Charts and words of a run that is over."""
    run = one.run
    settings, trained = _settings(run.made_by), run.stage("pruned")
    st.subheader(plain(one.name), anchor=False)
    if trained is not None and trained.training is not None:
        _draw(trained.training.history, settings, _attempts(settings))
        if trained.training.note:
            st.caption(plain(trained.training.note))
    if run_shelf.is_of_sweep(one):
        st.caption(_sweep_words(one))
    st.markdown(_outcome(run))
    if settings.chosen.strength is not None and _sparsity(run) < _NEXT_TO_NOTHING:
        st.info(
            _("Next to nothing became zero. Take more strength or more epochs, or set a target "
              "sparsity."),
            icon=":material/lightbulb:",
        )  # fmt: skip
    with st.container(horizontal=True):
        link_to("compare", _("Compare with other runs"), "scatter_plot")
        link_to("finetune", _("Train it further"), "model_training")
        link_to("export", _("Export it"), "download")


def _draw(
    points: Sequence[Mapping[str, Any]], settings: SparseTrainingSettings,
    attempts: Sequence[Mapping[str, Any]], live: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """How it went by step, and strength or sparsity against what came of it."""
    dense = _dense_accuracy()
    target = settings.used_target if settings.method != "iterative" else None
    told = _takeaway(points)
    left, right = st.columns([1.2, 1])
    with left:
        show_chart(
            sparse_figure(points, target=target, dense=dense), key="sparse_progress",
            alt=_("Curves of sparsity, accuracy and penalty by step. ") + told, takeaway=told,
        )  # fmt: skip
    with right:
        if settings.chosen.strength is not None:
            count = ngettext("{n} strength was tried.", "{n} strengths were tried.", len(attempts))
            words = count.format(n=len(attempts)) if attempts else _("The first strength runs now.")
            show_chart(
                strength_figure(attempts, live=live), key="sparse_strengths",
                alt=_("Chart of penalty strength against sparsity and accuracy. ") + words,
                takeaway=words,
            )  # fmt: skip
        else:
            floor = next((p["floor"] for p in points if "floor" in p), None)
            show_chart(
                reached_figure(unroll(points), floor=floor), key="sparse_reached",
                alt=_("Chart of validation accuracy against sparsity, epoch by epoch. ") + told,
                takeaway=_("One mark after every epoch; further right is sparser."),
            )  # fmt: skip


def _takeaway(points: Sequence[Mapping[str, Any]]) -> str:
    sparsity = next((p["sparsity"] for p in reversed(points) if "sparsity" in p), None)
    accuracy = next((p["accuracy"] for p in reversed(points) if "accuracy" in p), None)
    parts = []
    if sparsity is not None:
        parts.append(_("{part} of what may go is zero").format(part=percent(sparsity)))
    if accuracy is not None:
        parts.append(_("{part} of the validation images are right").format(part=percent(accuracy)))
    return "; ".join(parts) + "." if parts else ""


def _outcome(run: Run) -> str:
    """What the run came to, on test images."""
    dense, final = run.stage("dense"), run.final
    words = _("**{stage}**: {accuracy} on test images, {gone} of what may go is gone").format(
        stage=run_shelf.stage_title(final.name), accuracy=percent(final.measurement.accuracy, 2),
        gone=percent(_sparsity(run)),
    )  # fmt: skip
    if dense is None:
        return f"{words}."
    return words + _("; dense {accuracy}.").format(accuracy=percent(dense.measurement.accuracy, 2))


def _sweep_words(one: ShelvedRun) -> str:
    """Which strength of a sweep the next steps go on with, and why."""
    sweep: Mapping[str, Any] = session.setting(run_shelf.SWEEP)
    count = len(sweep["runs"])
    if one.number != sweep["best"]:
        return _("Of the {count} strengths another one is the best; you chose this run.").format(
            count=count
        )
    return {
        "target": _("Chosen for the next steps: of the {count} strengths, {among} reach the "
                    "target, and this one is the most accurate of them on validation images."),
        "nearest": _("Chosen for the next steps: none of the {count} strengths reaches the "
                     "target, and this one comes nearest."),
        "close": _("Chosen for the next steps: of the {count} strengths, {among} stay within one "
                   "point of dense on validation images, and this one is the sparsest of them."),
        "accurate": _("Chosen for the next steps: none of the {count} strengths stays within one "
                      "point of dense on validation images, and this one loses least."),
    }[sweep["why"]].format(count=count, among=sweep["among"])  # fmt: skip


def _attempts(settings: SparseTrainingSettings) -> list[dict[str, Any]]:
    """Strength, sparsity and accuracy of the runs on the bench by the same method."""
    found = []
    for one in run_shelf.runs():
        made = one.run.made_by
        if not made or one.run.final.name == "dense":
            continue
        tried = _settings(made)
        if (tried.method, tried.granularity) == (settings.method, settings.granularity):
            found.append(
                {"strength": tried.used_strength, "sparsity": _sparsity(one.run),
                 "accuracy": one.run.final.validation.accuracy}
            )  # fmt: skip
    return found


def _sparsity(run: Run) -> float:
    """Fraction of the weights or channels that its plan names which is gone."""
    groups = session.groups(run.plan.granularity).by_name
    sizes = {name: groups[name].num_units for name in run.plan.sparsities if name in groups}
    gone = sum(run.plan.sparsities[name] * size for name, size in sizes.items())
    return gone / max(1, sum(sizes.values()))


def _dense_accuracy() -> float | None:
    """Validation accuracy of the dense model, where a run measured it."""
    stages = [stage for one in run_shelf.runs() if (stage := one.run.stage("dense"))]
    return stages[-1].validation.accuracy if stages else None


def _settings(values: Mapping[str, Any]) -> SparseTrainingSettings:
    from workbench.sparse_training import SparseTrainingSettings

    return SparseTrainingSettings.from_dict(values)
