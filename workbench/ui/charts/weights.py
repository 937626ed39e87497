"""Where the weights of a model lie: all layers in one picture, and one layer in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import (
    HIGHLIGHT,
    INVISIBLE,
    KEPT,
    PRUNED,
    lay_out,
    percent,
    ramp,
    translucent,
)

if TYPE_CHECKING:
    from workbench.distributions import LayerDistribution

MAX_NAMED = 64
_LEVELS = 255
_HARDLY_ANY = 0.002
_MAX_BINS = 50


def weights_figure(
    layers: Sequence[LayerDistribution],
    *,
    cuts: Sequence[float] = (),
    chosen: int | None = None,
    dark: bool = False,
    height: int = 430,
) -> go.Figure:
    """Heat map of layer by absolute weight; readable from 4 to 160 layers.

    Args:
        layers: As from ``weight_distributions``: one column each.
        cuts: Per layer the threshold up to which the plan prunes, 0 for none; may be empty.
        chosen: Index of the layer to mark.
        dark: Whether the page is in the dark theme.
        height: In pixels.
    """
    shares, edges = visible_shares(layers)
    count, low, high = len(layers), float(edges[0]), float(edges[-1])
    figure = go.Figure(_heat(shares, edges, dark))
    if any(cuts):
        _add_cuts(figure, cuts, low)
    figure.add_bar(
        x=list(range(count)), base=[low] * count, y=[high - low] * count, width=1,
        marker={"color": INVISIBLE, "line_width": 0}, showlegend=False,
        selected={"marker": {"color": INVISIBLE}}, unselected={"marker": {"color": INVISIBLE}},
        customdata=[[layer.layer_name, _hover(layer)] for layer in layers],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
    )  # fmt: skip
    if chosen is not None:
        figure.add_shape(
            type="rect", x0=chosen - 0.5, x1=chosen + 0.5, y0=low, y1=high,
            line={"color": HIGHLIGHT, "width": 2},
        )  # fmt: skip
    lay_out(figure, height=height, y_title=_("Absolute weight"), legend=True)
    figure.update_layout(barmode="overlay", bargap=0, margin_b=8)
    figure.update_yaxes(range=[low, high], showgrid=False, fixedrange=True, **_powers(low, high))
    names = [layer.layer_name for layer in layers]
    figure.update_xaxes(range=[-0.5, count - 0.5], **layer_ticks(names))
    return figure


def visible_shares(layers: Sequence[LayerDistribution]) -> tuple[np.ndarray, np.ndarray]:
    """Share of each layer's weights per bin, ``(layers, bins)``, and the edges, ``(bins + 1,)``.

    The picture ends where next to nothing lies below; what does counts in the lowest bin.
    """
    edges = layers[0].log10_edges
    shares = np.stack([layer.counts / max(1, layer.num_weights) for layer in layers])
    below = shares.cumsum(axis=1).max(axis=0, initial=0.0)
    first = int(np.searchsorted(below, _HARDLY_ANY))
    first = max(0, min(first, shares.shape[1] - 1), len(edges) - 1 - _MAX_BINS)
    folded = shares[:, first:].copy()
    folded[:, 0] += shares[:, :first].sum(axis=1)
    return folded, edges[first:]


def _hover(layer: LayerDistribution) -> str:
    """What the hover box says about a layer."""
    return _("{count:,} weights, half of them below {median:.2g}").format(
        count=layer.num_weights, median=layer.threshold(0.5)
    )


def _heat(shares: np.ndarray, log10_edges: np.ndarray, dark: bool) -> go.Heatmap:
    """The picture itself, in 256 steps of the share's square root: one byte a cell."""
    top = max(float(shares.max(initial=0.0)), 1e-9)
    levels = np.rint(np.sqrt(np.clip(shares / top, 0, 1)) * _LEVELS).astype(np.uint8)
    centres = (log10_edges[:-1] + log10_edges[1:]) / 2
    marks = [0.0, 0.05, 0.3, 1.0]
    return go.Heatmap(
        z=levels.T, x0=0, dx=1, y=centres, zmin=0, zmax=_LEVELS, colorscale=ramp(dark),
        hoverinfo="skip", showlegend=False,
        colorbar={
            "title": {"text": _("Share of the layer's weights"), "side": "right"},
            "tickvals": [float(np.sqrt(mark)) * _LEVELS for mark in marks],
            "ticktext": [percent(mark * top, 0 if mark == 0 else 1) for mark in marks],
            "thickness": 12, "outlinewidth": 0, "len": 1, "y": 0.5,
        },
    )  # fmt: skip


