"""Which layers hang together: one row a group, one column a layer; and how a group's units rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.charts.weights import layer_ticks
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, PRUNED, lay_out, translucent

if TYPE_CHECKING:
    from workbench.groups import Group

GROUPS_TRACE = 0
"""Index of the trace that can be clicked: one invisible bar a group, in their order."""
_ROW, _LEAST_ROW, _MOST_ROWS_PX = 25, 9, 1000
_MOST_NAMED = 64


@dataclass(frozen=True)
class _Kind:
    """How one kind of place looks."""

    name: str
    symbol: str
    colour: str
    xs: list[int]
    ys: list[int]


def groups_figure(
    groups: Sequence[Group], layers: Sequence[str], *, chosen: int | None = None
) -> go.Figure:
    """A table of marks: every group a row, every layer a column, in the order of the network.

    Filled circles lose outputs, hollow diamonds lose the inputs that came from there; groups that
    cannot be cut are grey crosses.

    Args:
        groups: All groups of the model.
        layers: Names of the layers that occur in them, in the order of the network.
        chosen: Index of the group to mark.
    """
    columns = {name: index for index, name in enumerate(layers)}
    row_height = max(_LEAST_ROW, min(_ROW, _MOST_ROWS_PX // max(1, len(groups))))
    figure = go.Figure()
    figure.add_bar(
        y=list(range(len(groups))), base=[-0.5] * len(groups), x=[len(layers)] * len(groups),
        orientation="h", width=1, showlegend=False,
        marker={"color": [_row_colour(i, chosen) for i in range(len(groups))], "line_width": 0},
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
        customdata=[[group.name, group_line(group)] for group in groups],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
    )  # fmt: skip
    _add_spans(figure, groups, columns)
    for kind in _kinds(groups, columns):
        if kind.xs:
            figure.add_scatter(
                x=kind.xs, y=kind.ys, mode="markers", name=kind.name, hoverinfo="skip",
                marker={"symbol": kind.symbol, "color": kind.colour, "opacity": 1,
                        "size": min(11, row_height - 2), "line": {"width": 1.5}},
                selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            )  # fmt: skip
    names = max((len(name) for name in layers), default=0)
    below = 30 if len(layers) <= 8 else 16 + round((4.2 if len(layers) <= 30 else 6.6) * names)
    lay_out(figure, height=44 + below + row_height * max(3, len(groups)), legend=True)
    figure.update_layout(barmode="overlay", bargap=0, margin_b=below)
    figure.update_xaxes(range=[-0.5, len(layers) - 0.5], fixedrange=True, **layer_ticks(layers))
    _name_rows(figure, groups)
    return figure


def group_line(group: Group) -> str:
    """What a hover box says about a group."""
    if not group.prunable:
        return group.reason
    return _("{count} {unit} · {layers} layers lose outputs, {consumers} lose inputs").format(
        count=group.num_units, unit=units(group.unit, group.num_units), layers=len(group.layers),
        consumers=len(group.consumers),
    )  # fmt: skip


def units(unit: str, count: int) -> str:
    """The word for so many units: ``channels``, ``1 head`` without its number."""
    return {
        "channel": (_("channel"), _("channels")),
        "neuron": (_("neuron"), _("neurons")),
        "head": (_("head"), _("heads")),
        "hidden unit": (_("hidden unit"), _("hidden units")),
    }.get(unit, (_("weight"), _("weights")))[count != 1]


def unit_scores_figure(
    scores: Sequence[float], num_pruned: int, unit: str, *, height: int = 260
) -> go.Figure:
    """The units of a group in the order in which they go, the plan's part hatched.

    Args:
        scores: In rising order, relative to the group's mean.
        num_pruned: How many the plan removes.
        unit: What they are.
        height: In pixels.
    """
    figure = go.Figure()
    for label, colour, pattern, first, last in (
        (_("Removed by the plan"), PRUNED, "/", 0, num_pruned),
        (_("Kept"), KEPT, "", num_pruned, len(scores)),
    ):
        if first == last:
            continue
        figure.add_bar(
            x=list(range(first + 1, last + 1)), y=list(scores[first:last]), name=label,
            marker={"color": colour, "line_width": 0,
                    "pattern": {"shape": pattern, "size": 6, "solidity": 0.2, "fillmode": "overlay",
                                "fgcolor": "rgba(255, 255, 255, 0.6)"}},
            hovertemplate=_("place {place}: {score} of the mean").format(
                place="%{x}", score="%{y:.2f}") + "<extra>" + label + "</extra>",
        )  # fmt: skip
    lay_out(
        figure, height=height, legend=True, y_title=_("Score, mean = 1"),
        x_title=_("{units}, lowest score first").format(units=units(unit, 2).capitalize()),
    )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.12 if len(scores) <= 64 else 0)
    figure.update_yaxes(rangemode="tozero", fixedrange=True)
    figure.update_xaxes(range=[0.5, len(scores) + 0.5], fixedrange=True)
    return figure


def _row_colour(index: int, chosen: int | None) -> str:
    if index == chosen:
        return translucent(HIGHLIGHT, 0.22)
    return translucent(DENSE, 0.16 if index % 2 else 0.05)


def _add_spans(figure: go.Figure, groups: Sequence[Group], columns: dict[str, int]) -> None:
    """A thin line from the first place of each group to its last."""
    xs: list[int | None] = []
    ys: list[int | None] = []
    for row, group in enumerate(groups):
        places = [columns[name] for name in (*group.layers, *group.consumers) if name in columns]
        if len(places) > 1:
            xs += [min(places), max(places), None]
            ys += [row, row, None]
    figure.add_scatter(
        x=xs, y=ys, mode="lines", line={"color": translucent(DENSE, 0.8), "width": 1.5},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def _kinds(groups: Sequence[Group], columns: dict[str, int]) -> tuple[_Kind, ...]:
    """The marks: what loses outputs, what loses inputs, what cannot be cut."""
    members = _Kind(_("Loses outputs"), "circle", KEPT, [], [])
    consumers = _Kind(_("Loses the inputs from there"), "diamond-open", PRUNED, [], [])
    fixed = _Kind(_("Cannot be cut"), "x-thin-open", DENSE, [], [])
    for row, group in enumerate(groups):
        own = members if group.prunable else fixed
        for kind, names in ((own, group.layers), (consumers, group.consumers)):
            if kind is consumers and not group.prunable:
                continue
            for name in names:
                if name in columns:
                    kind.xs.append(columns[name])
                    kind.ys.append(row)
    return members, consumers, fixed


def _name_rows(figure: go.Figure, groups: Sequence[Group]) -> None:
    """Names of the groups with the number of their units, on the left."""
    step = max(1, -(-len(groups) // _MOST_NAMED))
    shown = list(range(0, len(groups), step))
    figure.update_yaxes(
        range=[len(groups) - 0.5, -0.5], fixedrange=True, showgrid=False, automargin=True,
        tickvals=shown, tickfont={"size": 11},
        ticktext=[
            f"{groups[i].name} · {groups[i].num_units} {units(groups[i].unit, groups[i].num_units)}"
            for i in shown
        ],
    )  # fmt: skip
