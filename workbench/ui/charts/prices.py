"""What the last and the next step of every group cost, against what is common in the plan."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from workbench.ui.charts.weights import layer_ticks
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, KEPT, PRUNED, lay_out, translucent

_DECADES = 4
"""A price is drawn no lower than this many powers of ten below the highest."""


def prices_figure(
    groups: Sequence[str],
    last: Sequence[float | None],
    following: Sequence[float | None],
    common: float | None,
    *,
    y_title: str,
    height: int = 300,
) -> go.Figure:
    """Two marks a group, joined by a line, and a dashed line at the common price.

    A filled triangle that points down is the last step, a hollow one that points up the next.

    Args:
        groups: Names, in the order of the network.
        last: Price of the step before, for each; None where there is none.
        following: Price of the next step, likewise.
        common: What most groups pay; None where nothing is known.
        y_title: Title of the vertical axis, which is logarithmic.
        height: In pixels.
    """
    places = list(range(len(groups)))
    known = [price for price in (*last, *following, common) if price]
    lowest = max(known, default=1.0) / 10**_DECADES
    figure = go.Figure()
    for place, pair in enumerate(zip(last, following, strict=True)):
        if None not in pair:
            figure.add_scatter(
                x=[place] * 2, y=[max(price or 0.0, lowest) for price in pair], mode="lines",
                line={"color": translucent(DENSE, 0.7), "width": 2}, showlegend=False,
                hoverinfo="skip",
            )  # fmt: skip
    for prices, name, symbol, colour in (
        (last, _("Last step"), "triangle-down", PRUNED),
        (following, _("Next step"), "triangle-up-open", KEPT),
    ):
        figure.add_scatter(
            x=places, y=[None if price is None else max(price, lowest) for price in prices],
            mode="markers", name=name, cliponaxis=False,
            marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2}},
            customdata=[[group, price] for group, price in zip(groups, prices, strict=True)],
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>{name}: %{{customdata[1]:.2g}}"
            "<extra></extra>",
        )  # fmt: skip
    if common:
        figure.add_scatter(
            x=[-0.5, len(groups) - 0.5], y=[common] * 2, mode="lines", name=_("Common price"),
            line={"color": DENSE, "dash": "dash", "width": 2}, hoverinfo="skip",
        )  # fmt: skip
    lay_out(figure, height=height, y_title=y_title, legend=True)
    figure.update_xaxes(range=[-0.6, len(groups) - 0.4], fixedrange=True, **layer_ticks(groups))
    figure.update_yaxes(type="log", fixedrange=True, dtick="D2", tickformat="~g")
    return figure
