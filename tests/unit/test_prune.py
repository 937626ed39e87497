"""Pruning: exact counts, ties by position, refusals, and nothing else changed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model
from workbench.errors import PlanError
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.model import Model
from workbench.patterns import lowest_pruned, split_counts
from workbench.plan import PruningPlan, num_pruned
from workbench.prune import (
    apply_masks_,
    build_masks,
    prune,
    restore_pruned,
)


def slow_mask(values: list[float], count: int) -> list[bool]:
    """The obvious way: sort by (score, position) and drop the first ``count``."""
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    return [i not in order[:count] for i in range(len(values))]


few_values = st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.5]), min_size=1, max_size=40)


@given(few_values, st.data())
def test_masks_drop_exactly_the_lowest_by_score_and_position(
    values: list[float], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(values)))
    mask = lowest_pruned(torch.tensor(values), count)
    assert mask.tolist() == slow_mask(values, count)


@given(st.lists(few_values, min_size=1, max_size=4), st.data())
def test_counts_of_a_pool_drop_the_same_entries_tensor_by_tensor(
    pool: list[list[float]], data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, sum(map(len, pool))))
    joint = slow_mask([value for part in pool for value in part], count)
    counts = split_counts([torch.tensor(part) for part in pool], count)
    assert sum(counts) == count
    apart = [slow_mask(part, k) for part, k in zip(pool, counts, strict=True)]
    assert [kept for part in apart for kept in part] == joint


def test_a_mask_of_a_matrix_by_hand() -> None:
    scores = torch.tensor([[0.3, 0.1, 0.2], [0.1, 0.5, 0.1]])
    expected = torch.tensor([[True, False, True], [False, True, True]])
    assert torch.equal(lowest_pruned(scores, 2), expected)


@given(
    st.floats(0, 0.999), st.floats(0, 0.999), st.sampled_from(["l1", "l2", "random"]),
    st.floats(0, 1), st.integers(0, 5),
)  # fmt: skip
def test_pruning_hits_the_exact_count_in_every_layer(
    first: float, second: float, criterion: str, zeroed: float, seed: int
) -> None:
    model = small_model(seed)
    with torch.no_grad():  # part of the weights is zero already
        weight = model.module.conv2.weight
        weight[torch.rand(weight.shape) < zeroed] = 0
    plan = PruningPlan({"conv2": first, "fc": second}, criterion=criterion, seed=seed)
    pruned = prune(model, plan)
    by_name = inspect(model).by_name
    for name, sparsity in plan.sparsities.items():
        mask = pruned.masks[f"{name}.weight"]
        assert int((~mask).sum()) == num_pruned(sparsity, by_name[name].num_weights)
        after = pruned.model.module.get_parameter(f"{name}.weight")
        before = model.module.get_parameter(f"{name}.weight")
        assert torch.equal(after, torch.where(mask, before, 0))


def test_with_half_the_weights_zero_they_go_first() -> None:
    model = small_model()
    with torch.no_grad():
        weight = model.module.fc.weight
        weight.view(-1)[::2] = 0
    alive = int(torch.count_nonzero(weight))
    at_30 = prune(model, PruningPlan({"fc": 0.3}))
    assert int((~at_30.masks["fc.weight"]).sum()) == round(0.3 * weight.numel())
    assert int(torch.count_nonzero(at_30.model.module.fc.weight)) == alive
    at_75 = prune(model, PruningPlan({"fc": 0.75})).model.module.fc.weight
    assert int(torch.count_nonzero(at_75)) == weight.numel() - round(0.75 * weight.numel())


def test_pruning_changes_a_copy_and_only_the_planned_weights() -> None:
    model = small_model()
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    pruned = prune(model, PruningPlan({"fc": 0.5}))
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key])
    for key, value in pruned.model.module.state_dict().items():
        assert torch.equal(value, before[key]) == (key != "fc.weight")
    assert pruned.model.digest != model.digest
    assert not pruned.model.module.training


def test_sparsity_zero_changes_nothing() -> None:
    model = small_model()
    pruned = prune(model, PruningPlan(dict.fromkeys(inspect(model).by_name, 0.0)))
    assert pruned.model.digest == model.digest
    assert all(bool(mask.all()) for mask in pruned.masks.values())


def test_the_order_of_layers_in_a_plan_does_not_matter() -> None:
    model = small_model()
    one = PruningPlan({"fc": 0.5, "conv2": 0.5}, criterion="random", seed=3)
    two = PruningPlan({"conv2": 0.5, "fc": 0.5}, criterion="random", seed=3)
    assert prune(model, one).model.digest == prune(model, two).model.digest
    other = PruningPlan({"conv2": 0.5, "fc": 0.5}, criterion="random", seed=4)
    assert prune(model, one).model.digest != prune(model, other).model.digest


def test_masks_set_weights_to_zero_in_place() -> None:
    module = small_model().copy_module()
    masks = build_masks(small_model(), PruningPlan({"fc": 0.5}))
    apply_masks_(module, masks)
    assert torch.equal(module.fc.weight != 0, masks["fc.weight"])


def test_recurrent_and_transposed_weights_are_pruned_by_their_own_names() -> None:
    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(6, 5, batch_first=True)
            self.classifier = torch.nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.gru(x[:, 0])[0][:, -1])

    model = Model("rows", Rows().eval(), (1, 6, 6), 3)
    pruned = prune(model, PruningPlan({"gru.weight_ih_l0": 0.5, "gru.weight_hh_l0": 0.9}))
    gru = pruned.model.module.gru
    assert int((gru.weight_ih_l0 == 0).sum()) == num_pruned(0.5, 90)
    assert int((gru.weight_hh_l0 == 0).sum()) == num_pruned(0.9, 75)
    assert torch.isfinite(pruned.model.module(torch.randn(2, 1, 6, 6))).all()


def test_unknown_layers_are_refused_with_the_nearest_and_others_with_their_reason() -> None:
    with pytest.raises(PlanError, match=r"no layer 'conv_2'.*'conv2'"):
        prune(small_model(), PruningPlan({"conv_2": 0.5}))
    with pytest.raises(PlanError, match=r"norm cannot be pruned\. Normalisation"):
        prune(small_model(), PruningPlan({"norm": 0.5}))
    with pytest.raises(PlanError, match="no criterion 'l3'"):
        prune(small_model(), PruningPlan({"fc": 0.5}, criterion="l3"))


def test_stored_weights_come_back_with_their_masks() -> None:
    model, plan = small_model(), PruningPlan({"fc": 0.5})
    pruned = prune(model, plan)
    trained = pruned.model.copy_module()
    with torch.no_grad():
        trained.fc.weight.mul_(2)
    restored = restore_pruned(model, plan, trained.state_dict())
    assert torch.equal(restored.masks["fc.weight"], pruned.masks["fc.weight"])
    assert torch.equal(restored.model.module.fc.weight, trained.fc.weight)
    with pytest.raises(
        PlanError, match=r"fc\.weight has \d+ non-zero weights that the plan prunes"
    ):
        restore_pruned(model, PruningPlan({"fc": 0.8}), trained.state_dict())


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_what_was_kept_of_a_pruned_model_needs_no_second_ranking(granularity):
    model = small_model()
    groups = find_groups(model, granularity).prunable
    plan = PruningPlan({group.name: 0.5 for group in groups}, granularity, "random", seed=3)
    pruned = prune(model, plan)
    kept = {name: tensor.clone() for name, tensor in pruned.tensors().items()}
    other = PruningPlan(dict(plan.sparsities), granularity, "random", seed=4)
    restored = restore_pruned(model, other, kept)  # by this seed other units would go
    assert restored.model.digest == pruned.model.digest != prune(model, other).model.digest
    assert {n: m.tolist() for n, m in restored.masks.items()} == {
        n: m.tolist() for n, m in pruned.masks.items()
    }
    assert {n: u.tolist() for n, u in restored.kept.items()} == {
        n: u.tolist() for n, u in pruned.kept.items()
    }
    assert {n: u.tolist() for n, u in restored.kept_outputs.items()} == {
        n: u.tolist() for n, u in pruned.kept_outputs.items()
    }
