"""Accuracy against bytes on disk: the dense model, a run, and what was put in its place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.ui.charts.labels import Box, place_labels
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, HIGHLIGHT, KEPT, PRUNED, lay_out

_NARROW, _MARGINS, _RADIUS = 780, 96, 8.0
SHAPES = {
    "dense": ("square", DENSE), "run": ("circle", HIGHLIGHT), "int8": ("diamond", KEPT),
    "cluster": ("triangle-down", GOOD), "pattern": ("cross", PRUNED),
}  # fmt: skip
"""Kind of a mark to its shape and colour."""


@dataclass(frozen=True)
class FileMark:
    """One file on the chart.

    Attributes:
        label: Shown beside it and in the hover box.
        kind: A name in ``SHAPES``.
        bytes: On disk.
        accuracy: Test accuracy as a fraction; ``ci_low`` and ``ci_high`` bound it at 95 %.
    """

    label: str
    kind: str
    bytes: int
    accuracy: float
    ci_low: float
    ci_high: float


def quantised_figure(marks: Sequence[FileMark], *, height: int = 420) -> go.Figure:
    """Test accuracy against bytes on disk, on a scale of powers; up and left is better.

    Args:
        marks: The files, at least one.
        height: In pixels.
    """
    sizes = [math.log10(mark.bytes) for mark in marks]
    left, right = min(sizes) - 0.25, max(sizes) + 0.25
    low, high = min(mark.ci_low for mark in marks), max(mark.ci_high for mark in marks)
    pad = max(0.05 * (high - low), (0.03 - (high - low)) / 2, 0.004)
    low, high = max(0.0, low - pad), min(1.01, high + pad)
    places = _places(marks, (left, right, low, high), height - _MARGINS)
    figure = go.Figure()
    for kind, title in _titles().items():
        chosen = [number for number, mark in enumerate(marks) if mark.kind == kind]
        if chosen:
            _add(figure, [marks[i] for i in chosen], [places[i] for i in chosen], kind, title)
    lay_out(
        figure, height=height, x_title=_("Bytes on disk"), y_title=_("Test accuracy"), legend=True
    )
    figure.update_xaxes(
        type="log", range=[left, right], tickformat="~s", showgrid=True, dtick="D2",
        fixedrange=True, gridcolor="rgba(128, 128, 128, 0.12)",
    )  # fmt: skip
    figure.update_yaxes(
        range=[low, high], tickformat=".1%" if high - low < 0.05 else ".0%", fixedrange=True
    )
    return figure


def _titles() -> dict[str, str]:
    return {
        "dense": _("Dense, float32"), "run": _("Chosen run, float32"), "int8": _("8 bits, ONNX"),
        "cluster": _("Clustered and coded"), "pattern": _("Pattern, float32"),
    }  # fmt: skip


def _add(
    figure: go.Figure, marks: Sequence[FileMark], places: Sequence[str | None], kind: str,
    title: str,
) -> None:  # fmt: skip
    symbol, colour = SHAPES[kind]
    figure.add_scatter(
        x=[mark.bytes for mark in marks], y=[mark.accuracy for mark in marks], name=title,
        mode="markers+text", cliponaxis=False,
        text=[mark.label if place else "" for mark, place in zip(marks, places, strict=True)],
        textposition=[place or "top center" for place in places],
        hovertext=[mark.label for mark in marks],
        hovertemplate="<b>%{hovertext}</b><br>" + _("Test accuracy") + ": %{y:.2%}<br>"
        + _("Bytes") + ": %{x:,}<extra></extra>",
        marker={"size": 13, "symbol": symbol, "color": colour},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3,
            "color": "rgba(128, 128, 128, 0.6)",
            "array": [mark.ci_high - mark.accuracy for mark in marks],
            "arrayminus": [mark.accuracy - mark.ci_low for mark in marks],
        },
    )  # fmt: skip


def _places(
    marks: Sequence[FileMark], extent: tuple[float, float, float, float], tall: float
) -> list[str | None]:
    """Where the labels go so that none covers another or a mark."""
    left, right, low, high = extent

    def place(mark: FileMark, accuracy: float) -> tuple[float, float]:
        x = _NARROW * (math.log10(mark.bytes) - left) / (right - left)
        return x, tall * (high - accuracy) / (high - low)

    taken = []
    for mark in marks:
        x, y = place(mark, mark.accuracy)
        taken.append(Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS))
        top, bottom = place(mark, mark.ci_high)[1], place(mark, mark.ci_low)[1]
        taken.append(Box(x - 2, top, x + 2, bottom))
    anchors = [(*place(mark, mark.accuracy), mark.label) for mark in marks]
    return place_labels(anchors, taken, Box(0, 0, _NARROW, tall))
