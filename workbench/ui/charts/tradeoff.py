"""Accuracy against size: every run with its way there, the dense model and the Pareto front."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import plotly.graph_objects as go

from workbench.ui.charts.labels import Box, place_labels
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, HIGHLIGHT, KEPT, RANDOM, lay_out, translucent

MARKS_TRACE = 0
"""Index of the trace that holds the runs, in their order."""
SHAPES = {
    "dense": "square", "pruned": "triangle-down", "repaired": "diamond", "finetuned": "circle",
}  # fmt: skip
"""Every stage has a shape; it is filled where channels are gone and hollow where weights are 0."""
_RANDOM_SHAPE = "x"
_BY_TRAINING_SHAPE = "star"
_NARROW = 780  # pixels of the plot in a window of 1280; a wider one has more room for labels
_MARGINS = 96
_RADIUS = 8.0


@dataclass(frozen=True)
class Step:
    """A measured stage on the way to a mark.

    Attributes:
        stage: ``dense``, ``pruned``, ``repaired`` or ``finetuned``.
        title: What a page calls it.
        size: On the horizontal axis.
        accuracy: Test accuracy as a fraction.
    """

    stage: str
    title: str
    size: float
    accuracy: float


@dataclass(frozen=True)
class Mark:
    """One measured model on the chart.

    Attributes:
        label: Shown in the hover box, and beside it where ``short`` is empty.
        short: Shown beside it.
        size: On the horizontal axis.
        accuracy: Test accuracy as a fraction.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end.
        stage: Its last stage, which gives it its shape.
        path: The stages before it, the dense model first; empty draws the mark alone.
        random: Whether what goes was chosen at random.
        structured: Whether channels are really gone; else weights are zero.
        by_training: Whether the zeros were made during training; else a trained model was cut.
        current: Whether it is the chosen run.
    """

    label: str
    size: float
    accuracy: float
    ci_low: float
    ci_high: float
    stage: str = "pruned"
    path: tuple[Step, ...] = ()
    random: bool = False
    structured: bool = False
    by_training: bool = False
    current: bool = False
    short: str = ""


def tradeoff_figure(
    marks: Sequence[Mark],
    *,
    dense: Mark | None,
    front: Sequence[int],
    size_title: str,
    height: int = 480,
) -> go.Figure:
    """Test accuracy against one measure of size; smaller and more accurate is up and left.

    Args:
        marks: One per run, at its last stage; a thin line leads there from the dense model.
        dense: The dense model.
        front: Indices of the marks that no other mark beats in both, by rising size.
        size_title: Title of the horizontal axis, with its unit.
        height: In pixels.
    """
    everyone = [*marks, *([dense] if dense else [])]
    sizes = [mark.size for mark in everyone] + [s.size for mark in marks for s in mark.path]
    right, (low, high) = 1.06 * max(sizes), _range(everyone)
    places = _label_places(everyone, front, (right, low, high), height)
    figure = go.Figure()
    _add_marks(figure, marks, places, size_title)
    for mark in marks:
        _add_path(figure, mark, size_title)
    if len(front) > 1:
        figure.add_scatter(
            x=[marks[i].size for i in front], y=[marks[i].accuracy for i in front],
            mode="lines", line={"color": GOOD, "width": 2}, name=_("Pareto front"),
            hoverinfo="skip",
        )  # fmt: skip
    if dense is not None:
        figure.add_scatter(
            x=[dense.size], y=[dense.accuracy], mode="markers+text", text=[dense.label],
            textposition=places[-1] or "top center", name=_("Dense model"),
            marker={"size": 13, "symbol": SHAPES["dense"], "color": DENSE, "opacity": 1},
            error_y=_errors([dense]), cliponaxis=False, zorder=1,
            hovertemplate=_hover("%{text}", size_title), **_UNFADED,
        )  # fmt: skip
    _add_ring(figure, marks)
    _add_keys(figure, marks)
    lay_out(figure, height=height, x_title=size_title, y_title=_("Test accuracy"), legend=True)
    # Below a thousand the short form writes a fifth as 200m, for thousandths.
    figure.update_xaxes(
        range=[0, right], tickformat="~s" if right >= 1000 else "", showgrid=True, fixedrange=True
    )
    figure.update_yaxes(range=[low, high], tickformat=".0%", fixedrange=True)
    if high - low < 0.05:
        figure.update_yaxes(tickformat=".1%")
    return figure


_UNFADED = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}}}


def _add_marks(
    figure: go.Figure, marks: Sequence[Mark], places: Sequence[str | None], size_title: str
) -> None:
    """The runs at their last stages."""
    figure.add_scatter(
        x=[mark.size for mark in marks], y=[mark.accuracy for mark in marks],
        mode="markers+text", showlegend=False,
        text=[_spaced(mark) if places[i] else "" for i, mark in enumerate(marks)],
        textposition=[places[i] or "top center" for i in range(len(marks))],
        hovertext=[mark.label for mark in marks],
        marker={
            "opacity": 1, "size": 12, "symbol": [_symbol(mark) for mark in marks],
            "color": [_colour(mark) for mark in marks],
            "line": {"width": 2, "color": [_colour(mark) for mark in marks]},
        },
        error_y=_errors(marks), cliponaxis=False, zorder=2,
        hovertemplate=_hover("%{hovertext}", size_title), **_UNFADED,
    )  # fmt: skip


def _spaced(mark: Mark) -> str:
    """The label of a mark, clear of the ring where it has one."""
    space = "\N{NO-BREAK SPACE}" * 2
    label = mark.short or mark.label
    return f"{space}{label}{space}" if mark.current else label


def _symbol(mark: Mark) -> str:
    if mark.random:
        return _shape(_RANDOM_SHAPE, mark.structured)
    return _shape(_stage_shape(mark, mark.stage), mark.structured)


def _stage_shape(mark: Mark, stage: str) -> str:
    """The shape of a stage; one for all where the zeros were made during training."""
    return _BY_TRAINING_SHAPE if mark.by_training else SHAPES[stage]


def _shape(shape: str, filled: bool) -> str:
    return shape if filled else f"{shape}-open"


def _hover(name: str, size_title: str) -> str:
    return (
        f"<b>{name}</b><br>{_('Test accuracy')}: %{{y:.2%}}"
        f"<br>{size_title}: %{{x:,.4~r}}<extra></extra>"
    )


def _range(marks: Sequence[Mark]) -> tuple[float, float]:
    """From below the lowest interval to above the highest, at least three points of accuracy."""
    steps = [step.accuracy for mark in marks for step in mark.path]
    low = min([*(mark.ci_low for mark in marks), *steps])
    high = max([*(mark.ci_high for mark in marks), *steps])
    pad = max(0.05 * (high - low), (0.03 - (high - low)) / 2, 0.004)
    return max(0.0, low - pad), min(1.01, high + pad)


def _label_places(
    marks: Sequence[Mark], front: Sequence[int], extent: tuple[float, float, float], height: int
) -> list[str | None]:
    """Where labels go: the chosen run first, then the dense model, the front, and the rest.

    Args:
        marks: The runs, and last perhaps the dense model.
        front: Indices of the marks on the Pareto front.
        extent: Right end of the horizontal axis, lower and upper end of the vertical one.
        height: Of the figure, in pixels.
    """
    right, low, high = extent
    tall = height - _MARGINS

    def place(size: float, accuracy: float) -> tuple[float, float]:
        return _NARROW * size / right, tall * (high - accuracy) / (high - low)

    taken = []
    for mark in marks:
        x, y = place(mark.size, mark.accuracy)
        taken.append(Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS))
        top, bottom = place(mark.size, mark.ci_high)[1], place(mark.size, mark.ci_low)[1]
        taken.append(Box(x - 2, top, x + 2, bottom))
        for step in mark.path:
            x, y = place(step.size, step.accuracy)
            taken.append(Box(x - 5, y - 5, x + 5, y + 5))
    corners = [place(marks[i].size, marks[i].accuracy) for i in front]
    taken += [box for ends in pairwise(corners) for box in _along(*ends)]
    order = sorted(
        range(len(marks)),
        key=lambda i: (not marks[i].current, i < len(marks) - 1, i not in front, -i),
    )
    anchors = [(*place(marks[i].size, marks[i].accuracy), _spaced(marks[i])) for i in order]
    found = place_labels(anchors, taken, Box(0, 0, _NARROW, tall))
    return [found[order.index(i)] for i in range(len(marks))]


def _along(start: tuple[float, float], end: tuple[float, float]) -> list[Box]:
    """A line as small boxes, at most 6 pixels apart; the ends are left to the marks there."""
    (x0, y0), (x1, y1) = start, end
    count = max(2, ceil(max(abs(x1 - x0), abs(y1 - y0)) / 6))
    shares = [step / count for step in range(1, count)]
    centres = [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in shares]
    return [Box(x - 2, y - 2, x + 2, y + 2) for x, y in centres]


def _add_path(figure: go.Figure, mark: Mark, size_title: str) -> None:
    """The stages that led to a mark: a thin line from the dense model, a shape for each stage."""
    if not mark.path:
        return
    steps = [(step.size, step.accuracy) for step in mark.path] + [(mark.size, mark.accuracy)]
    figure.add_scatter(
        x=[size for size, _accuracy in steps], y=[accuracy for _size, accuracy in steps],
        mode="lines", showlegend=False, hoverinfo="skip",
        line={"color": translucent(_colour(mark), 0.9 if mark.current else 0.55), "width": 1.2},
    )  # fmt: skip
    between = [step for step in mark.path if step.stage != "dense"]
    figure.add_scatter(
        x=[step.size for step in between], y=[step.accuracy for step in between],
        mode="markers", showlegend=False, **_UNFADED,
        hovertext=[f"{mark.label} · {step.title}" for step in between],
        hovertemplate=_hover("%{hovertext}", size_title),
        marker={"size": 8, "opacity": 1, "color": _colour(mark),
                "line": {"width": 1.2, "color": _colour(mark)},
                "symbol": [_shape(_stage_shape(mark, step.stage), mark.structured)
                           for step in between]},
    )  # fmt: skip


def _add_ring(figure: go.Figure, marks: Sequence[Mark]) -> None:
    """A ring around the chosen run, so that its stage keeps its shape."""
    for mark in marks:
        if mark.current:
            figure.add_scatter(
                x=[mark.size], y=[mark.accuracy], mode="markers", name=_("Chosen run"),
                hoverinfo="skip", cliponaxis=False,
                marker={"size": 24, "symbol": "circle-open", "color": HIGHLIGHT,
                        "line": {"width": 2.5}, "opacity": 1}, **_UNFADED,
            )  # fmt: skip


def _add_keys(figure: go.Figure, marks: Sequence[Mark]) -> None:
    """Legend entries for what the shapes mean."""
    cut = [mark for mark in marks if not mark.by_training]
    stages = {mark.stage for mark in cut if not mark.random}
    stages |= {step.stage for mark in cut for step in mark.path}
    structured = [mark.structured for mark in marks]
    keys = (
        (_("Pruned"), KEPT, SHAPES["pruned"], "pruned" in stages),
        (_("Repaired"), KEPT, SHAPES["repaired"], "repaired" in stages),
        (_("Fine-tuned"), KEPT, SHAPES["finetuned"], "finetuned" in stages),
        (
            _("Cut during training"),
            KEPT,
            f"{_BY_TRAINING_SHAPE}-open",
            any(mark.by_training for mark in marks),
        ),
        (_("Pruned at random"), RANDOM, f"{_RANDOM_SHAPE}-open", any(m.random for m in marks)),
        (_("Filled: channels are gone"), DENSE, "hexagon", any(structured)),
        (_("Hollow: weights are zero"), DENSE, "hexagon-open", not all(structured)),
    )
    for name, colour, symbol, present in keys:
        if present:
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=name,
                marker={"size": 11, "symbol": symbol, "color": colour,
                        "line": {"width": 2, "color": colour}},
            )  # fmt: skip


def _colour(mark: Mark) -> str:
    return HIGHLIGHT if mark.current else RANDOM if mark.random else KEPT


def _errors(marks: Sequence[Mark]) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "thickness": 1, "width": 3,
        "color": "rgba(128, 128, 128, 0.6)",
        "array": [mark.ci_high - mark.accuracy for mark in marks],
        "arrayminus": [mark.accuracy - mark.ci_low for mark in marks],
    }  # fmt: skip
