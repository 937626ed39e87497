"""Accuracy against severity: a small chart for each corruption, a line for each model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.corruptions import CORRUPTIONS
from workbench.ui.i18n import _
from workbench.ui.theme import DENSE, GOOD, GRID, HIGHLIGHT, KEPT, RANDOM, lay_out, percent

if TYPE_CHECKING:
    from workbench.paired import Proportion
    from workbench.robustness import ModelRobustness, Robustness

LOOKS = (
    (KEPT, "circle", "solid"), (HIGHLIGHT, "diamond", "solid"), (GOOD, "triangle-up", "solid"),
    (RANDOM, "x", "dot"), ("#8C6BB1", "pentagon", "dashdot"), ("#56B4E9", "star", "longdash"),
    ("#A6761D", "hexagon", "dot"), ("#44AA99", "triangle-down", "dash"),
)  # fmt: skip
"""Colour, shape and stroke of each run; the shape alone tells it apart."""
_DENSE_LOOK = (DENSE, "square", "dash")
_COLUMNS = 3


def robustness_figure(found: Robustness) -> go.Figure:
    """One small chart a corruption on the same axes; severity 0 is the clean image.

    Args:
        found: Whole or as far as it came; the first model is the dense one.
    """
    names = list(found.settings.corruptions)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    height = 90 + 210 * rows
    figure = make_subplots(
        rows, columns, subplot_titles=[CORRUPTIONS[name].title for name in names],
        shared_xaxes="all", shared_yaxes="all", vertical_spacing=44 / height,
        horizontal_spacing=0.03,
    )  # fmt: skip
    for index, name in enumerate(names):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        for number, model in enumerate(found.models):
            points = _points(found, model, name)
            figure.add_scatter(**_line(points, model.name, number), **place, showlegend=index == 0)
    lay_out(figure, height=height, legend=True)
    figure.update_layout(margin={"l": 56, "r": 8, "t": 70, "b": 40})
    figure.update_layout(legend={"y": 1 + 34 / (height - 110)})
    figure.update_annotations(font={"size": 13})
    levels = [0, *found.settings.severities]
    figure.update_xaxes(
        tickvals=levels, ticktext=[_("clean"), *map(str, levels[1:])], fixedrange=True,
        range=[-0.3, max(levels) + 0.3],
    )  # fmt: skip
    for index in range(max(0, len(names) - columns), len(names)):  # the lowest of each column
        place = {"row": index // columns + 1, "col": index % columns + 1}
        figure.update_xaxes(title=_("Severity"), showticklabels=True, **place)
    figure.update_yaxes(
        tickformat=".0%", gridcolor=GRID, fixedrange=True, range=[_least(found), 1.02]
    )
    figure.update_yaxes(title=_("Test accuracy"), col=1)
    return figure


def _least(found: Robustness) -> float:
    """Where the vertical axis begins: a little below the lowest interval, in tenths."""
    scores = [
        score
        for model in found.models
        for name in found.settings.corruptions
        for _level, score in _points(found, model, name)
    ]
    return math.floor(10 * min([score.ci_low for score in scores], default=0.0)) / 10


def _points(
    found: Robustness, model: ModelRobustness, corruption: str
) -> list[tuple[int, Proportion]]:
    """Severity and accuracy of what is measured, the clean images first."""
    scored = [(0, model.score())]
    scored += [(level, model.score(corruption, level)) for level in found.settings.severities]
    return [(level, score) for level, score in scored if score is not None]


def _line(points: list[tuple[int, Proportion]], name: str, number: int) -> dict[str, object]:
    colour, symbol, dash = _DENSE_LOOK if number == 0 else LOOKS[(number - 1) % len(LOOKS)]
    scores = [score for _level, score in points]
    return {
        "x": [level for level, _score in points],
        "y": [score.accuracy for score in scores],
        "name": name, "legendgroup": str(number), "mode": "lines+markers", "cliponaxis": False,
        "line": {"color": colour, "width": 1.8, "dash": dash},
        "marker": {"symbol": symbol, "size": 7, "color": colour},
        "error_y": {
            "type": "data", "symmetric": False, "thickness": 1, "width": 2,
            "color": colour,
            "array": [score.ci_high - score.accuracy for score in scores],
            "arrayminus": [score.accuracy - score.ci_low for score in scores],
        },
        "customdata": [
            [percent(s.accuracy), percent(s.ci_low), percent(s.ci_high), f"{s.samples:,}"]
            for s in scores
        ],
        "hovertemplate": f"<b>{name}</b><br>" + _("severity {level}: {accuracy}").format(
            level="%{x}", accuracy="%{customdata[0]}")
        + "<br>" + _("{low} to {high}, {samples} images").format(
            low="%{customdata[1]}", high="%{customdata[2]}", samples="%{customdata[3]}")
        + "<extra></extra>",
    }  # fmt: skip
