"""The parts of the robustness page: what is asked, the chart, the numbers, and example images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.corruptions import CORRUPTIONS, SEVERITIES
from workbench.jobs import JobView
from workbench.store import DataRef
from workbench.ui import bench, run_shelf, session
from workbench.ui.charts.robustness import LOOKS, robustness_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import callback, fragment, guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import concerns_bench, job_of_bench
from workbench.ui.links import link_to
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    import numpy as np

    from workbench.paired import Proportion
    from workbench.robustness import MeanAccuracy, Robustness, RobustnessSettings

KIND = "robustness"
_ASKED = "robustness"
_EXAMPLES = 6


def show_form() -> None:
    """Which runs, which corruptions and how many images."""
    runs = run_shelf.runs()
    if session.workspace().data_ref is None:
        st.info(_("There are no images for this model yet."), icon=":material/info:")
        link_to("model", _("Choose data"), "deployed_code")
        return
    if not runs:
        st.info(
            _("There is no run of this model yet; the dense model can be measured alone."),
            icon=":material/info:",
        )
        link_to("finetune", _("Prune the model"), "content_cut")
    with st.form("robustness", border=False):
        asked = _ask(runs)
        sent = st.form_submit_button(
            _("Measure"), type="primary", icon=":material/play_arrow:", disabled=is_active(KIND)
        )
    if sent:
        with guard():
            _start(asked["runs"], asked)
            st.rerun()


def show_robustness() -> None:
    """What is measured, or as far as a running measurement has come."""
    job = job_of_bench(KIND)
    if job is not None:
        running = job.active and concerns_bench(job)
        show_job(KIND, draw=_draw_growing if running else None)
        if running:
            return
    found = _found()
    if found is None or not any(model.hits for model in found.models):
        if job is None or not job.active:
            st.caption(_("Nothing is measured yet: choose what to compare and press Measure."))
        _show_examples()
        return
    if not found.complete:
        st.info(
            _("This measurement was stopped; what was measured is kept."),
            icon=":material/pause_circle:",
        )
        st.button(
            _("Resume"), icon=":material/play_arrow:", disabled=is_active(KIND),
            on_click=callback(_resume), help=_("Goes on where it stopped."),
        )  # fmt: skip
    _draw(found)
    _show_examples()


def _ask(runs: Sequence[ShelvedRun]) -> dict[str, Any]:
    """The widgets, filled with what was asked last."""
    before, chosen = _asked(), _chosen_runs(runs)
    settings = before["settings"]
    numbers = [one.number for one in runs]
    names = {one.number: one.name for one in runs}
    first, second, third, fourth = st.columns([2.4, 2.4, 1, 0.8], vertical_alignment="bottom")
    total = len(session.require_data().y_test)
    return {
        "runs": first.multiselect(
            _("Runs beside the dense model"), numbers, [one.number for one in chosen],
            format_func=lambda number: names[number], placeholder=_("None: the dense model alone"),
            max_selections=len(LOOKS), help=_("All see exactly the same corrupted images."),
        ),
        "corruptions": second.multiselect(
            _("Corruptions"), list(CORRUPTIONS), settings.get("corruptions", []),
            format_func=lambda name: CORRUPTIONS[name].title, placeholder=_("All of them"),
            help="\n\n".join(f"**{one.title}**: {one.summary}" for one in CORRUPTIONS.values()),
        ),
        "num_samples": third.number_input(
            _("Test images"), 1, total, min(total, int(settings.get("num_samples", 1_000))),
            help=_("Chosen by the seed, the same for every corruption and model. More give "
                   "narrower intervals and take longer."),
        ),
        "seed": fourth.number_input(
            _("Seed"), 0, 2**31 - 1, int(settings.get("seed", 0)),
            help=_("Chooses the images and decides everything random."),
        ),
    }  # fmt: skip


def _asked() -> Mapping[str, Any]:
    """What was asked last for the model on the bench."""
    kept = session.setting(_ASKED) or {}
    if kept.get("of") == session.measurement_key():
        return kept
    return {"settings": kept.get("settings", {}), "runs": None}


def _chosen_runs(runs: Sequence[ShelvedRun]) -> list[ShelvedRun]:
    """The runs that were asked for; at first the chosen one and the newest others, three in all."""
    asked = _asked()["runs"]
    if asked is not None:
        return [one for one in runs if one.number in asked]
    current = run_shelf.chosen()
    newest = [one for one in reversed(runs) if current is None or one.number != current.number]
    first = [current, *newest][:3] if current else newest[:3]
    return sorted(first, key=lambda one: one.number)


def _start(runs: Sequence[int], asked: Mapping[str, Any]) -> None:
    """Begin; what was measured before comes at once."""
    from workbench.robustness import RobustnessSettings

    session.require_data()
    settings = RobustnessSettings(
        tuple(asked["corruptions"]), SEVERITIES, int(asked["num_samples"]), int(asked["seed"])
    ).to_dict()
    kept = {"settings": settings | {"corruptions": list(asked["corruptions"])},
            "runs": list(runs), "of": session.measurement_key()}  # fmt: skip
    session.remember(**{_ASKED: kept})
    start_job(KIND, _("Robustness"), session.job_request(runs=list(runs), settings=settings))


def _resume() -> None:
    asked = _asked()
    here = {one.number for one in run_shelf.runs()}
    _start([number for number in asked["runs"] or [] if number in here], asked["settings"])


def _settings() -> RobustnessSettings:
    from workbench.robustness import RobustnessSettings

    return RobustnessSettings.from_dict(_asked()["settings"])


def _found() -> Robustness | None:
    """What the store holds of what was asked last; asks no network."""
    from workbench.robustness import read_robustness
    from workbench.robustness_tasks import robustness_cache

    if session.workspace().data_ref is None or _asked()["runs"] is None:
        return None
    digests = {_("Dense"): session.require_model().digest}
    for one in _chosen_runs(run_shelf.runs()):
        name = one.name if one.name not in digests else f"{one.name} ({one.number})"
        digests[name] = one.run.final.digest
    data = bench.data(session.data_ref())
    return read_robustness(digests, data, _settings(), cache=robustness_cache(bench.store()))


def _draw_growing(job: JobView) -> None:
    found = _found()
    if found is not None and any(model.hits for model in found.models):
        _draw(found)
    elif job.state == "running":
        st.skeleton(height=500)


def _draw(found: Robustness) -> None:
    """The one number of each model, and the chart."""
    words = _takeaway(found)
    if words:
        st.markdown(words)
    st.dataframe(
        _frame(found), hide_index=True, height=35 * (len(found.models) + 1) + 3,
        alt=_("Mean corruption accuracy of every model."),
        column_config={
            "model": st.column_config.TextColumn(_("Model"), pinned=True),
            "clean": st.column_config.TextColumn(_("Clean images"), help=explain("accuracy")),
            "mean": st.column_config.TextColumn(
                _("Mean corruption accuracy"), help=explain("mean corruption accuracy")
            ),
            "apart": st.column_config.TextColumn(
                _("Beside the dense model"),
                help=_("Difference of the means in points, image by image, with its 95 % "
                       "interval."),
            ),
        },
    )  # fmt: skip
    samples = found.models[0].samples
    note = _(
        "{samples:,} test images, the same for every model. Bars are 95 % intervals (Wilson)."
    ).format(samples=samples)
    show_chart(
        robustness_figure(found), key=f"robustness_{len(found.settings.corruptions)}",
        alt=_("Charts of test accuracy against severity, one a corruption, a line a model. ")
        + words.replace("**", "").replace("\\", ""),
        takeaway=note,
    )  # fmt: skip


def _takeaway(found: Robustness) -> str:
    """What the measurement says, once it is whole."""
    means = {model.name: found.mean(model) for model in found.models}
    dense = means[found.models[0].name]
    if dense is None or any(mean is None for mean in means.values()):
        return ""
    told = _("The dense model keeps **{accuracy}** on average under corruption.").format(
        accuracy=percent(dense.accuracy)
    )
    if len(found.models) < 2:
        return told
    apart = {m.name: a for m in found.models[1:] if (a := found.difference(m)) is not None}
    worse = [name for name, a in apart.items() if a.ci_high < 0]
    better = [name for name, a in apart.items() if a.ci_low > 0]
    parts = {
        _("Less than it: {runs}."): worse,
        _("More: {runs}."): better,
        _("Not to be told from it: {runs}."): [n for n in apart if n not in (*worse, *better)],
    }
    return " ".join(
        [
            told,
            *(words.format(runs=plain(", ".join(runs))) for words, runs in parts.items() if runs),
        ]
    )


def _frame(found: Robustness) -> pd.DataFrame:
    rows = []
    for number, model in enumerate(found.models):
        clean, mean = model.score(), found.mean(model)
        apart = found.difference(model) if number else None
        rows.append({
            "model": model.name,
            "clean": _with_ends(clean) if clean else "–",
            "mean": _with_ends(mean) if mean else "–",
            "apart": _points(apart.accuracy, apart.ci_low, apart.ci_high) if apart else "–",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _with_ends(one: Proportion | MeanAccuracy) -> str:
    """An accuracy with its interval."""
    return f"{percent(one.accuracy)} ({100 * one.ci_low:.1f}–{percent(one.ci_high)})"


def _points(value: float, low: float, high: float) -> str:
    """A difference of accuracies in points with its interval."""
    shown, least, most = (f"{100 * x:+.1f}".replace("-", "−") for x in (value, low, high))
    return _("{points} points ({low} to {high})").format(points=shown, low=least, high=most)


def _show_examples() -> None:
    """Some of the images, clean and under every corruption at a severity."""
    if session.workspace().data_ref is not None:
        fragment(partial(_draw_examples))


def _draw_examples() -> None:
    st.subheader(_("What the models see"), anchor=False)
    severity = st.segmented_control(
        _("Severity"), list(SEVERITIES), default=3, required=True, key="robustness_severity",
        persist_state="session", help=explain("severity"),
    )  # fmt: skip
    settings = _settings()
    columns = st.columns(3)
    for number, name in enumerate(["clean", *settings.corruptions]):
        title = _("Clean") if name == "clean" else CORRUPTIONS[name].title
        level = 0 if name == "clean" else int(severity)
        with columns[number % 3]:
            st.image(
                _sheet(session.data_ref(), name, level, settings.num_samples,
                       settings.seed),
                caption=_caption(name, title, level), output_format="PNG",
                alt=_("{n} test images: {title}.").format(n=_EXAMPLES, title=title),
            )  # fmt: skip


def _caption(name: str, title: str, level: int) -> str:
    if name == "clean":
        return title
    one = CORRUPTIONS[name]
    side = min(session.require_data().input_shape[-2:])
    return f"{title} · {one.unit} {one.strength(level, side):.3g}"


@st.cache_data(show_spinner=False, max_entries=128, hash_funcs=bench.BY_REFERENCE)
def _sheet(
    data: DataRef, corruption: str, severity: int, num_samples: int, seed: int
) -> np.ndarray:
    """Example images beside each other, ``(height, width, 3)``."""
    from workbench.robustness import example_sheet

    return example_sheet(
        bench.data(data), corruption, severity, count=_EXAMPLES, num_samples=num_samples, seed=seed
    )
