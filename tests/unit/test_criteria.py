"""Criteria: scores against hand-computed ones, order of layers, refusals."""

import pytest
import torch
from torch import nn

from tests.unit.small import small_model
from workbench.coupled import Slice
from workbench.criteria import CRITERIA, Criterion, get_criterion
from workbench.errors import PlanError
from workbench.groups import Group, find_groups
from workbench.model import Model
from workbench.scoring import Look, score_layer, score_units

FREE = [name for name, one in CRITERIA.items() if not one.needs_data and one.weights]
"""Criteria that rank single weights by nothing but the weights."""


def holding(tensors: dict[str, torch.Tensor]) -> Model:
    """A model that holds these tensors under these names and computes nothing."""
    root = nn.Module()
    for name, tensor in tensors.items():
        *path, own = name.split(".")
        module = root
        for step in path:
            if not hasattr(module, step):
                module.add_module(step, nn.Module())
            module = getattr(module, step)
        module.register_buffer(own, tensor)
    return Model("holding", root, (1, 1, 1), 2)


def scores(name: str, weight: torch.Tensor, seed: int = 0, layer: str = "conv1") -> torch.Tensor:
    model = holding({f"{layer}.weight": weight})
    return score_layer(get_criterion(name), model, f"{layer}.weight", seed, layer)


def draws(seed: int, name: str) -> float:
    look = Look(get_criterion("random"), small_model(), seed, name)
    return torch.rand(1, generator=look.generator()).item()


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


@pytest.mark.parametrize("name", FREE)
def test_scores_have_the_shape_of_the_weight_and_leave_it_alone(name: str) -> None:
    weight = torch.nn.Parameter(torch.randn(2, 3, 4, 4))
    before = weight.detach().clone()
    result = scores(name, weight)
    assert result.shape == weight.shape
    assert not result.requires_grad
    assert torch.equal(weight.detach(), before)
    assert CRITERIA[name].summary.endswith(".")


def test_layer_generators_differ_by_seed_and_name() -> None:
    assert len({draws(seed, name) for seed in range(3) for name in ("a", "b", "1a")}) == 9


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
    assert str(refused.value).startswith(
        "There is no criterion 'randon'. Did you mean 'random'? Choose one of: "
    )


def test_a_criterion_sees_the_generator_of_its_layer() -> None:
    seen = []

    def rank(look: Look, parameter: str) -> torch.Tensor:
        seen.append(look.generator())
        return look.tensor(parameter).abs()

    text = dict.fromkeys(("title", "summary", "explanation", "strengths", "limits"), "X.")
    criterion = Criterion(name="x", weights=rank, **text)
    score_layer(criterion, holding({"fc.weight": torch.ones(3)}), "fc.weight", 5, "fc")
    assert torch.rand(1, generator=seen[0]) == draws(5, "fc")


# --- units of coupled groups ---


def _group(*slices: Slice) -> Group:
    return Group("a", "neuron", 2, ("a",), ("b",), slices=slices)


def _tensors() -> dict[str, torch.Tensor]:
    """Layer a has 2 outputs, each read by b at two places; b has 1 output."""
    return {
        "a.weight": torch.tensor([[3.0, -4.0], [1.0, 0.0]]),
        "a.bias": torch.tensor([100.0, 0.0]),
        "b.weight": torch.tensor([[1.0, -1.0, 2.0, -4.0]]),
        "place": torch.full((2, 2), 50.0),
    }


COUPLED = _group(
    Slice("a.weight", 0, torch.tensor([[0], [1]])),
    Slice("a.bias", 0, torch.tensor([[0], [1]])),
    Slice("b.weight", 1, torch.tensor([[0, 1], [2, 3]])),
    Slice("place", 0, torch.tensor([[1], [0]])),
)


def test_a_unit_is_worth_its_share_of_the_norms_on_both_sides_by_hand() -> None:
    l1 = score_units(get_criterion("l1"), holding(_tensors()), COUPLED, 0)
    # rows of a: 7 and 1, mean 4; columns of b: 2 and 6, mean 4
    assert l1.tolist() == [(7 / 4 + 2 / 4) / 2, (1 / 4 + 6 / 4) / 2]
    l2 = score_units(get_criterion("l2"), holding(_tensors()), COUPLED, 0)
    rows, columns = torch.tensor([5.0, 1.0]), torch.tensor([2.0, 20.0]).sqrt()
    expected = (rows / rows.mean() + columns / columns.mean()) / 2
    assert torch.allclose(l2.float(), expected)


def test_the_scale_of_a_layer_does_not_matter_to_its_units() -> None:
    larger = _tensors()
    larger["a.weight"] = 8 * larger["a.weight"]
    for name in ("l1", "l2"):
        criterion = get_criterion(name)
        before = score_units(criterion, holding(_tensors()), COUPLED, 0)
        assert torch.allclose(score_units(criterion, holding(larger), COUPLED, 0), before)
        assert before.mean() == pytest.approx(1)


def test_units_without_any_weight_are_worth_nothing_and_do_not_divide_by_zero() -> None:
    nothing = {name: 0 * tensor for name, tensor in _tensors().items()}
    assert score_units(get_criterion("l1"), holding(nothing), COUPLED, 0).tolist() == [0, 0]


def test_units_drawn_at_random_depend_on_seed_and_group_only() -> None:
    model = small_model()
    group = find_groups(model, "channel").groups[0]
    random = get_criterion("random")
    first = score_units(random, model, group, 1)
    assert torch.equal(first, score_units(random, small_model(5), group, 1))
    assert not torch.equal(first, score_units(random, model, group, 2))
    assert len(first) == group.num_units


def test_a_weight_that_is_no_number_names_its_tensor() -> None:
    broken = _tensors()
    broken["b.weight"][0, 1] = float("nan")
    with pytest.raises(PlanError, match=r"^b.weight has 1 of 4 scores"):
        score_units(get_criterion("l1"), holding(broken), COUPLED, 0)
