"""What a run keeps of every layer or group, beside another run."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.ui.charts.weights import layer_ticks
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, lay_out, translucent


@dataclass(frozen=True)
class Widths:
    """What is left of every group.

    Attributes:
        label: Name of the run.
        kept: Units left of each group.
    """

    label: str
    kept: tuple[int, ...]


def widths_figure(
    groups: Sequence[str],
    total: Sequence[int],
    run: Widths,
    other: Widths | None = None,
    *,
    y_title: str = "",
    as_share: bool = False,
    height: int = 300,
) -> go.Figure:
    """Bars of what a run keeps before the grey of the dense model; another run as diamonds.

    Args:
        groups: Names, in the order of the network.
        total: Units of each group in the dense model.
        run: The chosen run.
        other: One to compare with, or None.
        y_title: Title of the vertical axis.
        as_share: Whether to draw fractions of the dense model; else numbers of units.
        height: In pixels.
    """
    places = list(range(len(groups)))
    figure = go.Figure()
    figure.add_bar(
        x=places, y=_heights(total, total, as_share), name=_("Dense model"), width=0.84,
        marker={"color": translucent(DENSE, 0.3), "line": {"color": DENSE, "width": 1}},
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_bar(
        x=places, y=_heights(run.kept, total, as_share), name=run.label, width=0.6,
        marker={"color": KEPT, "line_width": 0}, **_told(groups, total, run),
    )  # fmt: skip
    if other is not None:
        figure.add_scatter(
            x=places, y=_heights(other.kept, total, as_share), name=other.label, mode="markers",
            marker={"symbol": "diamond", "size": 9, "color": HIGHLIGHT,
                    "line": {"width": 1, "color": "white"}}, **_told(groups, total, other),
        )  # fmt: skip
    lay_out(figure, height=height, y_title=y_title, legend=True)
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(range=[-0.6, len(groups) - 0.4], fixedrange=True, **layer_ticks(groups))
    figure.update_yaxes(
        rangemode="tozero", fixedrange=True, tickformat=".0%" if as_share else ",d"
    )  # fmt: skip
    return figure


def _heights(kept: Sequence[int], total: Sequence[int], as_share: bool) -> list[float]:
    if not as_share:
        return list(kept)
    return [count / max(1, of) for count, of in zip(kept, total, strict=True)]


def _told(groups: Sequence[str], total: Sequence[int], run: Widths) -> dict[str, object]:
    """The hover box: how many of how many."""
    rows = zip(groups, run.kept, total, strict=True)
    return {
        "customdata": [[name, f"{kept:,}", f"{of:,}"] for name, kept, of in rows],
        "hovertemplate": "<b>%{customdata[0]}</b><br>"
        + _("{kept} of {total}").format(kept="%{customdata[1]}", total="%{customdata[2]}")
        + "<extra>%{fullData.name}</extra>",
    }
