"""Settings of a sensitivity measurement and its start, from whatever page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import SettingsError
from workbench.granularity import parse_granularity
from workbench.ui import compute_choice, curve_shelf, session
from workbench.ui.criterion_choice import (
    criterion_help,
    criterion_names,
    criterion_title,
    usual_criterion,
)
from workbench.ui.errors import guard
from workbench.ui.granularity_choice import granularity_names, granularity_title, group_noun
from workbench.ui.i18n import _, ngettext
from workbench.ui.job_panel import is_active, start_job
from workbench.ui.methods_links import explain_methods
from workbench.ui.repair_choice import quick_repair, repair_names
from workbench.ui.words import explain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from workbench.curves import SensitivitySettings

KIND = "sensitivity"
_SETTINGS = "sensitivity"
_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_CHANNEL_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_NUM_SAMPLES = 2_000
_HALF_WIDTH = 0.01
_HALF_WIDTHS = (0.005, 0.01, 0.02)


def measure_again() -> None:
    """Settings of a measurement and the button that begins it."""
    with st.expander(_("Measure with other settings"), icon=":material/tune:"):
        left, right = st.columns(2)
        with left:
            granularity = _ask_granularity()
        before = _remembered(granularity)
        with right:
            precision = _ask_precision(before)
        with st.form("sensitivity", border=False):
            values = _ask(before, precision)
            sent = st.form_submit_button(
                _("Measure"), icon=":material/play_arrow:", disabled=is_active(KIND)
            )
        if sent:
            with guard():
                compute_choice.remember(values["measured_on"])
                start(_settings(values | {"granularity": granularity, "precision": precision}))
                st.rerun()


def _ask_precision(before: SensitivitySettings) -> str:
    """Whether points are measured on all images or only as far as a stated width needs."""
    titles = precision_titles()
    precision = st.segmented_control(
        _("Precision"), list(titles), format_func=titles.__getitem__, default=before.precision,
        key=f"precision_{before.granularity}_{before.precision}", required=True,
        help=f"{explain('fast')} {explain('exact')}", width="stretch",
    )  # fmt: skip
    told = {
        "fast": _(
            "Stops every point when its 95 % interval is narrow enough, and interpolates levels "
            "between which little happens."
        ),
        "exact": _("Measures every {thing} at every level on all images asked for.").format(
            thing=group_noun(parse_granularity(before.granularity))
        ),
    }
    st.caption(told[precision])
    return str(precision)


def precision_titles() -> dict[str, str]:
    """What pages call the precisions, the quick one first."""
    return {"fast": _("Fast"), "exact": _("Exact")}


def half_width_title(half_width: float) -> str:
    """A half-width in points of accuracy."""
    return ngettext("± {points} point", "± {points} points", 1 if half_width == 0.01 else 2).format(
        points=f"{100 * half_width:g}"
    )


def _ask_granularity() -> str:
    """What goes together; the plan's until another is chosen."""
    planned = session.plan().granularity
    names = granularity_names(planned)
    granularity = st.selectbox(
        _("Granularity"), names, names.index(planned), format_func=granularity_title,
        key=f"sensitivity_granularity_{planned}", persist_state="session",
        help=explain("granularity"),
    )  # fmt: skip
    st.caption(parse_granularity(granularity).summary)
    return str(granularity)