def _add_cuts(figure: go.Figure, cuts: Sequence[float], low: float) -> None:
    """The line below which the plan prunes, and a tint over what it takes."""
    heights = [float(np.log10(cut)) if cut else np.nan for cut in cuts]
    figure.add_bar(
        x=list(range(len(cuts))), base=[low] * len(cuts),
        y=[max(0.0, height - low) if np.isfinite(height) else 0.0 for height in heights],
        width=1, marker={"color": translucent(PRUNED, 0.22), "line_width": 0},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=[place for index in range(len(cuts)) for place in (index - 0.5, index + 0.5)],
        y=[height for height in heights for _side in range(2)],
        mode="lines", line={"color": PRUNED, "width": 2}, hoverinfo="skip",
        name=_("The current plan prunes below this line"), showlegend=True,
    )  # fmt: skip


def _powers(low: float, high: float) -> dict[str, object]:
    """Ticks at powers of ten, written out: 0.001, 0.01, 0.1, 1."""
    exponents = range(int(np.ceil(low)), int(np.floor(high)) + 1)
    return {"tickvals": list(exponents), "ticktext": [f"{10.0**e:g}" for e in exponents]}


def layer_ticks(names: Sequence[str]) -> dict[str, object]:
    """Every name while they fit; beyond that every n-th."""
    step = max(1, -(-len(names) // MAX_NAMED))
    places = list(range(0, len(names), step))
    angle = 0 if len(names) <= 8 else -90 if len(names) > 30 else -45
    return {
        "tickvals": places, "ticktext": [names[place] for place in places],
        "tickangle": angle, "automargin": True, "title": None, "tickfont": {"size": 11},
    }  # fmt: skip


def histogram_figure(
    edges: np.ndarray, counts: np.ndarray, threshold: float, *, height: int = 320
) -> go.Figure:
    """Histogram of one layer's signed weights, with what a threshold would prune.

    Args:
        edges: Edges of the bins, ``(bins + 1,)``.
        counts: Weights per bin, ``(bins,)``.
        threshold: Weights of smaller absolute value are pruned; 0 prunes none.
        height: In pixels.
    """
    edges, counts = split_bins(edges, counts, (-threshold, threshold) if threshold else ())
    centres, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    is_pruned = np.abs(centres) < threshold
    figure = go.Figure()
    for label, colour, pattern, chosen in (
        (_("Kept"), KEPT, "", ~is_pruned),
        (_("Pruned"), PRUNED, "/", is_pruned),
    ):
        figure.add_bar(
            x=centres[chosen], y=counts[chosen], width=widths[chosen], name=label,
            marker={"color": colour, "line_width": 0,
                    "pattern": {"shape": pattern, "size": 6, "solidity": 0.2, "fillmode": "overlay",
                                "fgcolor": "rgba(255, 255, 255, 0.6)"}},
            hovertemplate=_("%{y:,} weights near %{x:.4f}") + "<extra>" + label + "</extra>",
        )  # fmt: skip
    for position in (-threshold, threshold) if threshold else ():
        figure.add_vline(position, line={"color": PRUNED, "width": 2, "dash": "dash"})
    lay_out(figure, height=height, x_title=_("Weight"), y_title=_("Weights per bin"), legend=True)
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_yaxes(rangemode="tozero", fixedrange=True)
    return figure


def split_bins(
    edges: np.ndarray, counts: np.ndarray, places: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut bins in two where a place lies inside; both parts keep the height of the whole."""
    inside = [place for place in places if edges[0] < place < edges[-1]]
    new_edges = np.unique(np.concatenate([edges, inside]))
    owners = np.searchsorted(edges, (new_edges[:-1] + new_edges[1:]) / 2) - 1
    return new_edges, counts[np.clip(owners, 0, len(counts) - 1)]
