"""How good the predictions were: every plan that was measured, against what had been predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.ui import curve_shelf, plan_record, session
from workbench.ui.charts import Outcome, predicted_figure, show_chart
from workbench.ui.equaliser.forecast import forecast_options
from workbench.ui.granularity_choice import granularity_title
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.prediction import MeasuredPlan
    from workbench.ui.plan_record import RecordedPlan

Kind = tuple[str, str, str]
"""Granularity, criterion and repair."""


def show_outcomes() -> None:
    """An expander with the chart; it is drawn only where a person opens it."""
    opened = st.expander(
        _("Predicted against measured"), icon=":material/target:", key="outcomes",
        on_change="rerun",
    )  # fmt: skip
    if opened.open:
        with opened:
            _show_chart(outcomes())


def _show_chart(found: Sequence[Outcome]) -> None:
    if not found:
        st.caption(
            _(
                "No plan of this model was measured yet. Every plan that is checked, or pruned "
                "with, appears here beside what was predicted of it."
            )
        )
        return
    inside = sum(one.inside for one in found)
    off = median(abs(one.measured - one.predicted) for one in found)
    takeaway = ngettext(
        "{inside} of {count} measured plan fell into its band; nine in ten should. The prediction "
        "was {off} points off.",
        "{inside} of {count} measured plans fell into their bands; nine in ten should. The "
        "predictions were typically {off} points off.",
        len(found),
    ).format(inside=inside, count=len(found), off=f"{100 * off:.1f}")
    show_chart(
        predicted_figure(found), key="predicted",
        alt=_("Chart of measured against predicted accuracy, one mark a plan. ") + takeaway,
        takeaway=takeaway + " "
        + _("Each was predicted before it was measured, from the curves and the plans until then."),
    )  # fmt: skip


def outcomes() -> list[Outcome]:
    """Every measured plan of the model and data on the bench of which something was predicted."""
    found = sorted(plan_record.on_bench(), key=_kind)
    return [
        outcome for kind, own in groupby(found, key=_kind) for outcome in _of_kind(kind, list(own))
    ]


def _kind(one: RecordedPlan) -> Kind:
    return one.plan.granularity, one.plan.criterion, one.repair


def _of_kind(kind: Kind, own: Sequence[RecordedPlan]) -> list[Outcome]:
    """What would have been predicted of plans, each from the curves and the plans before it.

    Where there are no curves any more, what was shown before the measurement counts.
    """
    from workbench.prediction import predict_in_turn

    curves = _curves_for(kind)
    if curves is None or curves.baseline is None:
        return [_outcome(one, one.predicted, None) for one in own if one.predicted]
    granularity, criterion, repair = kind
    groups = session.groups(granularity)
    fit: list[tuple[RecordedPlan, MeasuredPlan]] = []
    for one in own:
        measured = one.measured_with(groups)
        if measured is not None:
            fit.append((one, measured))
    predictions = predict_in_turn(
        curves.baseline, curves.points, chance=1 / session.require_model().num_classes,
        plans=[measured for _one, measured in fit], **forecast_options(curves, criterion, repair),
    )  # fmt: skip
    dense = curves.baseline.accuracy
    return [
        _outcome(one, prediction.to_dict(), dense)
        for (one, _measured), prediction in zip(fit, predictions, strict=True)
    ]


def _curves_for(kind: Kind) -> SensitivityCurves | None:
    """The curves nearest to what plans were made of: of their criterion, after their repair."""
    granularity, criterion, repair = kind
    fitting = [
        curves for curves in curve_shelf.shelf().values()
        if curves.settings.granularity == granularity
    ]  # fmt: skip
    return min(
        fitting, default=None,
        key=lambda c: (c.settings.criterion != criterion, c.settings.repair != repair),
    )  # fmt: skip


def _outcome(one: RecordedPlan, predicted: Mapping[str, Any], dense: float | None) -> Outcome:
    """A mark of the chart.

    Args:
        one: What was measured.
        predicted: ``Prediction.to_dict()``.
        dense: Accuracy of the dense model on the curves' images.
    """
    from workbench.criteria import get_criterion
    from workbench.metrics import wilson_interval
    from workbench.repair import get_repair

    ends = one.interval or wilson_interval(round(one.accuracy * one.samples), one.samples)
    low, high = float(predicted["accuracy_low"]), float(predicted["accuracy_high"])
    shift = 0.0 if dense is None or one.baseline is None else dense - one.baseline[1]
    cut = [value for value in one.plan.sparsities.values() if value]
    detail = ngettext(
        "{granularity}, {criterion}, repair: {repair}<br>{count} group cut by {mean}, "
        "{samples} images",
        "{granularity}, {criterion}, repair: {repair}<br>{count} groups cut, {mean} on average, "
        "{samples} images",
        len(cut),
    ).format(
        granularity=granularity_title(one.plan.granularity),
        criterion=get_criterion(one.plan.criterion).title, repair=get_repair(one.repair).title,
        count=len(cut), mean=percent(sum(cut) / max(1, len(cut)), 0), samples=f"{one.samples:,}",
    )  # fmt: skip
    return Outcome(
        one.name or _("Plan"), detail, one.origin, float(predicted["accuracy"]), low, high,
        one.accuracy, *ends, low <= one.accuracy + shift <= high,
    )  # fmt: skip
