"""Plotly figures from plain values, and the one way to put a figure on a page."""

from workbench.ui.charts.show import show_chart
from workbench.ui.charts.weights import histogram_figure, weights_figure

__all__ = ["histogram_figure", "show_chart", "weights_figure"]
