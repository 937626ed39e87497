"""Criteria: scores against hand-computed ones, order of layers, refusals."""

import pytest
import torch

from workbench.criteria import CRITERIA, Criterion, get_criterion, layer_generator, score_layer
from workbench.errors import PlanError


def scores(name: str, weight: torch.Tensor, seed: int = 0, layer: str = "conv1") -> torch.Tensor:
    return score_layer(get_criterion(name), weight, seed, layer)


def test_magnitudes_are_absolute_values_and_squares() -> None:
    weight = torch.tensor([[0.5, -2.0, 0.0], [3.0, -0.25, -1.0]])
    expected = torch.tensor([[0.5, 2.0, 0.0], [3.0, 0.25, 1.0]])
    assert torch.equal(scores("l1", weight), expected)
    assert torch.equal(scores("l2", weight), expected.double() ** 2)


def test_l2_keeps_the_order_of_weights_whose_square_vanishes_in_single_precision() -> None:
    weight = torch.tensor([3e-30, 1e-30, 2e-30])
    assert (weight**2 == 0).all()
    assert scores("l2", weight).argsort().tolist() == [1, 2, 0]


def test_random_depends_on_seed_and_layer_and_nothing_else() -> None:
    weight = torch.randn(20, 30)
    torch.manual_seed(1)
    first = scores("random", weight, 3, "conv1")
    torch.manual_seed(2)
    scores("random", weight, 3, "conv2")
    assert torch.equal(first, scores("random", torch.zeros(20, 30), 3, "conv1"))
    assert not torch.equal(first, scores("random", weight, 4, "conv1"))
    assert not torch.equal(first, scores("random", weight, 3, "conv2"))
    assert 0.4 < first.mean() < 0.6
    assert first.min() >= 0
    assert first.max() < 1


@pytest.mark.parametrize("name", CRITERIA)
def test_scores_have_the_shape_of_the_weight_and_leave_it_alone(name: str) -> None:
    weight = torch.nn.Parameter(torch.randn(2, 3, 4, 4))
    before = weight.detach().clone()
    result = scores(name, weight)
    assert result.shape == weight.shape
    assert not result.requires_grad
    assert torch.equal(weight.detach(), before)
    assert CRITERIA[name].summary.endswith(".")


def test_layer_generators_differ_by_seed_and_name() -> None:
    draws = {
        torch.rand(1, generator=layer_generator(seed, name)).item()
        for seed in range(3)
        for name in ("a", "b", "1a")
    }
    assert len(draws) == 9


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused_by_layer(bad: float) -> None:
    with pytest.raises(PlanError) as refused:
        scores("l1", torch.tensor([1.0, bad, 2.0]), layer="stages.0")
    assert refused.value.message == (
        "stages.0 has 1 of 3 scores that are NaN or infinite under criterion 'l1'."
    )


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError) as refused:
        get_criterion("randon")
    assert str(refused.value) == (
        "There is no criterion 'randon'. Did you mean 'random'? Choose one of: l1, l2, random."
    )


def test_a_criterion_sees_the_generator_of_its_layer() -> None:
    seen = []
    criterion = Criterion("x", "X", "X.", lambda w, g: (seen.append(g), w.abs())[1])
    score_layer(criterion, torch.ones(3), 5, "fc")
    assert torch.rand(1, generator=seen[0]) == torch.rand(1, generator=layer_generator(5, "fc"))
