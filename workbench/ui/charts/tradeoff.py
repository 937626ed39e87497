"""Accuracy against size: every run, the dense model, a random baseline and the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, HIGHLIGHT, KEPT, RANDOM, lay_out, translucent


@dataclass(frozen=True)
class Mark:
    """One measured model on the chart.

    Attributes:
        label: Shown beside it and in the hover box.
        size: On the horizontal axis.
        accuracy: Test accuracy as a fraction.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end.
        path: Sizes and accuracies of the stages before it, oldest first.
        random: Whether the weights were pruned at random.
        current: Whether it is the chosen run.
    """

    label: str
    size: float
    accuracy: float
    ci_low: float
    ci_high: float
    path: tuple[tuple[float, float], ...] = ()
    random: bool = False
    current: bool = False


def tradeoff_figure(
    marks: Sequence[Mark],
    *,
    dense: Mark | None,
    front: Sequence[int],
    size_title: str,
    height: int = 480,
) -> go.Figure:
    """All runs; the first trace holds one clickable marker per mark, in order.

    Args:
        marks: The runs.
        dense: The dense model; None where it was not measured.
        front: Indices of the marks on the Pareto front, by size.
        size_title: What the horizontal axis counts, with its unit.
        height: In pixels.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[mark.size for mark in marks], y=[mark.accuracy for mark in marks],
        mode="markers+text" if len(marks) <= 12 else "markers",
        text=[mark.label for mark in marks], textposition="bottom center", showlegend=False,
        marker={
            "size": [17 if mark.current else 12 for mark in marks],
            "symbol": ["star" if m.current else "x" if m.random else "circle" for m in marks],
            "color": [_colour(mark) for mark in marks],
        },
        error_y=_errors(marks),
        hovertemplate="<b>%{text}</b><br>%{y:.2%}<br>%{x:,.4s}<extra></extra>",
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
    for mark in marks:
        if mark.path:
            steps = [*mark.path, (mark.size, mark.accuracy)]
            figure.add_scatter(
                x=[size for size, _accuracy in steps], y=[accuracy for _size, accuracy in steps],
                mode="lines+markers", showlegend=False, hoverinfo="skip",
                line={"color": translucent(_colour(mark), 0.45), "width": 1.5, "dash": "dot"},
                marker={"size": 6, "symbol": "circle-open"},
            )  # fmt: skip
    if len(front) > 1:
        figure.add_scatter(
            x=[marks[i].size for i in front], y=[marks[i].accuracy for i in front],
            mode="lines", line={"color": GOOD, "width": 2}, name=_("Pareto front"),
            hoverinfo="skip",
        )  # fmt: skip
    if dense is not None:
        figure.add_scatter(
            x=[dense.size], y=[dense.accuracy], mode="markers+text", text=[dense.label],
            textposition="top center", name=_("Dense model"), error_y=_errors([dense]),
            marker={"size": 13, "symbol": "square", "color": DENSE},
            hovertemplate="<b>%{text}</b><br>%{y:.2%}<extra></extra>",
        )  # fmt: skip
    _add_keys(figure, marks)
    lay_out(figure, height=height, x_title=size_title, y_title=_("Test accuracy"), legend=True)
    figure.update_xaxes(rangemode="tozero", tickformat="~s", showgrid=True, fixedrange=True)
    figure.update_yaxes(tickformat=".0%", fixedrange=True)
    return figure


def _add_keys(figure: go.Figure, marks: Sequence[Mark]) -> None:
    """Legend entries for what the shapes mean."""
    keys = (
        (_("Run"), KEPT, "circle", any(not m.random and not m.current for m in marks)),
        (_("Pruned at random"), RANDOM, "x", any(m.random for m in marks)),
        (_("Chosen run"), HIGHLIGHT, "star", any(m.current for m in marks)),
    )
    for name, colour, symbol, present in keys:
        if present:
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=name,
                marker={"size": 11, "symbol": symbol, "color": colour},
            )  # fmt: skip


def _colour(mark: Mark) -> str:
    return HIGHLIGHT if mark.current else RANDOM if mark.random else KEPT


def _errors(marks: Sequence[Mark]) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 3,
        "color": "rgba(128, 128, 128, 0.6)",
        "array": [mark.ci_high - mark.accuracy for mark in marks],
        "arrayminus": [mark.accuracy - mark.ci_low for mark in marks],
    }  # fmt: skip
