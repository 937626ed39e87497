"""How many bytes a network takes in each encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, in_bytes, lay_out, percent, translucent

if TYPE_CHECKING:
    from workbench.encodings import EncodedSizes


def encodings_figure(
    sizes: EncodedSizes, titles: dict[str, str], *, height: int | None = None
) -> go.Figure:
    """One bar an encoding, the dense network as a line; larger ones in another colour and hatched.

    Args:
        sizes: As measured.
        titles: Name of an encoding to what the page calls it.
        height: In pixels; None makes bars that can be read.
    """
    rows = sizes.sizes
    dense = sizes.dense_bytes
    larger = [row.num_bytes > dense for row in rows]
    colours = [
        DENSE if row.name == "fp32" or not row.applies else HIGHLIGHT if more else KEPT
        for row, more in zip(rows, larger, strict=True)
    ]
    figure = go.Figure()
    figure.add_bar(
        x=[row.num_bytes for row in rows], y=[titles[row.name] for row in rows], orientation="h",
        marker={"color": [translucent(c, 0.9) for c in colours],
                "pattern": {"shape": ["/" if more else "" for more in larger]}},
        text=[f"{in_bytes(row.num_bytes)} · {percent(row.num_bytes / dense, 0)}" for row in rows],
        textposition="outside", cliponaxis=False, name="",
        hovertemplate="<b>%{y}</b><br>%{text}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=dense, layer="below", line={"color": DENSE, "dash": "dash", "width": 1.5})
    lay_out(figure, height=height or 70 + 26 * len(rows), x_title=_("Bytes"))
    most = max(row.num_bytes for row in rows)
    figure.update_xaxes(range=[0, 1.28 * most], fixedrange=True, tickformat="~s", showgrid=False)
    figure.update_yaxes(autorange="reversed", fixedrange=True, showgrid=False, automargin=True)
    return figure
