"""Time on this machine: dense beside pruned, and the staircase of a group, both measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.plan import PruningPlan
from workbench.ui import bench, session
from workbench.ui.accounting_words import is_slower, runtime_title, staircase_says
from workbench.ui.charts.latency import latency_figure, staircase_figure, unit_title
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import callback
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, latest_job, show_job, start_job
from workbench.ui.theme import milliseconds
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.groups import Groups
    from workbench.latency import Latency, LatencyComparison
    from workbench.staircase import Staircase

LATENCY, STAIRCASE = "latency", "staircase"
_SPEED = "speed"
_USUAL: Mapping[str, Any] = {"batch": 1, "threads": 1, "runtime": "onnxruntime", "group": ""}
_MAX_BATCH = 256
_BUSY = 1.5  # upper over lower quartile


# Dense beside pruned


def newest(plan: PruningPlan) -> list[LatencyComparison]:
    """The newest timing of a plan: one entry a runtime, all of one batch and number of threads."""
    found = timings(plan)
    if not found:
        return []
    last = found[-1].dense
    same = [one for one in found if _asked(one.dense) == _asked(last)]
    return sorted({one.runtime: one for one in same}.values(), key=lambda one: one.runtime)


def timings(plan: PruningPlan) -> list[LatencyComparison]:
    """All timings of a plan that the workspace keeps, the newest last."""
    from workbench.latency import LatencyComparison
    from workbench.speed_tasks import LATENCIES

    begin = _plan_key(plan)
    kept: Mapping[str, Any] = session.setting(LATENCIES, {})
    return [LatencyComparison.from_dict(v) for key, v in kept.items() if key.startswith(begin)]


def _asked(latency: Latency) -> tuple[int, int]:
    return latency.batch, latency.threads


def _plan_key(plan: PruningPlan) -> str:
    return f"{bench.key_of(session.model_ref())}:{plan.digest}:"


def show_times(plan: PruningPlan) -> None:
    """Measure dense and pruned in turns, and what came of it."""
    _ask_times(plan)
    running = _show_own_job(LATENCY, _plan_key(plan))
    found = timings(plan)
    if not found:
        if running:
            return
        st.info(
            _(
                "Not measured for this plan yet. Dense and pruned network are timed in turns, in "
                "PyTorch and in ONNX Runtime; most of the wait is for writing ONNX files."
            ),
            icon=":material/timer:",
        )
        return
    shown = newest(plan)
    words = "; ".join(_in_words(one) for one in shown)
    show_chart(
        latency_figure(shown), key="latency",
        alt=_("Median time of a pass with quartiles, dense and pruned. ") + words,
    )  # fmt: skip
    if any(one.dense.high_ms > _BUSY * one.dense.low_ms for one in shown):
        st.warning(
            _(
                "The times vary a lot: other programs were busy on this machine. Measure again "
                "when they are done."
            ),
            icon=":material/speed:",
        )
    st.table(_table(found[::-1]), hide_index=True, border="horizontal")
    st.caption(
        _(
            "Measured speedup: the median over the turns of dense time divided by pruned time, "
            "with its 95 % interval; times are medians with their quartiles. A difference "
            "counts where it is surely more than 3 %."
        )
    )


def _ask_times(plan: PruningPlan) -> None:
    columns = st.columns([1, 1, 2], vertical_alignment="bottom")
    _batch_and_threads(columns[0], columns[1], "times")
    columns[2].button(
        _("Measure on this machine"), type="primary", icon=":material/timer:",
        disabled=is_active(LATENCY), on_click=callback(partial(_measure, plan)),
        help=_("Runs in the background, 60 turns a runtime; nothing else should run meanwhile."),
    )  # fmt: skip


def _batch_and_threads(left: Any, right: Any, where: str) -> tuple[int, int]:
    before = _settings()
    batch = left.number_input(
        _("Images at once"), 1, _MAX_BATCH, int(before["batch"]), key=f"{where}_batch",
        persist_state="session", help=_("The batch of one pass."),
    )  # fmt: skip
    threads = right.number_input(
        _("Threads"), 1, max(1, os.cpu_count() or 1), int(before["threads"]),
        key=f"{where}_threads", persist_state="session",
        help=_("Processor cores that one pass may use."),
    )  # fmt: skip
    return int(batch), int(threads)


def _settings() -> dict[str, Any]:
    return {**_USUAL, **session.setting(_SPEED, {})}


def _measure(plan: PruningPlan) -> None:
    """Begin to time what the widgets say now: they may have changed with the very click."""
    from workbench.latency import RUNTIMES

    batch, threads = (int(st.session_state[f"times_{name}"]) for name in ("batch", "threads"))
    session.remember(**{_SPEED: _settings() | {"batch": batch, "threads": threads}})
    begin = _plan_key(plan)
    keys = {name: f"{begin}{name}:{batch}:{threads}" for name in RUNTIMES}
    request = {
        "model": session.model_ref().to_dict(), "plan": plan.to_dict(), "batch": batch,
        "threads": threads, "keys": keys, "begin": begin,
        "data": ref.to_dict() if (ref := session.workspace().data_ref) else None,
    }  # fmt: skip
    start_job(LATENCY, _("Timing"), request)


def _show_own_job(kind: str, begin: str) -> bool:
    """The job of that kind: as long as it runs, or where it was about what is shown.

    Returns:
        Whether it is still at work.
    """
    job = latest_job(kind)
    if job is not None and (job.active or job.request.get("begin") == begin):
        show_job(kind)
    return job is not None and job.active


def _table(found: list[LatencyComparison]) -> pd.DataFrame:
    verdicts = {
        "faster": _("faster"), "slower": _("slower"), "same": _("no difference"),
        "unclear": _("too unsteady to tell"),
    }  # fmt: skip
    return pd.DataFrame(
        [
            {
                _("Runtime"): runtime_title(one.runtime),
                _("Images"): str(one.dense.batch),
                _("Threads"): str(one.dense.threads),
                _("Dense"): _time(one.dense),
                _("Pruned"): _time(one.pruned),
                _("Measured speedup"): _speedup(one),
                _("So it is"): verdicts[one.verdict],
            }
            for one in found
        ]
    )


def _time(latency: Latency) -> str:
    return _("{median} ({low}–{high})").format(
        median=milliseconds(latency.median_ms), low=f"{latency.low_ms:.3g}",
        high=f"{latency.high_ms:.3g}",
    )  # fmt: skip


def _speedup(one: LatencyComparison) -> str:
    return _("{median}× ({low}–{high})").format(
        median=f"{one.measured_speedup:.2f}", low=f"{one.speedup_low:.2f}",
        high=f"{one.speedup_high:.2f}",
    )  # fmt: skip


def _in_words(one: LatencyComparison) -> str:
    return _("{runtime}: dense {dense}, pruned {pruned}, measured speedup {speedup}").format(
        runtime=runtime_title(one.runtime), dense=milliseconds(one.dense.median_ms),
        pruned=milliseconds(one.pruned.median_ms), speedup=_speedup(one),
    )  # fmt: skip


# Staircases


def show_staircase(plan: PruningPlan) -> None:
    """How the time goes with the width of one group, measured when asked for."""
    groups = session.groups("channel")
    names = [group.name for group in groups.prunable]
    if not names:
        st.info(_("No group of channels of this model can be cut."), icon=":material/info:")
        return
    group, runtime, batch, threads = _ask_staircase(names)
    key = _staircase_key(group, runtime, batch, threads)
    running = _show_own_job(STAIRCASE, key)
    found = _kept_staircase(key)
    if found is None:
        if running:
            return
        st.info(
            _(
                "Not measured yet. The whole network is timed with this group cut to several "
                "widths and everything else dense: processors work on several channels at once, "
                "so that the time falls in steps."
            ),
            icon=":material/stairs:",
        )
        return
    kept = _kept_by_plan(plan, groups, group)
    says = staircase_says(found, kept)
    if is_slower(found, kept):
        st.warning(says, icon=":material/speed:")
    else:
        st.markdown(says)
    show_chart(
        staircase_figure(found, kept=kept), key=f"staircase_{group}",
        alt=_("Time of the network against the width of {group}. ").format(group=group)
        + says.replace("**", ""),
        takeaway=_slower_widths(found),
    )  # fmt: skip


def _ask_staircase(names: list[str]) -> tuple[str, str, int, int]:
    from workbench.latency import RUNTIMES

    before = _settings()
    columns = st.columns([2, 1.4, 1, 1, 1.4], vertical_alignment="bottom")
    last = before["group"]
    group = columns[0].selectbox(
        _("Group"), names, names.index(last) if last in names else 0, key="staircase_group",
        persist_state="session", help=explain("group"),
    )  # fmt: skip
    runtimes = list(RUNTIMES)
    runtime = columns[1].selectbox(
        _("Runtime"), runtimes, runtimes.index(before["runtime"]), format_func=runtime_title,
        key="staircase_runtime", persist_state="session",
        help=_("What computes the network."),
    )  # fmt: skip
    batch, threads = _batch_and_threads(columns[2], columns[3], "staircase")
    columns[4].button(
        _("Measure"), type="primary", icon=":material/stairs:", width="stretch",
        disabled=is_active(STAIRCASE), key="staircase_measure",
        on_click=callback(_measure_staircase),
        help=_("Runs in the background, 30 turns of every width."),
    )  # fmt: skip
    return group, runtime, batch, threads


def _staircase_key(group: str, runtime: str, batch: int, threads: int) -> str:
    return f"{bench.key_of(session.model_ref())}:{group}:{runtime}:{batch}:{threads}"


def _measure_staircase() -> None:
    """Begin to measure what the widgets say now."""
    asked = {name: st.session_state[f"staircase_{name}"] for name in _USUAL}
    group, runtime = str(asked["group"]), str(asked["runtime"])
    batch, threads = int(asked["batch"]), int(asked["threads"])
    chosen = {"group": group, "runtime": runtime, "batch": batch, "threads": threads}
    session.remember(**{_SPEED: _settings() | chosen})
    key = _staircase_key(group, runtime, batch, threads)
    request = {"model": session.model_ref().to_dict(), "key": key, "begin": key, **chosen}
    start_job(STAIRCASE, _("Staircase of {group}").format(group=group), request)


def _kept_staircase(key: str) -> Staircase | None:
    from workbench.speed_tasks import STAIRCASES
    from workbench.staircase import Staircase

    held: Mapping[str, Any] = session.setting(STAIRCASES, {})
    return Staircase.from_dict(held[key]) if key in held else None


def _kept_by_plan(plan: PruningPlan, groups: Groups, name: str) -> int | None:
    """Units that the plan keeps of a group; None where it removes none."""
    if plan.granularity != "channel" or not plan.sparsities.get(name):
        return None
    gone = groups.num_pruned(name, plan.sparsities[name], plan.channel_multiple)
    return groups.group(name).num_units - gone


def _slower_widths(found: Staircase) -> str:
    """The widths to stay away from."""
    if not found.slower:
        return ""
    pairs = ", ".join(
        _("{kept} (slower than {more})").format(kept=step.kept, more=step.beaten_by)
        for step in found.slower[:6]
    )
    return _("{units} to stay away from: {pairs}.").format(
        units=unit_title(found.unit), pairs=pairs
    )
