"""How a sparse training goes: sparsity, accuracy and penalty; strength against what came out."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, PRUNED, lay_out

Points = Sequence[Mapping[str, Any]]
_SHARE = [-0.03, 1.03]
"""Ends of an axis of shares: a mark at 0 or 100 % is shown whole."""


def unroll(points: Points) -> list[dict[str, Any]]:
    """Points of several trainings in a row with steps and epochs that go on rising."""
    unrolled: list[dict[str, Any]] = []
    step_before = epoch_before = last_step = last_epoch = 0
    for point in points:
        step, epoch = int(point["step"]), int(point["epoch"])
        if step < last_step:
            step_before, epoch_before = step_before + last_step, epoch_before + last_epoch
        last_step, last_epoch = step, epoch
        unrolled.append({**point, "step": step_before + step, "epoch": epoch_before + epoch})
    return unrolled


def sparse_figure(
    points: Points, *, target: float | None = None, dense: float | None = None, height: int = 340
) -> go.Figure:
    """Sparsity and validation accuracy by step, and the penalty on an axis of its own.

    Args:
        points: As reported or kept: ``step, sparsity``, perhaps ``penalty`` and ``accuracy``.
        target: Sparsity to reach.
        dense: Validation accuracy of the dense model.
        height: In pixels.
    """
    points = unroll(points)
    epochs = [point for point in points if "accuracy" in point]
    figure = go.Figure()
    figure.add_scatter(
        x=[p["step"] for p in points if "sparsity" in p],
        y=[p["sparsity"] for p in points if "sparsity" in p],
        mode="lines", line={"color": PRUNED, "width": 2.5}, name=_("Sparsity"),
        hovertemplate=_("step %{x}: %{y:.1%} gone") + "<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[p["step"] for p in epochs], y=[p["accuracy"] for p in epochs],
        mode="lines+markers", line={"color": KEPT, "width": 2, "dash": "dot"},
        marker={"size": 8, "symbol": "circle"}, name=_("Accuracy"),
        hovertemplate=_("step %{x}: %{y:.2%} correct") + "<extra></extra>",
    )  # fmt: skip
    last = max([1, *(p["step"] for p in points)])
    for value, colour, name in (
        (target, PRUNED, _("Target")), (dense, DENSE, _("Dense")),
    ):  # fmt: skip
        if value is not None:
            figure.add_scatter(
                x=[0, last], y=[value, value], mode="lines", name=name, hoverinfo="skip",
                line={"color": colour, "width": 1.2, "dash": "dash"},
            )  # fmt: skip
    lay_out(
        figure, height=height, x_title=_("Step"), y_title=_("Zeros; correct answers"), legend=True
    )
    penalties = [p for p in points if p.get("penalty")]
    if penalties:
        figure.add_scatter(
            x=[p["step"] for p in penalties], y=[p["penalty"] for p in penalties], yaxis="y2",
            mode="lines" if len(penalties) > 1 else "markers",
            line={"color": HIGHLIGHT, "width": 1.5, "dash": "longdashdot"},
            marker={"symbol": "diamond", "size": 8},
            name=_("Penalty, right"),
            hovertemplate=_("step %{x}: %{y:.3g} in the loss") + "<extra></extra>",
        )  # fmt: skip
        top = 1.02 * max(p["penalty"] for p in penalties)
        figure.update_layout(
            margin_r=60,
            yaxis2={"overlaying": "y", "side": "right", "title": _("Penalty"),
                    "showgrid": False, "range": [end * top for end in _SHARE], "fixedrange": True,
                    "tickformat": ".2~g", "tickmode": "auto", "nticks": 6},
        )  # fmt: skip
    figure.update_layout(yaxis={"tickformat": ".0%", "range": _SHARE, "fixedrange": True})
    figure.update_xaxes(fixedrange=True)
    return figure


def strength_figure(
    attempts: Points, *, live: Mapping[str, Any] | None = None, height: int = 340
) -> go.Figure:
    """Strength of the penalty against the sparsity and the accuracy that came out.

    Args:
        attempts: ``strength, sparsity, accuracy`` of each.
        live: ``strength`` and ``sparsity`` of the training that runs now.
        height: In pixels.
    """
    ordered = sorted(attempts, key=lambda one: one["strength"])
    figure = go.Figure()
    for key, name, colour, symbol in (
        ("sparsity", _("Sparsity"), PRUNED, "square"),
        ("accuracy", _("Accuracy"), KEPT, "circle"),
    ):
        figure.add_scatter(
            x=[one["strength"] for one in ordered], y=[one[key] for one in ordered],
            mode="lines+markers", line={"color": colour, "width": 1.5},
            marker={"size": 10, "symbol": symbol}, name=name,
            hovertemplate=_("strength %{x:.3g}: %{y:.2%}") + "<extra></extra>",
        )  # fmt: skip
    if live is not None and live.get("strength"):
        figure.add_scatter(
            x=[live["strength"]], y=[live["sparsity"]], mode="markers", name=_("Now"),
            marker={"size": 13, "symbol": "square-open", "color": HIGHLIGHT,
                    "line": {"width": 2.5}},
            hovertemplate=_("strength %{x:.3g}: %{y:.1%} so far") + "<extra></extra>",
        )  # fmt: skip
    lay_out(
        figure,
        height=height,
        x_title=_("Strength"),
        y_title=_("Zeros; correct answers"),
        legend=True,
    )
    tried = sorted({one["strength"] for one in ordered})
    figure.update_xaxes(
        type="log", fixedrange=True, tickvals=tried, ticktext=[f"{value:g}" for value in tried]
    )
    figure.update_yaxes(tickformat=".0%", range=_SHARE, fixedrange=True)
    return figure


def reached_figure(points: Points, *, floor: float | None = None, height: int = 340) -> go.Figure:
    """Validation accuracy against sparsity, epoch by epoch.

    Args:
        points: With ``accuracy`` and ``sparsity``.
        floor: Accuracy that is not to be missed.
        height: In pixels.
    """
    epochs = [point for point in points if "accuracy" in point and "sparsity" in point]
    figure = go.Figure()
    figure.add_scatter(
        x=[p["sparsity"] for p in epochs], y=[p["accuracy"] for p in epochs],
        mode="lines+markers", line={"color": KEPT, "width": 1.2}, marker={"size": 8},
        name=_("After each epoch"),
        hovertemplate=_("%{x:.1%} gone: %{y:.2%} correct") + "<extra></extra>",
    )  # fmt: skip
    if floor is not None:
        figure.add_scatter(
            x=[0, 1], y=[floor, floor], mode="lines", name=_("Floor"), hoverinfo="skip",
            line={"color": HIGHLIGHT, "width": 1.5, "dash": "dash"},
        )  # fmt: skip
    lay_out(
        figure, height=height, x_title=_("Sparsity"), y_title=_("Validation accuracy"), legend=True
    )
    figure.update_xaxes(tickformat=".0%", range=_SHARE, fixedrange=True)
    figure.update_yaxes(tickformat=".1%", fixedrange=True)
    return figure
