"""The parts of the ensembles page: which runs, how they are combined, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.ensembles.registry import ENSEMBLES
from workbench.errors import SettingsError
from workbench.ui import bench, run_shelf, session
from workbench.ui.charts.ensembles import ensembles_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import fragment, guard, plain
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.job_scope import job_of_bench
from workbench.ui.links import link_to
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import compact, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.ensembles import Combined, Ensembles, Member

KIND = "ensemble"
_ASKED = "ensemble"
_KEPT = "ensembles"
"""Setting of the workspace: what was combined before, the newest first."""
_MOST_KEPT = 12
_FEWEST = 2


def show_form() -> None:
    """Which runs are combined, and how."""
    runs = run_shelf.runs()
    if len(runs) < _FEWEST:
        st.info(
            _("An ensemble takes at least two runs of this model; there is {n} so far.").format(
                n=len(runs)
            )
            if runs
            else _("There is no run of this model yet; an ensemble takes at least two."),
            icon=":material/info:",
        )
        link_to("finetune", _("Prune the model"), "content_cut")
        return
    with st.form("ensemble", border=False):
        asked = _ask(runs)
        sent = st.form_submit_button(
            _("Combine"), type="primary", icon=":material/play_arrow:", disabled=is_active(KIND)
        )
    if sent:
        with guard():
            _start(asked)
            st.rerun()


def show_ensembles() -> None:
    """What came of the runs that were combined, or how far the work is."""
    job = job_of_bench(KIND)
    if job is not None:
        show_job(KIND)
    kept = _kept()
    if not kept:
        if len(run_shelf.runs()) >= _FEWEST and (job is None or not job.active):
            st.caption(_("Nothing was combined yet: choose at least two runs and press Combine."))
        return
    key = _choose_shown(kept)

    def body() -> None:
        found = _stored(key)
        if found is not None:
            _draw(found)

    fragment(body)


def _ask(runs: Sequence[ShelvedRun]) -> dict[str, Any]:
    """The widgets, filled with what was asked last."""
    from workbench.ensembles import EnsembleSettings

    before = session.setting(_ASKED) or {}
    numbers = [one.number for one in runs]
    names = {one.number: one.name for one in runs}
    chosen = [number for number in before.get("runs", ()) if number in numbers]
    settings = EnsembleSettings.from_dict(before.get("settings", {}))
    methods = list(before.get("methods", ()))
    first, second, third = st.columns([2.6, 1.8, 1.4], vertical_alignment="bottom")
    return {
        "runs": first.multiselect(
            _("Runs"), numbers, chosen or numbers[-4:],
            format_func=lambda number: names[number],
            help=_("At least two. Members that err on different images help each other most."),
        ),
        "methods": second.multiselect(
            _("Combined by"), list(ENSEMBLES), [name for name in methods if name in ENSEMBLES],
            format_func=lambda name: ENSEMBLES[name].title, placeholder=_("Every method"),
            help="\n\n".join(f"**{one.title}**: {one.summary}" for one in ENSEMBLES.values()),
        ),
        "search": third.checkbox(
            _("Search at the dense size"), settings.search,
            help=_("Also finds, on validation images, the best ensemble of some of these runs that "
                   "is no larger than the dense model, in bytes and in MACs."),
        ),
    }  # fmt: skip


def _start(asked: Mapping[str, Any]) -> None:
    from workbench.ensembles import EnsembleSettings
    from workbench.ensembles.values import MAX_MEMBERS

    session.require_data()
    runs = [int(number) for number in asked["runs"]]
    if len(runs) < _FEWEST:
        raise SettingsError(
            _("An ensemble of {n} is none.").format(n=len(runs)) if runs else
            _("No run was chosen."), _("Choose at least two runs."),
        )  # fmt: skip
    if len(runs) > MAX_MEMBERS:
        raise SettingsError(
            _("{n} runs were chosen.").format(n=len(runs)),
            _("Choose at most {most}.").format(most=MAX_MEMBERS),
        )
    settings = EnsembleSettings(tuple(asked["methods"]), bool(asked["search"]))
    values = {"runs": runs, "methods": list(asked["methods"]), "settings": settings.to_dict()}
    _expect(runs, settings.to_dict())
    session.remember(**{_ASKED: values})
    start_job(KIND, _("Ensembles"), session.job_request(runs=runs, settings=settings.to_dict()))


def _expect(runs: list[int], settings: Mapping[str, Any]) -> None:
    """Remember what is about to be found, to show it as soon as it is there."""
    from workbench.ensemble_tasks import ensembles_key
    from workbench.ensembles import EnsembleSettings

    key = ensembles_key(
        session.workspace_id(), session.require_model().digest, session.require_data().digest,
        runs, EnsembleSettings.from_dict(settings),
    )  # fmt: skip
    held = [one for one in session.setting(_KEPT, []) if one["key"] != key]
    new = {"key": key, "of": session.measurement_key(), "runs": runs}
    session.remember(**{_KEPT: [new, *held][:_MOST_KEPT]})


def _kept() -> list[Mapping[str, Any]]:
    """What was combined of the model on the bench and is there, the newest first."""
    here, mine = session.setting(_KEPT, []), session.workspace().data_ref
    if mine is None:
        return []
    own = [one for one in here if one["of"] == session.measurement_key()]
    return [one for one in own if _stored(one["key"]) is not None]


def _choose_shown(kept: Sequence[Mapping[str, Any]]) -> str:
    """The newest, or the one that a person wants to see again."""
    keys = [str(one["key"]) for one in kept]
    if len(keys) == 1:
        return keys[0]
    names = _names()
    titles = {
        one["key"]: ", ".join(names.get(str(n), _("run {n}").format(n=n)) for n in one["runs"])
        for one in kept
    }
    shown = st.selectbox(
        _("Combined so far"), keys, format_func=lambda key: titles[key],
        key=f"ensemble_shown_{keys[0]}", help=_("The newest first; results are kept."),
    )  # fmt: skip
    return str(shown)


def _names() -> dict[str, str]:
    """Number of a run to its name."""
    return {str(one.number): one.name for one in run_shelf.runs()}


def _stored(key: str) -> Ensembles | None:
    from workbench.ensemble_tasks import load_ensembles

    return load_ensembles(bench.store(), key)


def _draw(found: Ensembles) -> None:
    """The findings in words, the chart and all numbers."""
    names = {one.name: _names().get(one.name, _("run {n}").format(n=one.name))
             for one in found.members}  # fmt: skip
    methods = {name: ensemble.title for name, ensemble in ENSEMBLES.items()}
    st.markdown(_takeaway(found))
    if found.best:
        columns = st.columns(len(found.best))
        for column, unit in zip(columns, found.best, strict=True):
            with column, st.container(border=True):
                st.markdown(_best_says(found, unit, names))
    titles = {"bytes": _("Total bytes"), "macs": _("Total MACs, theoretical")}
    unit = st.segmented_control(
        _("Size as"), list(titles), format_func=titles.__getitem__, default="bytes",
        required=True, key="ensemble_unit", persist_state="session",
        help=_("Of an ensemble it is the sum over its members, and what the method learnt."),
    )  # fmt: skip
    show_chart(
        ensembles_figure(
            found, str(unit), names=names, methods=methods, size_title=titles[str(unit)]
        ),
        key=f"ensembles_{unit}",
        alt=_("Chart of test accuracy against total size: the dense model, each run alone and the "
              "ensembles. ") + _takeaway(found).replace("**", "").replace("\\", ""),
        takeaway=_("Bars are 95 % intervals. Left of the dashed line an ensemble is smaller than "
                   "the dense model."),
    )  # fmt: skip
    _show_table(found, names, methods)


def _takeaway(found: Ensembles) -> str:
    """The best of all combined, beside the dense model."""
    best = max(found.combined, key=lambda one: one.validation.accuracy)
    paired = best.against_dense
    title = plain(ENSEMBLES[best.method].title)
    values = {
        "method": title, "accuracy": percent(best.test.accuracy, 2), "n": len(best.members),
        "dense": percent(found.dense.test.accuracy, 2), "p": _p_value(paired.p_value),
        "bytes": f"{found.part(best, 'bytes'):.2f}", "macs": f"{found.part(best, 'macs'):.2f}",
    }  # fmt: skip
    if paired.p_value >= 0.05:
        words = _("All {n} together by **{method}** reach {accuracy} of test images and cannot be "
                  "told from the dense model's {dense} (p {p}).")  # fmt: skip
    elif paired.difference > 0:
        words = _("All {n} together by **{method}** reach {accuracy} of test images, more than the "
                  "dense model's {dense} (p {p}).")  # fmt: skip
    else:
        words = _("All {n} together by **{method}** reach {accuracy} of test images, less than the "
                  "dense model's {dense} (p {p}).")  # fmt: skip
    size = _("They take {bytes} times its bytes and {macs} times its MACs.")
    return f"{words} {size}".format(**values)


def _best_says(found: Ensembles, unit: str, names: Mapping[str, str]) -> str:
    """The best ensemble within the dense model's size, and the best single run within it."""
    title = _("Within the dense model's bytes") if unit == "bytes" else _(
        "Within the dense model's MACs")  # fmt: skip
    best, single = found.best[unit], found.best_member(unit)
    lines = [f"**{title}**"]
    if best is None:
        lines.append(_("No two of these runs fit together."))
    else:
        paired = best.against_dense
        lines.append(
            _("{method} of {members}: {accuracy} of test images, {apart} points beside the dense "
              "model ({low} to {high}, p {p}). Best of {tried:,} on validation images.").format(
                method=ENSEMBLES[best.method].title,
                members=plain(" + ".join(names[name] for name in best.members)),
                accuracy=percent(best.test.accuracy, 2), apart=_signed(paired.difference),
                low=_signed(paired.ci_low), high=_signed(paired.ci_high),
                p=_p_value(paired.p_value), tried=found.tried[unit],
            )
        )  # fmt: skip
    if single is not None:
        lines.append(
            _("Best single run within it: {run}, {accuracy} of test images.").format(
                run=plain(names[single.name]), accuracy=percent(single.test.accuracy, 2)
            )
        )
    return "\n\n".join(lines)


