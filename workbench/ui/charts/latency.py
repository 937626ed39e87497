"""Time of a pass: dense beside pruned, and against the width of one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, lay_out, milliseconds, translucent

if TYPE_CHECKING:
    from workbench.latency import Latency, LatencyComparison
    from workbench.staircase import Staircase


def latency_figure(found: Sequence[LatencyComparison], *, height: int | None = None) -> go.Figure:
    """Median of every network in every runtime, with its quartiles.

    Args:
        found: Dense and pruned, timed in turns.
        height: In pixels; None makes rows that can be read.
    """
    figure = go.Figure()
    for name, colour, symbol in (
        (_("Dense"), DENSE, "square"), (_("Pruned"), KEPT, "circle")
    ):  # fmt: skip
        pick = [one.dense if symbol == "square" else one.pruned for one in found]
        figure.add_scatter(
            x=[time.median_ms for time in pick], y=[_row(one) for one in found], name=name,
            mode="markers+text", text=[milliseconds(time.median_ms) for time in pick],
            textposition="top center", error_x=_errors(pick),
            marker={"size": 11, "color": colour, "symbol": symbol},
            hovertemplate="<b>%{y}</b><br>%{text}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    lay_out(figure, height=height or 110 + 64 * len(found), x_title=_("Milliseconds"), legend=True)
    most = max(time.high_ms for one in found for time in (one.dense, one.pruned))
    figure.update_xaxes(range=[0, 1.1 * most], fixedrange=True)
    figure.update_yaxes(
        autorange="reversed", fixedrange=True, automargin=True, showgrid=False, type="category"
    )
    return figure


def staircase_figure(
    staircase: Staircase, *, kept: int | None = None, height: int = 340
) -> go.Figure:
    """Time against kept channels: medians with quartiles, and the plateaus they lie on.

    Args:
        staircase: As measured.
        kept: Channels that the plan keeps, marked; None marks nothing.
        height: In pixels.
    """
    steps = staircase.steps
    figure = go.Figure()
    for number, plateau in enumerate(staircase.plateaus):
        figure.add_scatter(
            x=[plateau.first - 0.5, plateau.last + 0.5], y=[plateau.median_ms] * 2, mode="lines",
            line={"color": translucent(KEPT, 0.35), "width": 10}, name=_("Level"),
            showlegend=not number, hoverinfo="skip",
        )  # fmt: skip
    good = [step for step in steps if not step.beaten_by]
    for name, own, colour, symbol in (
        (_("Measured"), good, KEPT, "circle"),
        (_("Slower than wider"), staircase.slower, HIGHLIGHT, "x"),
    ):
        if own:
            figure.add_scatter(
                x=[step.kept for step in own], y=[step.latency.median_ms for step in own],
                mode="markers", name=name, error_y=_errors([step.latency for step in own]),
                marker={"size": 9, "color": colour, "symbol": symbol},
                hovertemplate=_("{kept} kept: {time} ms").format(kept="%{x}", time="%{y:.3g}")
                + "<extra></extra>",
            )  # fmt: skip
    if kept is not None:
        figure.add_vline(x=kept, line={"color": HIGHLIGHT, "dash": "dot", "width": 2})
        figure.add_annotation(
            x=kept, y=1, yref="paper", yanchor="bottom", showarrow=False, text=_("this plan")
        )
    lay_out(
        figure, height=height, y_title=_("Milliseconds, whole network"), legend=True,
        x_title=_("{unit} kept in {group}").format(
            unit=unit_title(staircase.unit), group=staircase.group
        ),
    )  # fmt: skip
    figure.update_layout(legend={"y": 1.1})
    figure.update_xaxes(range=[0, staircase.num_units + 1], fixedrange=True)
    figure.update_yaxes(rangemode="tozero", fixedrange=True)
    return figure


def unit_title(unit: str) -> str:
    """Several of what a group is made of."""
    return {
        "channel": _("Channels"), "neuron": _("Neurons"), "head": _("Heads"),
        "hidden unit": _("Hidden units"),
    }.get(unit, unit)  # fmt: skip


def _row(one: LatencyComparison) -> str:
    from workbench.latency import RUNTIMES  # with torch, which the first page does without

    return _("{runtime}<br>batch {batch}, threads {threads}").format(
        runtime=RUNTIMES[one.runtime], batch=one.dense.batch, threads=one.dense.threads
    )


def _errors(times: Sequence[Latency]) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
        "array": [time.high_ms - time.median_ms for time in times],
        "arrayminus": [time.median_ms - time.low_ms for time in times],
    }  # fmt: skip
