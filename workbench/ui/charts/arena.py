"""The arena: accuracy against what is kept, a line for each method; and who prunes what."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import (
    DENSE,
    GOOD,
    HIGHLIGHT,
    KEPT,
    RANDOM,
    lay_out,
    percent,
    translucent,
)

if TYPE_CHECKING:
    from workbench.arena import Arena, ArenaEntry

Metric = Literal["accuracy", "loss"]
_SKY, _PURPLE, _BROWN = "#56B4E9", "#8A63B0", "#9A7B3F"
_ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LOSSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10)
_LEAST_ERROR, _MOST_LOSS, _LEAST_LOSS = 0.002, 1_000.0, 1e-4
_RAMPS = {False: [(0.0, "#eef3f8"), (0.5, "#6aaed6"), (1.0, "#08396b")],
          True: [(0.0, "#152330"), (0.5, "#2f78ad"), (1.0, "#a6dbff")]}  # fmt: skip
"""From nothing to all; opaque, so that the numbers in the cells are set off from them."""
_MOST_WRITTEN = 40
_APART = 1.25  # labels of budgets that lie closer would touch


@dataclass(frozen=True)
class _Look:
    """How a method is drawn; the shape alone tells it apart."""

    symbol: str
    colour: str
    dash: str = "solid"
    width: float = 1.5
    size: int = 9


_LOOKS = {
    "own": _Look("star", HIGHLIGHT, "dash", 2, 15),
    "optimal": _Look("diamond", GOOD, "solid", 3, 11),
    "refined": _Look("diamond-tall", GOOD, "dashdot", 2, 12),
    "uniform": _Look("circle", KEPT),
    "uniform_plus": _Look("circle-open", KEPT, "dash"),
    "stage": _Look("square-open", _SKY, "dash"),
    "global": _Look("square", _SKY),
    "cost_aware": _Look("triangle-right", _SKY, "dashdot"),
    "erk": _Look("triangle-up", _PURPLE),
    "lamp": _Look("triangle-down-open", _PURPLE, "dash"),
    "equal_loss": _Look("pentagon", _BROWN),
    "greedy": _Look("hexagon-open", _BROWN, "dash"),
    "random": _Look("x", RANDOM, "dot"),
}
_OTHERS = ("bowtie", "hourglass", "star-square", "cross", "y-up")


def arena_figure(
    arena: Arena, axis: str, metric: Metric, *, names: Mapping[str, str], axis_title: str,
    height: int = 500,
) -> go.Figure:  # fmt: skip
    """Accuracy or loss against what is kept of the dense model, both on logarithmic axes.

    Accuracy stands on an axis of errors: each step down that halves the errors is as long.

    Args:
        arena: Whole or as far as it came.
        axis: ``params``, ``macs``, ``bytes`` or ``latency``.
        metric: What to draw.
        names: Method to what a page calls it.
        axis_title: Of the horizontal axis.
        height: In pixels.
    """
    figure = go.Figure()
    _add_dense(figure, arena, axis, metric)
    for number, method in enumerate(arena.methods):
        look = _LOOKS.get(method) or _Look(_OTHERS[number % len(_OTHERS)], DENSE, "dot")
        drawn = [e for e in arena.measured if e.method == method and e.kept(axis) is not None]
        _add_line(figure, arena, drawn, look, axis, metric, names[method])
    lay_out(figure, height=height, x_title=axis_title, y_title=_titles()[metric], legend=True)
    figure.update_xaxes(type="log", fixedrange=True, showgrid=True, **_ticks(arena, axis))
    if metric == "accuracy":
        figure.update_yaxes(
            type="log", autorange="reversed", fixedrange=True, tickvals=_ERRORS,
            ticktext=[percent(1 - error, 0) for error in _ERRORS],
        )  # fmt: skip
    else:
        figure.update_yaxes(
            type="log", fixedrange=True, tickvals=_LOSSES, ticktext=[f"{v:g}" for v in _LOSSES]
        )
    return figure


def _titles() -> dict[Metric, str]:
    return {"accuracy": _("Validation accuracy"), "loss": _("Validation loss")}


def _wrapped(name: str) -> str:
    """A column's title on several short lines; what stands behind a break stays there."""
    first, *rest = name.split("<br>")
    return "<br>".join([*textwrap.wrap(first, 10), *rest])


def _ticks(arena: Arena, axis: str) -> dict[str, object]:
    """The budgets where they are the axis, else halves of halves."""
    by_budget = axis == arena.settings.unit
    factors = arena.factors if by_budget else (1, 2, 4, 8, 16, 32, 64)
    apart = [1.0]
    for factor in factors:
        if factor / apart[-1] >= _APART:
            apart.append(factor)
    return {
        "tickvals": [1 / factor for factor in apart],
        "ticktext": [f"{percent(1 / f, 1 if f > 4 else 0)}<br>{f:.3g}×" for f in apart],
    }


def _height(entry: ArenaEntry, metric: Metric) -> float:
    """Where an entry stands: its errors, or its loss."""
    assert entry.score is not None
    if metric == "loss":
        return min(max(entry.score.loss, _LEAST_LOSS), _MOST_LOSS)
    return max(1 - entry.score.accuracy, _LEAST_ERROR)


