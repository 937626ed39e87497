"""Plotly figures from plain values, and the one way to put a figure on a page."""

from workbench.ui.charts.arena import arena_figure, sparsities_figure
from workbench.ui.charts.groups import groups_figure, unit_scores_figure
from workbench.ui.charts.predicted import Outcome, predicted_figure
from workbench.ui.charts.repair import repair_figure
from workbench.ui.charts.sensitivity import curves_figure, damage_figure, multiples_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.charts.tradeoff import Mark, Step, tradeoff_figure
from workbench.ui.charts.training import accuracy_figure, loss_figure
from workbench.ui.charts.weights import histogram_figure, weights_figure
from workbench.ui.charts.widths import Widths, widths_figure

__all__ = [
    "Mark",
    "Outcome",
    "Step",
    "Widths",
    "accuracy_figure",
    "arena_figure",
    "curves_figure",
    "damage_figure",
    "groups_figure",
    "histogram_figure",
    "loss_figure",
    "multiples_figure",
    "predicted_figure",
    "repair_figure",
    "show_chart",
    "sparsities_figure",
    "tradeoff_figure",
    "unit_scores_figure",
    "weights_figure",
    "widths_figure",
]