def _show_table(found: Ensembles, names: Mapping[str, str], methods: Mapping[str, str]) -> None:
    """Every model and ensemble with its numbers."""
    rows = [_row(found, _("Dense model"), "", found.dense)]
    rows += [_row(found, names[one.name], _("alone"), one) for one in found.members]
    rows += [_row(found, methods[one.method], _members(one, names), one) for one in found.combined]
    for unit, best in found.best.items():
        if best is not None:
            title = _("Best within bytes") if unit == "bytes" else _("Best within MACs")
            told = f"{methods[best.method]}: {_members(best, names)}"
            rows.append(_row(found, title, told, best))
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt=_("Table of all models and ensembles."),
        height=35 * (len(rows) + 1) + 3,
        column_config={
            "model": column.TextColumn(_("Model"), pinned=True, width=155),
            "members": column.TextColumn(_("Members")),
            "validation": column.TextColumn(
                _("Validation"), help=_("Where choices are made; by cross-validation for what "
                                        "learns from these images.")),
            "test": column.TextColumn(_("Test accuracy"), help=explain("test split")),
            "bytes": column.TextColumn(_("Bytes"), help=explain("stored size")),
            "macs": column.TextColumn(_("MACs"), help=explain("MACs")),
            "apart": column.TextColumn(
                _("Beside dense, points"), help=_("On the same test images, with the 95 % interval "
                                                  "of the paired difference.")),
            "p": column.TextColumn(
                _("p"), help=_("McNemar's exact test: how often chance alone would part the two "
                               "as far, were both as good.")),
        },
    )  # fmt: skip
    st.caption(
        _("{test:,} test images, {validation:,} validation images; in brackets 95 % intervals, and "
          "of bytes and MACs how many times the dense model's they are.").format(
            test=found.dense.test.samples, validation=found.dense.validation.samples
        )
    )  # fmt: skip


