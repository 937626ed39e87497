"""Predicted against measured accuracy: one mark a plan, its band, and the line of agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, HIGHLIGHT, KEPT, lay_out

SHAPES = {"check": "circle", "run": "diamond", "arena": "square"}
"""Where a measurement came from; hollow where it fell into the band, filled where it did not."""


@dataclass(frozen=True)
class Outcome:
    """What was predicted of a plan, and what came out.

    Attributes:
        label: What the plan is called.
        detail: What it was and how it was measured, for the hover box.
        origin: ``check``, ``run`` or ``arena``.
        predicted: Accuracy.
        low: Lower end of its 90 % band.
        high: Upper end.
        measured: Accuracy on validation images.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end.
        inside: Whether the measurement fell into the band, on equal terms: where it was made on
            other images than the curves, the dense model's accuracy on them is allowed for.
    """

    label: str
    detail: str
    origin: str
    predicted: float
    low: float
    high: float
    measured: float
    ci_low: float
    ci_high: float
    inside: bool


def predicted_figure(outcomes: Sequence[Outcome], *, height: int = 440) -> go.Figure:
    """Measured accuracy against the predicted one; on the line both are the same.

    Args:
        outcomes: At least one.
        height: In pixels.
    """
    ends = [v for o in outcomes for v in (o.low, o.high, o.ci_low, o.ci_high)]
    pad = max(0.04 * (max(ends) - min(ends)), 0.004)
    low, high = max(0.0, min(ends) - pad), min(1.01, max(ends) + pad)
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", name=_("As predicted"), hoverinfo="skip",
        line={"color": DENSE, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    titles = {"check": _("Instant check"), "run": _("Run"), "arena": _("Arena")}
    for origin, shape in SHAPES.items():
        for inside in (True, False):
            own = [o for o in outcomes if o.origin == origin and o.inside == inside]
            name = titles[origin] if inside else _("{origin}, outside its band")
            _add_marks(figure, own, name.format(origin=titles[origin]), shape, inside)
    lay_out(
        figure, height=height, x_title=_("Predicted accuracy, with its 90 % band"),
        y_title=_("Measured accuracy"), legend=True,
    )  # fmt: skip
    digits = ".1%" if high - low < 0.05 else ".0%"
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(range=[low, high], tickformat=digits, showgrid=True, fixedrange=True)
    return figure


def _add_marks(
    figure: go.Figure, own: Sequence[Outcome], name: str, shape: str, inside: bool
) -> None:
    """Marks of one origin: level bars are bands, upright ones intervals."""
    if not own:
        return
    colour = KEPT if inside else HIGHLIGHT
    bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 3}
    figure.add_scatter(
        x=[o.predicted for o in own], y=[o.measured for o in own], mode="markers", name=name,
        marker={
            "symbol": f"{shape}-open" if inside else shape, "size": 10, "color": colour,
            "line": {"width": 2, "color": colour},
        },
        error_x=bars | {
            "color": "rgba(128, 128, 128, 0.6)",
            "array": [o.high - o.predicted for o in own],
            "arrayminus": [o.predicted - o.low for o in own],
        },
        error_y=bars | {
            "color": "rgba(128, 128, 128, 0.35)",
            "array": [o.ci_high - o.measured for o in own],
            "arrayminus": [o.measured - o.ci_low for o in own],
        },
        customdata=[[o.label, o.detail, o.low, o.high] for o in own], cliponaxis=False,
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<br>"
        + _("predicted ≈ {x} ({low} to {high})").format(
            x="%{x:.1%}", low="%{customdata[2]:.1%}", high="%{customdata[3]:.1%}"
        )
        + "<br>" + _("measured {y}").format(y="%{y:.1%}") + "<extra></extra>",
    )  # fmt: skip