def _ask(before: SensitivitySettings, precision: str) -> dict[str, Any]:
    """The widgets of the settings, filled with what was asked last."""
    from workbench.repair import REPAIRS

    first, second, third = st.columns(2), st.columns(2), st.columns(2)
    criteria, repairs = criterion_names(before.granularity), repair_names()
    criterion = usual_criterion(before.granularity, before.criterion)
    kind = parse_granularity(before.granularity)
    levels = ", ".join(f"{100 * level:g}" for level in before.levels)
    return {
        "criterion": first[0].selectbox(
            _("Criterion"), criteria, criteria.index(criterion), format_func=criterion_title,
            key=f"sensitivity_criterion_{before.granularity}_{criterion}",
            help=criterion_help(criterion),
        ),
        "repair": first[1].selectbox(
            _("Repair before measuring"), repairs, repairs.index(before.repair),
            format_func=lambda name: REPAIRS[name].title, help=explain_methods("repair", "repair"),
        ),
        "levels": second[0].text_input(
            _("Channel pruning ratios in percent") if kind.structured else _("Levels in percent"),
            levels, disabled=kind.kind == "nm", key=f"levels_{before.granularity}_{levels}",
            help=_("N:M prunes the same share everywhere, so there is one level.")
            if kind.kind == "nm"
            else _("The levels at which every {thing} is measured.").format(
                thing=group_noun(kind)
            ),
        ),
        "num_samples": second[1].number_input(
            _("Validation images"), 50, 10_000, before.num_samples, 50,
            help=_("More images give narrower intervals and take longer."),
        ),
        "half_width": _ask_half_width(third[1], before) if precision == "fast" else None,
        "measured_on": _ask_place(third[0]),
    }  # fmt: skip


def _ask_half_width(column: DeltaGenerator, before: SensitivitySettings) -> float:
    """Where ``fast`` stops."""
    widths = sorted({*_HALF_WIDTHS, before.half_width})
    return float(
        column.selectbox(
            _("Half-width at 95 %"), widths, widths.index(before.half_width),
            format_func=half_width_title, help=explain("half-width"),
        )
    )  # fmt: skip


def _ask_place(column: DeltaGenerator) -> str:
    with column:
        return compute_choice.ask()


def _settings(values: Mapping[str, Any]) -> SensitivitySettings:
    from workbench.curves import SensitivitySettings

    return SensitivitySettings(
        levels=_levels(str(values["levels"])), num_samples=int(values["num_samples"]),
        criterion=values["criterion"], repair=values["repair"],
        granularity=values["granularity"], precision=values["precision"],
        half_width=values["half_width"] or _HALF_WIDTH,
    )  # fmt: skip


def _levels(text: str) -> tuple[float, ...]:
    """Sparsities from percentages with commas or spaces between them.

    Raises:
        SettingsError: If there are none, or one is no number between 0 and 100.
    """
    hint = _("Write percentages with commas between them, such as 30, 50, 70, 90.")
    words = text.replace("%", " ").replace(",", " ").split()
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        message = _("The levels {text!r} are not all numbers.").format(text=text)
        raise SettingsError(message, hint) from None
    if not numbers:
        raise SettingsError(_("No level was given."), hint)
    for number in numbers:
        if not 0 < number < 100:
            message = _("The level {number} % is not between 0 and 100 %.")
            raise SettingsError(message.format(number=f"{number:g}"), hint)
    return tuple(number / 100 for number in numbers)


def _remembered(granularity: str) -> SensitivitySettings:
    """What was asked last in this workspace at a granularity, or a good beginning."""
    from workbench.curves import SensitivitySettings

    kept = session.setting(_SETTINGS)
    if kept is not None and kept["granularity"] == granularity:
        repair = quick_repair(kept["repair"])
        return SensitivitySettings.from_dict(kept | {"repair": repair})
    structured = parse_granularity(granularity).structured
    return SensitivitySettings(
        levels=_CHANNEL_LEVELS if structured else _LEVELS, num_samples=_NUM_SAMPLES,
        repair=quick_repair(), granularity=granularity, precision="fast", half_width=_HALF_WIDTH,
    )  # fmt: skip


def start_for_plan() -> None:
    """Measure what the plan page needs, in the way that was asked for last."""
    plan = session.plan()
    start(replace(_remembered(plan.granularity), criterion=plan.criterion))


def start(settings: SensitivitySettings) -> None:
    """Begin or resume a measurement; points that are in the cache come at once."""
    session.require_data()
    if len(repair_names()) > 1:  # else the repair was not chosen, and must not be remembered
        session.remember(**{_SETTINGS: settings.to_dict()})
    curve_shelf.expect_curves(settings)
    start_job(
        KIND, _("Measuring the sensitivity of {model}").format(model=session.model_ref().name),
        session.job_request(settings=settings.to_dict(), ray=compute_choice.chosen()),
    )  # fmt: skip
