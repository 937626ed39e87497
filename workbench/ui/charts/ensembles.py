"""Test accuracy against total size: the dense model, each run alone, and ensembles of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, GRID, HIGHLIGHT, KEPT, lay_out, percent

if TYPE_CHECKING:
    from workbench.ensembles import Combined, Ensembles, Member

_SYMBOLS = ("diamond", "triangle-up", "hexagon", "pentagon", "cross")


def ensembles_figure(
    found: Ensembles, unit: str, *, names: Mapping[str, str], methods: Mapping[str, str],
    size_title: str,
) -> go.Figure:  # fmt: skip
    """A mark with its interval for every model and ensemble; a line at the dense model's size.

    Args:
        found: What was found.
        unit: ``bytes`` or ``macs``.
        names: Member to what a page calls it.
        methods: Method to what a page calls it.
        size_title: Of the horizontal axis.
    """
    figure = go.Figure()
    _add(figure, unit, [found.dense], [_("Dense model")], _("Dense model"), DENSE, "square", 12)
    _add(figure, unit, found.members, [names[one.name] for one in found.members],
         _("One run alone"), KEPT, "circle", 9)  # fmt: skip
    for number, one in enumerate(found.combined):
        title = methods[one.method]
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        _add(figure, unit, [one], [_told(one, names, title)], title, HIGHLIGHT, symbol, 13)
    best = [one for one in found.best.values() if one is not None]
    if best:
        told = [_told(one, names, methods[one.method]) for one in best]
        _add(figure, unit, best, told, _("Best that fits"), GOOD, "star", 16)
    lay_out(figure, height=430, x_title=size_title, y_title=_("Test accuracy"), legend=True)
    figure.add_vline(
        x=found.dense.size(unit), line={"color": DENSE, "dash": "dash", "width": 1.5},
        annotation_text=_("dense model's size"), annotation_position="bottom right",
    )  # fmt: skip
    figure.update_xaxes(rangemode="tozero", gridcolor=GRID, showgrid=True, fixedrange=True)
    figure.update_yaxes(tickformat=".1%", fixedrange=True)
    return figure


def _told(one: Combined, names: Mapping[str, str], title: str) -> str:
    return f"{title}<br>" + " + ".join(names[name] for name in one.members)


def _add(
    figure: go.Figure, unit: str, ones: Sequence[Member | Combined], told: Sequence[str],
    legend: str, colour: str, symbol: str, size: int,
) -> None:  # fmt: skip
    tests = [one.test for one in ones]
    figure.add_scatter(
        x=[one.size(unit) for one in ones], y=[test.accuracy for test in tests], name=legend,
        mode="markers", cliponaxis=False, hovertext=told,
        marker={"color": colour, "symbol": symbol, "size": size, "opacity": 1,
                "line": {"width": 1, "color": colour}},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 3,
            "color": "rgba(128, 128, 128, 0.6)",
            "array": [test.ci_high - test.accuracy for test in tests],
            "arrayminus": [test.accuracy - test.ci_low for test in tests],
        },
        customdata=[[percent(test.accuracy, 2)] for test in tests],
        hovertemplate="<b>%{hovertext}</b><br>%{customdata[0]}<br>%{x:,}<extra></extra>",
    )  # fmt: skip