def _row(found: Ensembles, title: str, members: str, one: Member | Combined) -> dict[str, str]:
    paired, test = one.against_dense, one.test
    return {
        "model": title,
        "test": f"{percent(test.accuracy, 2)} ({100 * test.ci_low:.1f}–{100 * test.ci_high:.1f})",
        "apart": "" if paired is None else
        f"{_signed(paired.difference)} ({_signed(paired.ci_low)} to {_signed(paired.ci_high)})",
        "p": "" if paired is None else _p_value(paired.p_value),
        "bytes": _sized(found, one, "bytes"),
        "macs": _sized(found, one, "macs"),
        "validation": percent(one.validation.accuracy, 2),
        "members": members,
    }  # fmt: skip


def _sized(found: Ensembles, one: Member | Combined, unit: str) -> str:
    """The size, and how many times the dense model's it is."""
    size = compact(one.size(unit))
    return size if one is found.dense else f"{size} ({found.part(one, unit):.2f}×)"


def _members(one: Combined, names: Mapping[str, str]) -> str:
    return " + ".join(names[name] for name in one.members)


def _signed(value: float) -> str:
    """Points with their sign; none where it rounds to nothing."""
    shown = f"{100 * value:+.2f}".replace("-", "−")
    return shown[1:] if shown[1:] == "0.00" else shown


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
