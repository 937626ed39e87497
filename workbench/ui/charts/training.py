"""How a fine-tuning goes: loss by step, accuracy by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, HIGHLIGHT, KEPT, lay_out, percent


def loss_figure(points: Sequence[Mapping[str, Any]], *, height: int = 280) -> go.Figure:
    """Training loss by step, and validation loss after every epoch.

    Args:
        points: Steps (``step``, ``loss``) and epochs (``validation_loss`` too), as reported.
        height: In pixels.
    """
    epochs = [point for point in points if "accuracy" in point]
    steps = [point for point in points if "accuracy" not in point and "loss" in point]
    figure = go.Figure()
    if len(steps) < len(epochs):  # a short training, or one that is over: its means by epoch
        steps = [point for point in epochs if point["loss"] is not None]
    figure.add_scatter(
        x=[point["step"] for point in steps], y=[point["loss"] for point in steps],
        mode="lines+markers" if len(steps) < 30 else "lines", marker={"size": 5},
        line={"color": KEPT, "width": 1.5}, name=_("Training loss"),
        hovertemplate=_("step %{x}: %{y:.3f}") + "<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[point["step"] for point in epochs], y=[point["validation_loss"] for point in epochs],
        mode="lines+markers", line={"color": HIGHLIGHT, "width": 2, "dash": "dot"},
        marker={"size": 8, "symbol": "diamond"}, name=_("Validation loss"),
        hovertemplate=_("step %{x}: %{y:.3f}") + "<extra></extra>",
    )  # fmt: skip
    lay_out(figure, height=height, x_title=_("Step"), y_title=_("Loss"), legend=True)
    figure.update_yaxes(rangemode="tozero", fixedrange=True)
    figure.update_xaxes(fixedrange=True)
    return figure


def accuracy_figure(
    points: Sequence[Mapping[str, Any]],
    *,
    dense: float | None = None,
    best_epoch: int | None = None,
    height: int = 280,
) -> go.Figure:
    """Validation accuracy by epoch; epoch 0 is before training.

    Args:
        points: As reported; those with ``accuracy`` are epochs.
        dense: Validation accuracy of the dense model, for comparison.
        best_epoch: The epoch that is kept; found from the points if None.
        height: In pixels.
    """
    epochs = [point for point in points if "accuracy" in point]
    figure = go.Figure()
    figure.add_scatter(
        x=[point["epoch"] for point in epochs], y=[point["accuracy"] for point in epochs],
        mode="lines+markers", line={"color": KEPT, "width": 2}, marker={"size": 8},
        name=_("Validation accuracy"),
        hovertemplate=_("epoch %{x}: %{y:.1%}") + "<extra></extra>",
    )  # fmt: skip
    if epochs:
        best = max(epochs, key=lambda p: (p["accuracy"], -(p["validation_loss"] or 1e9)))
        if best_epoch is not None:
            best = next((p for p in epochs if p["epoch"] == best_epoch), best)
        figure.add_scatter(
            x=[best["epoch"]], y=[best["accuracy"]], mode="markers+text", name=_("Kept"),
            marker={"size": 14, "symbol": "star", "color": GOOD},
            text=[percent(best["accuracy"])], textposition="bottom center", hoverinfo="skip",
        )  # fmt: skip
    if dense is not None:
        last = max([1, *(point["epoch"] for point in epochs)])
        figure.add_scatter(
            x=[0, last], y=[dense, dense], mode="lines", name=_("Dense"),
            line={"color": DENSE, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
        )  # fmt: skip
    lay_out(
        figure, height=height, x_title=_("Epoch"), y_title=_("Validation accuracy"), legend=True
    )
    shown = [point["accuracy"] for point in epochs] + ([dense] if dense is not None else [])
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    room = max(0.005, 0.16 * (high - low))  # for the label of the best epoch
    figure.update_yaxes(tickformat=".0%", fixedrange=True, range=[low - room, high + room / 2])
    figure.update_xaxes(dtick=1 if len(epochs) < 16 else None, fixedrange=True)
    return figure