def _add_line(
    figure: go.Figure, arena: Arena, drawn: Sequence[ArenaEntry], look: _Look, axis: str,
    metric: Metric, name: str,
) -> None:  # fmt: skip
    """One method over all budgets; the most accurate at a budget carries its interval."""
    drawn = sorted(drawn, key=lambda entry: entry.kept(axis) or 0)
    best = [arena.best(entry.factor) is entry for entry in drawn]
    figure.add_scatter(
        x=[entry.kept(axis) for entry in drawn], y=[_height(entry, metric) for entry in drawn],
        name=name, mode="lines+markers", cliponaxis=False,
        line={"color": translucent(look.colour, 0.75), "dash": look.dash, "width": look.width},
        marker={
            "symbol": [_symbol(look, entry) for entry in drawn], "color": look.colour,
            "size": look.size, "line": {"width": 1.5, "color": look.colour}, "opacity": 1,
        },
        error_y=_errors(drawn, best) if metric == "accuracy" else None,
        customdata=[_told(entry) for entry in drawn],
        hovertemplate=f"<b>{name}</b>%{{customdata[0]}}<br>"
        + _("accuracy {accuracy}, loss {loss}").format(
            accuracy="%{customdata[1]}", loss="%{customdata[2]}")
        + "<br>%{customdata[3]}<extra></extra>",
    )  # fmt: skip


def _symbol(look: _Look, entry: ArenaEntry) -> str:
    return f"{look.symbol}-open" if entry.scaled else look.symbol


def _told(entry: ArenaEntry) -> list[str]:
    """The hover box of an entry."""
    found = entry.score
    assert found is not None
    kept = ", ".join(
        _("{part} of {what}").format(part=percent(part), what=what)
        for what, axis in (
            (_("the parameters"), "params"), (_("the MACs"), "macs"), (_("the bytes"), "bytes"),
        )
        if (part := entry.kept(axis)) is not None
    )  # fmt: skip
    low, high = percent(found.ci_low), percent(found.ci_high)
    return [
        _(", scaled") if entry.scaled else "",
        f"{percent(found.accuracy, 2)} ({low}–{high})", f"{found.loss:.3f}", kept,
    ]  # fmt: skip


def _errors(drawn: Sequence[ArenaEntry], shown: Sequence[bool]) -> dict[str, object]:
    """95 % intervals of the best entries; the axis counts errors, so high accuracy is low."""
    pairs = [(entry.score, show) for entry, show in zip(drawn, shown, strict=True)]
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 5,
        "color": "rgba(128, 128, 128, 0.8)",
        "array": [s.accuracy - s.ci_low if s and show else 0 for s, show in pairs],
        "arrayminus": [
            min(s.ci_high - s.accuracy, max(1 - s.accuracy, _LEAST_ERROR) / 2) if s and show else 0
            for s, show in pairs
        ],
    }  # fmt: skip


def _add_dense(figure: go.Figure, arena: Arena, axis: str, metric: Metric) -> None:
    if arena.dense is None:
        return
    level = arena.dense.loss if metric == "loss" else 1 - arena.dense.accuracy
    least = _LEAST_LOSS if metric == "loss" else _LEAST_ERROR
    drawn = [part for entry in arena.measured if (part := entry.kept(axis)) is not None]
    figure.add_scatter(
        x=[min([1.0, *drawn]), 1], y=[max(level, least)] * 2, mode="lines", name=_("Dense model"),
        line={"color": DENSE, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
    )  # fmt: skip


def sparsities_figure(
    groups: Sequence[str], columns: Mapping[str, Mapping[str, float]], *, dark: bool,
    level_title: str,
) -> go.Figure:  # fmt: skip
    """Heat map of layer by method: how much of each layer each method prunes.

    Args:
        groups: Names of the layers or groups, in the order of the network.
        columns: What a page calls a method to its sparsities; a group without one is dense.
        dark: Whether the page is in the dark theme.
        level_title: What the values are.
    """
    values = [[own.get(group, 0.0) for own in columns.values()] for group in groups]
    roomy = len(groups) <= _MOST_WRITTEN
    figure = go.Figure(
        go.Heatmap(
            z=values, x=[_wrapped(name) for name in columns], y=list(groups), zmin=0, zmax=1,
            colorscale=_RAMPS[dark], xgap=1, ygap=1 if roomy else 0,
            text=[[f"{100 * value:.0f}" for value in row] for row in values],
            texttemplate="%{text}" if roomy else None, textfont={"size": 11},
            colorbar={"title": {"text": level_title, "side": "right"}, "thickness": 12,
                      "outlinewidth": 0, "tickformat": ".0%"},
            hovertemplate="<b>%{y}</b><br>%{x}: %{z:.1%}<extra></extra>",
        )
    )  # fmt: skip
    row = 22 if roomy else max(5, 900 // max(1, len(groups)))
    lay_out(figure, height=150 + row * max(4, len(groups)))
    figure.update_xaxes(side="top", type="category", fixedrange=True, showgrid=False, tickangle=0)
    figure.update_yaxes(
        autorange="reversed", fixedrange=True, showgrid=False, automargin=True, title=None,
        tickfont={"size": 11}, nticks=len(groups) if roomy else 40, type="category",
    )  # fmt: skip
    figure.update_layout(margin={"t": 90, "b": 16})
    return figure
