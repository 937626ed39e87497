"""What repair gained: the error of every layer before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.charts.weights import layer_ticks
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, PRUNED, lay_out

if TYPE_CHECKING:
    from workbench.reconstruct import RepairStep


def repair_figure(steps: Sequence[RepairStep], *, height: int = 300) -> go.Figure:
    """Error of every layer as pruning left it and as repair left it, in the order of the work.

    Args:
        steps: What was done, layer by layer.
        height: In pixels.
    """
    places = list(range(len(steps)))
    figure = go.Figure()
    figure.add_scatter(
        x=[x for place in places for x in (place, place, None)],
        y=[y for step in steps for y in (step.error_before, step.error_after, None)],
        mode="lines", line={"color": DENSE, "width": 1.5}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    for name, symbol, colour, values in (
        (_("As pruning left it"), "triangle-down", PRUNED, [s.error_before for s in steps]),
        (_("After repair"), "diamond", GOOD, [s.error_after for s in steps]),
    ):
        figure.add_scatter(
            x=places, y=values, mode="markers", name=name,
            marker={"symbol": symbol, "size": 10, "color": colour},
            customdata=[[step.layer, step.method] for step in steps],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>"
            + _("error {error}").format(error="%{y:.3f}") + f"<extra>{name}</extra>",
        )  # fmt: skip
    lay_out(figure, height=height, y_title=_("Reconstruction error"), legend=True)
    top = max((max(step.error_before, step.error_after) for step in steps), default=1.0) or 1.0
    figure.update_yaxes(range=[-0.06 * top, 1.08 * top], fixedrange=True)
    names = [step.layer.partition(" + ")[0] for step in steps]
    figure.update_xaxes(range=[-0.6, len(steps) - 0.4], fixedrange=True, **layer_ticks(names))
    return figure
