"""Distributions against NumPy on the same weights, and thresholds against a full sort."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from workbench.distributions import (
    QUANTILES,
    layer_histogram,
    threshold,
    weight_distributions,
)
from workbench.errors import PlanError, SettingsError, SparsityError
from workbench.model import Model
from workbench.plan import PruningPlan, num_pruned
from workbench.prune import build_masks

BIN = 2**-7  # relative width of the finest bins


def _model(*weights):
    """A network whose layers ``0``, ``1`` ... are linear maps with the given weights."""
    layers = [nn.Linear(w.shape[1], w.shape[0], bias=False).to(w.dtype) for w in weights]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight = nn.Parameter(weight)

    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x):
            return sum(m(x.flatten(1)[:, :1].expand(-1, m.in_features)).sum() for m in self.layers)

    return Model("net", Parallel().eval(), (1, 2, 2), 10)


def _normal(*shape, seed=0, scale=0.05):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def _pruned(weight, sparsity):
    pruned = weight.clone()
    pruned.view(-1)[: int(sparsity * weight.numel())] = 0
    return pruned


def _mixed():
    return _pruned(_normal(300, 250) + 0.03, 0.4)


def test_counts_agree_with_numpy_on_the_edges_given():
    weights = (_normal(300, 250), _normal(40, 50, seed=1, scale=3.0), _mixed())
    distributions = weight_distributions(_model(*weights))
    edges = distributions[0].log10_edges
    for distribution, weight in zip(distributions, weights, strict=True):
        assert distribution.log10_edges is edges
        magnitudes = np.abs(weight.numpy().ravel().astype(np.float64))
        nonzero = magnitudes[magnitudes > 0]
        limits = 10**edges
        expected, _ = np.histogram(nonzero.clip(limits[0] * 1.0001), limits * (1 - 1e-12))
        np.testing.assert_array_equal(distribution.counts, expected)
        assert distribution.counts.sum() + distribution.num_zeros == weight.numel()


def test_edges_are_ten_to_the_decade_and_reach_from_smallest_to_largest_weight():
    distributions = weight_distributions(_model(_normal(300, 250), _normal(40, 50, scale=3.0)))
    edges = distributions[0].log10_edges
    np.testing.assert_allclose(np.diff(edges), 0.1, atol=0.005)
    largest = max(np.log10(max(abs(d.minimum), d.maximum)) for d in distributions)
    assert edges[-2] <= largest < edges[-1]
    assert sum(d.counts[0] for d in distributions) > 0


def test_weights_that_decayed_to_nothing_do_not_stretch_the_grid():
    weight = _normal(30, 20)
    weight[0, :5] = torch.tensor([1e-30, -1e-38, 1e-41, 1e-44, 1e-12])
    (distribution,) = weight_distributions(_model(weight))
    assert len(distribution.log10_edges) - 1 <= 82
    assert distribution.counts.sum() == 600
    assert distribution.counts[0] >= 5
    assert distribution.num_zeros == 0


@pytest.mark.parametrize("weight", [_normal(300, 250), _mixed(), _normal(7, 5) + 1000])
def test_moments_agree_with_double_precision(weight):
    (d,) = weight_distributions(_model(weight))
    values = weight.double().numpy().ravel()
    centred = values - values.mean()
    assert d.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-12)
    assert d.std == pytest.approx(values.std(), rel=1e-9)
    kurtosis = (centred**4).mean() / values.var() ** 2 - 3
    assert d.excess_kurtosis == pytest.approx(kurtosis, rel=1e-6, abs=1e-6)
    assert (d.minimum, d.maximum) == (values.min(), values.max())
    assert d.num_zeros == (values == 0).sum()


def test_kurtosis_of_two_equal_spikes_is_minus_two():
    (d,) = weight_distributions(_model(torch.tensor([[0.5, -0.5] * 10])))
    assert (d.mean, d.std, d.excess_kurtosis) == (0, 0.5, -2)


@pytest.mark.parametrize("weight", [_normal(300, 250), _mixed(), -_normal(40, 50).abs()])
def test_quantiles_agree_with_a_sort(weight):
    (d,) = weight_distributions(_model(weight))
    expected = np.quantile(weight.numpy().ravel(), QUANTILES)
    np.testing.assert_allclose(d.quantiles, expected, rtol=2 * BIN, atol=2e-3 * d.std)


@pytest.mark.parametrize("sparsity", [0, 1e-5, 0.1, 0.3999, 0.4, 0.5, 0.9, 0.999999])
@pytest.mark.parametrize("weight", [_normal(300, 250), _mixed(), torch.full((4, 5), -0.3)])
def test_thresholds_agree_with_a_full_sort(weight, sparsity):
    model = _model(weight)
    ordered = weight.abs().view(-1).sort().values
    count = num_pruned(sparsity, weight.numel())
    expected = float(ordered[count - 1]) if count else 0.0
    assert threshold(model, "layers.0", sparsity) == expected
    (distribution,) = weight_distributions(model)
    assert distribution.threshold(sparsity) == pytest.approx(expected, rel=BIN)


def test_the_threshold_is_where_the_mask_cuts():
    model = _model(_mixed(), _normal(20, 30))
    plan = PruningPlan({"layers.0": 0.7, "layers.1": 0.25})
    for key, mask in build_masks(model, plan).items():
        name = key.removesuffix(".weight")
        cut = threshold(model, name, plan.sparsities[name])
        magnitudes = model.module.get_parameter(key).detach().abs()
        assert magnitudes[~mask].max() == cut
        assert magnitudes[mask].min() > cut


def test_weights_that_are_no_numbers_are_counted_and_left_out():
    weight = _normal(30, 20)
    clean = weight.view(-1)[4:].clone()
    weight.view(-1)[:4] = torch.tensor([math.nan, math.inf, -math.inf, -math.nan])
    model = _model(weight, torch.full((4, 5), math.nan))
    some, none = weight_distributions(model)
    assert (some.num_nan, some.num_infinite, some.layer_name) == (2, 2, "layers.0")
    assert some.counts.sum() == 596
    assert some.mean == pytest.approx(float(clean.double().mean()), abs=1e-12)
    assert some.maximum == float(clean.max())
    assert some.threshold(0.999999) == math.inf
    assert (none.num_nan, none.counts.sum()) == (20, 0)
    assert math.isnan(none.mean)
    assert none.to_dict()["mean"] is None
    json.dumps([some.to_dict(), none.to_dict()], allow_nan=False)
    assert layer_histogram(model, "layers.0").counts.sum() == 596
    assert layer_histogram(model, "layers.1").counts.sum() == 0


def test_a_layer_of_zeros_has_no_spread():
    weight = torch.zeros(5, 6)
    weight[0] = -0.0
    (d,) = weight_distributions(_model(weight))
    assert (d.num_zeros, d.std, d.excess_kurtosis, d.counts.sum()) == (30, 0, 0, 0)
    assert set(d.quantiles) == {0.0}
    assert d.threshold(0.5) == threshold(_model(weight), "layers.0", 0.5) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_are_read_as_float32(dtype):
    weight = _normal(30, 20).to(dtype)
    (d,) = weight_distributions(_model(weight))
    (same,) = weight_distributions(_model(weight.float()))
    np.testing.assert_array_equal(d.counts, same.counts)
    assert (d.mean, d.std) == (same.mean, same.std)


def test_channels_last_weights_give_the_same():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(32, 10))
    plain = weight_distributions(Model("net", net.eval(), (3, 4, 4), 10))
    net.to(memory_format=torch.channels_last)
    for a, b in zip(plain, weight_distributions(Model("n", net, (3, 4, 4), 10)), strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
        assert a.quantiles == b.quantiles


def test_the_signed_histogram_agrees_with_numpy():
    weight = _mixed()
    histogram = layer_histogram(_model(weight), "layers.0", 40)
    values = weight.double().numpy().ravel()
    expected, edges = np.histogram(values[values != 0], 40, (values.min(), values.max()))
    np.testing.assert_array_equal(histogram.counts, expected)
    np.testing.assert_allclose(histogram.edges, edges)
    assert histogram.num_zeros == (values == 0).sum()


def test_the_histogram_of_one_value_surrounds_it():
    histogram = layer_histogram(_model(torch.full((4, 5), 0.3)), "layers.0", 10)
    assert histogram.edges[0] < 0.3 < histogram.edges[-1]
    assert histogram.counts.sum() == 20


def test_looking_changes_nothing():
    model = _model(_mixed())
    before = model.module.layers[0].weight.detach().clone()
    weight_distributions(model)
    threshold(model, "layers.0", 0.5)
    layer_histogram(model, "layers.0")
    assert torch.equal(model.module.layers[0].weight, before)


def test_refusals():
    model = _model(_normal(4, 5))
    with pytest.raises(PlanError):
        threshold(model, "layers.7", 0.5)
    with pytest.raises(PlanError):
        layer_histogram(model, "layer.0")
    for call in (
        lambda s: threshold(model, "layers.0", s),
        weight_distributions(model)[0].threshold,
    ):
        with pytest.raises(SparsityError) as refused:
            call(1.0)
        assert refused.value.message == "layers.0 asks for sparsity 1.00."
    with pytest.raises(SettingsError) as bins:
        layer_histogram(model, "layers.0", 0)
    assert str(bins.value) == "A histogram of 0 bins was asked for. Choose 1 to 1,000."
