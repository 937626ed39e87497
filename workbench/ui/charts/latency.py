"""Time of a pass: dense beside pruned, and against the width of one group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GRID, HIGHLIGHT, KEPT, lay_out, milliseconds, translucent

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
    networks = ((_("Dense"), DENSE, "square"), (_("Pruned"), KEPT, "circle"))
    for number, (name, colour, symbol) in enumerate(networks):
        times = [(one.dense, one.pruned)[number] for one in found]
        figure.add_scatter(
            x=[time.median_ms for time in times], name=name, mode="markers",
            y=[f"{_row(one)} · {name.lower()}" for one in found], error_x=_errors(times),
            marker={"size": 11, "color": colour, "symbol": symbol},
            text=[milliseconds(time.median_ms) for time in times],
            hovertemplate="<b>%{y}</b><br>%{text}<extra></extra>",
        )  # fmt: skip
    rows = [f"{_row(one)} · {name.lower()}" for one in found for name, _c, _s in networks]
    lay_out(figure, height=height or 110 + 34 * len(rows), x_title=_("Milliseconds"))
    every = [time for one in found for time in (one.dense, one.pruned)]
    most = max(time.median_ms for time in every)
    most = min(1.1 * max(time.high_ms for time in every), 2.5 * most)
    figure.update_xaxes(range=[0, most], fixedrange=True, showgrid=True, gridcolor=GRID)
    figure.update_yaxes(
        categoryorder="array", categoryarray=rows[::-1], fixedrange=True, automargin=True,
        showgrid=False, type="category",
    )  # fmt: skip
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
    medians = [step.latency.median_ms for step in steps]
    low = 0.8 * min(medians) if min(medians) > 0.6 * max(medians) else 0
    figure.update_yaxes(range=[low, 1.15 * max(medians)], fixedrange=True)
    return figure


def unit_title(unit: str) -> str:
    """Several of what a group is made of."""
    return {
        "channel": _("Channels"), "neuron": _("Neurons"), "head": _("Heads"),
        "hidden unit": _("Hidden units"),
    }.get(unit, unit)  # fmt: skip


def _row(one: LatencyComparison) -> str:
    from workbench.latency import RUNTIMES  # with torch, which the first page does without

    return RUNTIMES[one.runtime]


def _errors(times: Sequence[Latency]) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
        "array": [time.high_ms - time.median_ms for time in times],
        "arrayminus": [time.median_ms - time.low_ms for time in times],
    }  # fmt: skip
