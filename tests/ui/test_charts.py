"""Figures: what they draw, from values whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.distributions import weight_distributions
from workbench.model import Model
from workbench.ui import theme
from workbench.ui.charts import histogram_figure, weights_figure
from workbench.ui.charts.weights import split_bins, visible_shares


def stack(*weights: torch.Tensor) -> Model:
    """Linear layers one behind the other with these weights."""
    layers = []
    for weight in weights:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight.data = weight
        layers.append(layer)
    network = nn.Sequential(nn.Flatten(), *layers)
    return Model("stack", network, (1, 1, weights[0].shape[1]), weights[-1].shape[0])


@pytest.fixture
def layers():
    generator = torch.Generator().manual_seed(0)
    shapes = [(20, 30), (10, 20), (10, 10)]
    return weight_distributions(
        stack(
            *[torch.randn(shape, generator=generator) * 10.0**-i for i, shape in enumerate(shapes)]
        )
    )


def test_visible_shares_add_up_to_one(layers):
    shares, edges = visible_shares(layers)
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))
    assert shares.shape == (3, len(edges) - 1)


def test_layers_with_smaller_weights_lie_lower(layers):
    shares, edges = visible_shares(layers)
    peaks = edges[shares.argmax(axis=1)]
    assert peaks[0] > peaks[1] > peaks[2]


def test_a_lone_tiny_weight_does_not_stretch_the_picture():
    weight = torch.full((50, 40), 0.1)
    weight[0, 0] = 1e-30
    shares, edges = visible_shares(weight_distributions(stack(weight, torch.ones(10, 50))))
    assert edges[0] > -3
    assert shares.sum(axis=1) == pytest.approx([1, 1])


def test_a_pruned_layer_leaves_its_zeros_out():
    weight = torch.ones(10, 10)
    weight[:5] = 0
    shares, _edges = visible_shares(weight_distributions(stack(weight, torch.ones(10, 10))))
    assert shares.sum(axis=1) == pytest.approx([0.5, 1])


def test_an_all_zero_layer_can_be_drawn():
    layers = weight_distributions(stack(torch.zeros(4, 4), torch.zeros(4, 4)))
    assert weights_figure(layers).data


def test_the_heat_map_is_one_byte_a_cell_and_can_be_clicked(layers):
    figure = weights_figure(layers, chosen=1)
    heat, overlay = figure.data
    assert heat.type == "heatmap"
    assert np.asarray(heat.z).dtype == np.uint8
    assert overlay.type == "bar"
    assert list(overlay.x) == [0, 1, 2]
    assert [text[0] for text in overlay.customdata] == [layer.layer_name for layer in layers]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (0.5, 1.5)


def test_the_cut_line_lies_at_the_thresholds_and_skips_dense_layers(layers):
    cuts = [0.1, 0.0, 0.001]
    line = next(
        trace for trace in weights_figure(layers, cuts=cuts).data if trace.type == "scatter"
    )
    assert list(line.x) == [-0.5, 0.5, 0.5, 1.5, 1.5, 2.5]
    assert list(line.y) == pytest.approx([-1, -1, np.nan, np.nan, -3, -3], nan_ok=True)
    assert line.line.color == theme.PRUNED


def test_without_a_plan_there_is_no_cut_line(layers):
    assert {trace.type for trace in weights_figure(layers, cuts=[0.0] * 3).data} == {
        "heatmap",
        "bar",
    }


def test_a_hundred_and_sixty_names_are_thinned():
    layers = weight_distributions(stack(*[torch.ones(4, 4) * (1 + i) for i in range(160)]))
    assert len(weights_figure(layers).layout.xaxis.tickvals) <= 64


def test_split_bins_cuts_where_asked_and_keeps_heights():
    edges, counts = split_bins(np.array([-2.0, 0.0, 2.0]), np.array([3, 5]), (-1.0, 1.0, 9.0))
    assert edges.tolist() == [-2, -1, 0, 1, 2]
    assert counts.tolist() == [3, 3, 5, 5]


def test_the_histogram_marks_what_a_threshold_prunes():
    edges, counts = np.linspace(-2, 2, 5), np.array([1, 2, 3, 4])
    kept, pruned = histogram_figure(edges, counts, 1.0).data
    assert (kept.marker.color, pruned.marker.color) == (theme.KEPT, theme.PRUNED)
    assert list(pruned.x) == [-0.5, 0.5]
    assert list(pruned.y) == [2, 3]
    assert list(kept.y) == [1, 4]
    assert pruned.marker.pattern.shape


def test_a_threshold_of_zero_prunes_nothing():
    figure = histogram_figure(np.linspace(-1, 1, 3), np.array([1, 2]), 0.0)
    assert [len(trace.x) for trace in figure.data] == [2, 0]
    assert not figure.layout.shapes
