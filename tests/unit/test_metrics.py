"""Metrics: closed forms, another library's numbers, and a module that stays as it was."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, recall_score
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.data import Data, Split
from workbench.errors import DataError
from workbench.layers import inspect
from workbench.metrics import Measurement, Score, count_nonzero, measure, score, wilson_interval
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import prune


class Lookup(nn.Module):
    """Gives the first numbers of an image as class scores."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3]


def lookup_split(count: int = 57) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 2, 2, generator=generator)
    labels = torch.randint(0, 2, (count,), generator=generator)  # class 2 has no images
    return Split("validation", images, labels)


@pytest.mark.parametrize("batch_size", [1, 10, 57, 100])
def test_scores_equal_those_of_scikit_learn(batch_size: int) -> None:
    split = lookup_split()
    scored = score(Lookup(), split, batch_size=batch_size)
    outputs = split.images.flatten(1)[:, :3]
    predicted = outputs.argmax(1)
    assert scored.correct == int((predicted == split.labels).sum())
    assert scored.accuracy == scored.correct / 57
    assert scored.samples == 57
    expected = log_loss(split.labels, outputs.double().softmax(1), labels=[0, 1, 2])
    assert scored.loss == pytest.approx(expected, rel=1e-5)
    recall = recall_score(split.labels, predicted, labels=[0, 1], average=None)
    assert scored.recall[:2] == pytest.approx(recall.tolist())
    assert scored.recall[2] is None


def test_scoring_uses_eval_mode_and_leaves_the_module_as_it_was() -> None:
    module = small_model().copy_module().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    split = stripes_data().split("test")
    scored = score(module, split)
    assert all(part.training for part in module.modules())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert scored == score(small_model().module, split)


def test_a_stop_ends_between_passes_with_what_is_there() -> None:
    seen = []
    stop = iter([False, True]).__next__
    scored = score(Lookup(), lookup_split(), batch_size=10, report=seen.append, should_stop=stop)
    assert scored.samples == 20
    assert [(progress.done, progress.total) for progress in seen] == [(10, 57), (20, 57)]


def test_an_image_without_scores_is_not_found() -> None:
    images = torch.full((4, 1, 2, 2), math.nan)
    scored = score(Lookup(), Split("validation", images, torch.tensor([0, 0, 1, 2])))
    assert (scored.correct, scored.recall) == (0, (0.0, 0.0, 0.0))


def test_outputs_that_are_no_numbers_give_an_infinite_loss_that_survives_json() -> None:
    split = lookup_split()
    split.images[3] = math.nan
    scored = score(Lookup(), split)
    assert scored.loss == math.inf
    text = json.dumps(scored.to_dict(), allow_nan=False)
    assert Score.from_dict(json.loads(text)) == scored


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="The validation split has no images"):
        score(Lookup(), Split("validation", torch.zeros(0, 1, 2, 2), torch.zeros(0).long()))


@given(st.integers(1, 10_000), st.data())
def test_the_wilson_interval_is_where_the_score_test_no_longer_rejects(
    samples: int, data: st.DataObject
) -> None:
    correct = data.draw(st.integers(0, samples))
    z = 1.959963984540054
    for edge in wilson_interval(correct, samples):
        # Wilson's definition: |p - edge| = z * sqrt(edge (1 - edge) / n)
        distance = z * math.sqrt(max(0, edge * (1 - edge)) / samples)
        assert abs(correct / samples - edge) == pytest.approx(distance, abs=1e-7)
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= correct / samples <= high <= 1


def test_the_wilson_interval_of_a_published_example() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_a_measurement_counts_what_is_there() -> None:
    model = prune(small_model(), PruningPlan({"fc": 0.5, "conv2": 0.9})).model
    measured = measure(model, stripes_data())
    module = model.module
    assert measured.num_params == sum(p.numel() for p in module.parameters())
    assert measured.num_nonzero == sum(int((p != 0).sum()) for p in module.parameters())
    assert measured.num_nonzero == count_nonzero(module)
    assert measured.samples == 60
    assert measured.split == "test"
    assert measured.macs < inspect(model).macs
    assert measured.latency_ms > 0
    assert measured.latency_spread_ms >= 0
    assert Measurement.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured


def test_a_zero_outside_the_prunable_weights_counts_as_a_zero_parameter() -> None:
    model = small_model()
    before = measure(model, stripes_data(), latency=False)
    with torch.no_grad():
        model.module.norm.bias.zero_()
        model.module.norm.running_mean.fill_(0.0)  # a buffer: not counted
    after = measure(Model("b", model.module, (1, 6, 6), 3), stripes_data(), latency=False)
    assert after.num_nonzero == before.num_nonzero - 4
    assert (after.macs, after.bytes) == (before.macs, before.bytes)
    assert after.latency_ms is None


def test_choices_are_measured_on_validation_and_data_must_fit() -> None:
    measured = measure(
        small_model(), stripes_data(), split="validation", num_samples=20, latency=False
    )
    assert (measured.split, measured.samples) == ("validation", 20)
    images, labels = np.zeros((10, 1, 5, 5), np.float32), np.arange(10) % 3
    with pytest.raises(DataError, match="takes images of shape 1 x 6 x 6"):
        measure(small_model(), Data("other", images, labels, images, labels))
