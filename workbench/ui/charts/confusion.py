"""Heat maps of what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import lay_out

if TYPE_CHECKING:
    from workbench.class_metrics import Confusion

_RAMPS = {False: [(0.0, "#f4f7fa"), (0.25, "#8fc1e3"), (1.0, "#08396b")],
          True: [(0.0, "#10202c"), (0.25, "#2f78ad"), (1.0, "#a6dbff")]}  # fmt: skip
_CHANGES = {False: [(0.0, "#0072B2"), (0.5, "#f7f7f7"), (1.0, "#D55E00")],
            True: [(0.0, "#4aa3dc"), (0.5, "#1a1f24"), (1.0, "#ff8a3d")]}  # fmt: skip
MOST_WRITTEN = 20


def confusion_figure(
    found: Confusion, class_names: Sequence[str], *, change: bool, dark: bool
) -> go.Figure:
    """Rows: true classes; columns: what their images are taken for.

    Counts are drawn as fractions of the row, so that each row's cells add up to 1; the difference
    is that of the counts, orange where the pruned model answers so more often.

    Args:
        found: What is drawn.
        class_names: One a class.
        change: Whether it is a difference.
        dark: Whether the page is in the dark theme.
    """
    written = len(class_names) <= MOST_WRITTEN
    figure = go.Figure(
        go.Heatmap(
            z=found.parts, x=list(class_names), y=list(class_names),
            text=[[_written(count, change) for count in row] for row in found.counts],
            texttemplate="%{text}" if written else None, textfont={"size": 11},
            colorscale=(_CHANGES if change else _RAMPS)[dark], zmin=-found.most if change else 0,
            zmax=found.most, xgap=1, ygap=1, showscale=True,
            colorbar={"title": {"text": _("Part of the class"), "side": "right"}, "thickness": 12,
                      "outlinewidth": 0, "tickformat": "+.1%" if change else ".0%"},
            hovertemplate=_("{true} taken for {answer}: {count} images").format(
                true="<b>%{y}</b>", answer="<b>%{x}</b>", count="%{text}") + "<extra></extra>",
        )
    )  # fmt: skip
    lay_out(figure, height=150 + 30 * max(6, min(len(class_names), 24)))
    figure.update_xaxes(
        title=_("Taken for"), side="top", type="category", fixedrange=True, tickangle=-40
    )
    figure.update_yaxes(
        title=_("True class"), autorange="reversed", type="category", fixedrange=True,
        automargin=True, showgrid=False,
    )  # fmt: skip
    figure.update_layout(margin={"t": 120, "b": 16})
    return figure


def _written(count: int, signed: bool) -> str:
    if not count:
        return "" if signed else "0"
    return f"{count:+d}".replace("-", "−") if signed else str(count)
