"""What pruning each group costs: all curves together, one small chart each, and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.granularity import parse_granularity
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GRID, HIGHLIGHT, KEPT, lay_out, percent, translucent

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves, SensitivityPoint

Metric = Literal["accuracy", "loss"]
MAX_MULTIPLES = 24
_PALETTE = (HIGHLIGHT, "#8C6BB1", "#56B4E9", "#A6761D", "#44AA99")  # safe; none means a state
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_MAX_SHOWN_LOSS = 20.0


def curves_figure(
    curves: SensitivityCurves,
    metric: Metric,
    *,
    highlighted: Sequence[str] = (),
    height: int = 440,
) -> go.Figure:
    """All curves in one chart; the highlighted groups in colour with their 95 % intervals.

    Args:
        curves: Whole or partial.
        metric: ``accuracy`` or ``loss``.
        highlighted: At most five groups to bring to the front, worst first.
        height: In pixels.
    """
    figure = go.Figure()
    others = [group for group in curves.groups if group not in highlighted]
    for group in others:
        figure.add_scatter(
            **_values(_points_of(curves, group), metric), name=group, mode="lines",
            showlegend=False,
            line={"color": translucent(KEPT, 0.35), "width": 1.5},
            hovertemplate=_hover(group, metric),
        )  # fmt: skip
    if others:  # one entry in the legend for all of them
        figure.add_scatter(
            x=[None], y=[None], mode="lines",
            name=_("Other groups") if _is_structured(curves) else _("Other layers"),
            line={"color": translucent(KEPT, 0.5), "width": 1.5},
        )  # fmt: skip
    for index, group in enumerate(highlighted[: len(_PALETTE)]):
        colour = _PALETTE[index]
        if metric == "accuracy":
            _add_band(figure, curves, group, colour)
        figure.add_scatter(
            **_line(curves, group, metric), name=group, mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": _DASHES[index]},
            marker={"size": 6, "symbol": index}, hovertemplate=_hover(group, metric),
        )  # fmt: skip
        _add_interpolated(figure, curves, group, metric, colour)
    if curves.interpolated:  # one entry in the legend for all of them
        figure.add_scatter(
            x=[None], y=[None], mode="lines+markers", name=_("Interpolated"),
            line={"color": KEPT, "width": 1.5, "dash": "dot"},
            marker={"size": 6, "symbol": "circle-open", "color": KEPT},
        )  # fmt: skip
    _add_baseline(figure, curves, metric)
    lay_out(figure, height=height, x_title=_level_title(curves), legend=True)
    _axes(figure, metric)
    figure.update_yaxes(title=_title(metric))
    if metric == "accuracy":
        lowest = min((point.ci_low for point in curves.points), default=0.0)
        figure.update_yaxes(range=[floor(10 * lowest) / 10 if lowest > 0.2 else 0, 1.02])
    return figure


def multiples_figure(
    curves: SensitivityCurves, groups: Sequence[str], metric: Metric, *, columns: int = 4
) -> go.Figure:
    """One small chart a group, all on the same axes, every point with its 95 % interval.

    Args:
        curves: Whole or partial.
        groups: Those to draw, at most ``MAX_MULTIPLES``.
        metric: ``accuracy`` or ``loss``.
        columns: Charts in a row.
    """
    groups = groups[:MAX_MULTIPLES]
    columns = min(columns, max(1, len(groups)))
    rows = max(1, -(-len(groups) // columns))
    height = 60 + 150 * rows
    figure = make_subplots(
        rows, columns, subplot_titles=list(groups), shared_xaxes="all", shared_yaxes="all",
        vertical_spacing=34 / (height - 80), horizontal_spacing=0.02,
    )  # fmt: skip
    for index, group in enumerate(groups):
        row, column = index // columns + 1, index % columns + 1
        errors = _errors(_measured(curves, group)) if metric == "accuracy" else None
        figure.add_scatter(
            **_line(curves, group, metric), mode="lines+markers", row=row, col=column,
            line={"color": KEPT, "width": 1.5}, marker={"size": 4}, error_y=errors,
            hovertemplate=_hover(group, metric),
        )  # fmt: skip
        _add_interpolated(figure, curves, group, metric, KEPT, row=row, col=column)
        if curves.baseline is not None:
            figure.add_scatter(
                x=[0, 1], y=[_shown(curves.baseline, metric)] * 2, mode="lines", row=row,
                col=column, line={"color": DENSE, "width": 1, "dash": "dash"}, hoverinfo="skip",
            )  # fmt: skip
    lay_out(figure, height=height)
    figure.update_layout(margin={"l": 56, "r": 8, "t": 30, "b": 34})
    figure.update_annotations(font={"size": 12})
    _axes(figure, metric)
    figure.update_xaxes(tickvals=[0, 0.5, 0.9])
    return figure


def damage_figure(curves: SensitivityCurves, *, dark: bool, height: int | None = None) -> go.Figure:
    """Heat map of group by level: accuracy lost in points, written in while there is room.

    Args:
        curves: Whole or partial; points not measured yet stay blank.
        dark: Whether the page is in the dark theme.
        height: In pixels; None makes rows that can be read.
    """
    levels = list(curves.settings.levels)
    groups = list(curves.groups)
    base = curves.baseline.accuracy if curves.baseline else float("nan")
    lost = np.full((len(groups), len(levels)), np.nan)
    texts = [["" for _level in levels] for _group in groups]
    for row, group in enumerate(groups):
        for point in _cut_points(curves, group):
            column = levels.index(point.level)
            lost[row, column] = 100 * (base - point.accuracy)
            told = _points(lost[row, column])
            texts[row][column] = told if point.samples else f"({told})"
    roomy = len(groups) <= 64
    figure = go.Figure(
        go.Heatmap(
            z=np.maximum(lost, 0), x=[percent(level, 0) for level in levels], y=groups,
            text=texts, texttemplate="%{text}" if roomy else None, textfont={"size": 11},
            colorscale=damage_ramp(dark), zmin=0, zmax=max(5.0, float(np.nanmax(lost, initial=0))),
            xgap=1, ygap=1 if roomy else 0, hoverongaps=False,
            colorbar={"title": {"text": _("Accuracy lost, points"), "side": "right"},
                      "thickness": 12, "outlinewidth": 0},
            hovertemplate="<b>%{y}</b><br>" + _("at {level}: {lost} points").format(
                level="%{x}", lost="%{text}") + "<extra></extra>",
        )
    )  # fmt: skip
    row = 22 if roomy else max(5, 900 // max(1, len(groups)))
    lay_out(figure, height=height or 110 + row * max(4, len(groups)))
    figure.update_xaxes(
        title=_level_title(curves), type="category", fixedrange=True, showgrid=False
    )
    figure.update_yaxes(
        autorange="reversed", fixedrange=True, showgrid=False, automargin=True, title=None,
        tickfont={"size": 11}, nticks=len(groups) if roomy else 40,
    )  # fmt: skip
    return figure


def damage_ramp(dark: bool) -> list[tuple[float, str]]:
    """From nothing through orange to purple: darker is worse, also without colour."""
    if dark:
        return [(0.0, "rgba(230, 159, 0, 0)"), (0.15, "rgba(230, 159, 0, 0.5)"),
                (0.5, "rgba(235, 120, 50, 0.9)"), (1.0, "rgba(250, 215, 235, 1)")]  # fmt: skip
    return [(0.0, "rgba(230, 159, 0, 0)"), (0.15, "rgba(230, 159, 0, 0.45)"),
            (0.5, "rgba(213, 94, 0, 0.9)"), (1.0, "rgba(74, 20, 80, 1)")]  # fmt: skip


def _cut_points(curves: SensitivityCurves, group: str) -> list[SensitivityPoint]:
    """Measured and interpolated points of a group, levels rising."""
    between = [point for point in curves.interpolated if point.group == group]
    return sorted([*curves.curve(group), *between], key=lambda point: point.level)


def _points_of(curves: SensitivityCurves, group: str) -> list[SensitivityPoint]:
    """The same from the dense model on."""
    return ([curves.baseline] if curves.baseline else []) + _cut_points(curves, group)


def _measured(curves: SensitivityCurves, group: str) -> list[SensitivityPoint | None]:
    """Measured points from the dense model on, None where interpolated ones lie between."""
    found: list[SensitivityPoint | None] = []
    for point in _points_of(curves, group):
        if point.samples:
            found.append(point)
        elif found and found[-1] is not None:
            found.append(None)
    return found


def _between(curves: SensitivityCurves, group: str) -> list[SensitivityPoint | None]:
    """Interpolated points with the measured ones beside them, None between two such runs."""
    points = _points_of(curves, group)
    found: list[SensitivityPoint | None] = []
    for before, point, after in zip([None, *points], points, [*points[1:], None], strict=False):
        beside = [other for other in (before, after) if other is not None and not other.samples]
        if not point.samples or beside:
            found.append(point)
        elif found and found[-1] is not None:
            found.append(None)
    return found


def _add_interpolated(
    figure: go.Figure, curves: SensitivityCurves, group: str, metric: Metric, colour: str,
    **place: int,
) -> None:  # fmt: skip
    """Interpolated points of one curve: hollow, on a dotted line."""
    points = _between(curves, group)
    if not points:
        return
    sizes = [6 if point is not None and not point.samples else 0 for point in points]
    figure.add_scatter(
        **_values(points, metric), mode="lines+markers", name=group, showlegend=False,
        line={"color": colour, "width": 1.5, "dash": "dot"},
        marker={"size": sizes, "symbol": "circle-open", "color": colour, "opacity": 1},
        hovertemplate=_hover(group, metric), **place,
    )  # fmt: skip


def _line(curves: SensitivityCurves, group: str, metric: Metric) -> dict[str, object]:
    """X and y of the measured points of one curve, from the dense model on."""
    return _values(_measured(curves, group), metric)


def _values(points: Sequence[SensitivityPoint | None], metric: Metric) -> dict[str, object]:
    """What a trace shows of points; None interrupts its line."""
    return {
        "x": [point and point.level for point in points],
        "y": [point and _shown(point, metric) for point in points],
        "customdata": [
            point and [point.ci_low, point.ci_high, _images(point), point.loss] for point in points
        ],
    }


def _images(point: SensitivityPoint) -> str:
    """What a point rests on."""
    if not point.samples:
        return _("interpolated")
    return _("{samples} images").format(samples=f"{point.samples:,}")


def _shown(point: SensitivityPoint, metric: Metric) -> float:
    return point.accuracy if metric == "accuracy" else min(point.loss, _MAX_SHOWN_LOSS)


def _hover(group: str, metric: Metric) -> str:
    value = (
        "%{y:.1%} (%{customdata[0]:.1%}–%{customdata[1]:.1%})"
        if metric == "accuracy"
        else "%{customdata[3]:.3f}"
    )
    safe = group.replace("<", "&lt;").replace("%{", "% {")
    return f"<b>{safe}</b><br>%{{x:.0%}}: {value}<br>%{{customdata[2]}}<extra></extra>"


def _errors(points: Sequence[SensitivityPoint | None]) -> dict[str, object]:
    """95 % intervals; the baseline is drawn without one here."""
    shown = [point if point is not None and point.group else None for point in points]
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 2,
        "array": [p.ci_high - p.accuracy if p else 0.0 for p in shown],
        "arrayminus": [p.accuracy - p.ci_low if p else 0.0 for p in shown],
        "color": translucent(KEPT, 0.6),
    }  # fmt: skip


def _add_band(figure: go.Figure, curves: SensitivityCurves, group: str, colour: str) -> None:
    """The 95 % interval of one curve as a band."""
    points = _points_of(curves, group)
    x = [point.level for point in points]
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*(p.ci_high for p in points), *(p.ci_low for p in reversed(points))],
        mode="lines", fill="toself", fillcolor=translucent(colour, 0.15), line={"width": 0},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def _add_baseline(figure: go.Figure, curves: SensitivityCurves, metric: Metric) -> None:
    if curves.baseline is None:
        return
    figure.add_scatter(
        x=[0, 1], y=[_shown(curves.baseline, metric)] * 2, mode="lines", name=_("Dense model"),
        line={"color": DENSE, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
    )  # fmt: skip


def _axes(figure: go.Figure, metric: Metric) -> None:
    figure.update_xaxes(tickformat=".0%", range=[0, 1], fixedrange=True)
    figure.update_yaxes(
        tickformat=".0%" if metric == "accuracy" else "", fixedrange=True, gridcolor=GRID,
        range=[0, 1.02] if metric == "accuracy" else None,
    )  # fmt: skip


def _title(metric: Metric) -> str:
    return _("Validation accuracy") if metric == "accuracy" else _("Validation loss")


def _is_structured(curves: SensitivityCurves) -> bool:
    return parse_granularity(curves.settings.granularity).structured


def _level_title(curves: SensitivityCurves) -> str:
    """Title of the axis of levels: what is varied, and in how much of the network."""
    if _is_structured(curves):
        return _("Channel pruning ratio of the one group")
    return _("Sparsity of the one layer")


def _points(lost: float) -> str:
    """Accuracy lost in points; a gain is a minus."""
    return f"{max(lost, 0):.1f}" if lost > -0.05 else f"−{-lost:.1f}"
