"""Sub-blocks of kernels: masks against a loop that takes one sub-block after the other away."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model
from workbench.accounting import size_of_plan
from workbench.allocation import Budget, allocate
from workbench.granularity import parse_granularity
from workbench.groups import find_groups, layer_groups
from workbench.layers import inspect
from workbench.loading import load_model
from workbench.patterns import (
    nearest_sparsity,
    num_pruned_weights,
    num_units,
    pattern_mask,
    unit_scores,
    why_not,
)
from workbench.plan import PruningPlan, num_pruned
from workbench.prune import prune

Place = tuple[int, ...]


def parts_of(shape: Place, name: str) -> list[list[Place]]:
    """The places of each sub-block, straight from the definition, in order."""
    kind = parse_granularity(name)
    height, width = (shape[2] if len(shape) > 3 else 1), shape[-1]
    step = (1, 1) if kind.overlapping else (kind.rows, kind.columns)
    found = []
    for out, into in product(range(shape[0]), range(shape[1])):
        for top, left in product(range(0, height, step[0]), range(0, width, step[1])):
            if kind.overlapping and (top + kind.rows > height or left + kind.columns > width):
                continue
            cells = product(range(top, min(top + kind.rows, height)),
                            range(left, min(left + kind.columns, width)))  # fmt: skip
            found.append([(out, into, *cell[-(len(shape) - 2) :]) for cell in cells])
    return found


def slow_mask(scores: torch.Tensor, name: str, sparsity: float) -> torch.Tensor:
    """Take the lowest sub-block away until enough weights are covered by none that is left."""
    kind = parse_granularity(name)
    parts = parts_of(tuple(scores.shape), name)
    means = [sum(float(scores[place]) for place in part) / len(part) for part in parts]
    order = sorted(range(len(parts)), key=lambda number: (means[number], number))
    asked = num_pruned(sparsity, scores.numel())
    asked = min(asked, scores.numel() - kind.rows * kind.columns)
    mask = torch.ones(scores.shape, dtype=torch.bool)
    for gone in range(len(parts)):
        mask[:] = False
        for number in order[gone:]:
            for place in parts[number]:
                mask[place] = True
        if int((~mask).sum()) >= asked:
            break
    return mask


NAMES = ("subblock:2x2", "subblock:4x4", "subblock:1x3", "subblock:2x2:disjoint",
         "subblock:3x2:disjoint", "subblock:3x3")  # fmt: skip


@st.composite
def layers(draw) -> tuple[torch.Tensor, str]:
    name = draw(st.sampled_from(NAMES))
    kind = parse_granularity(name)
    kernel = [draw(st.integers(kind.rows, 5)), draw(st.integers(kind.columns, 5))]
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 2)), *kernel)
    few = draw(st.booleans())  # few different scores: many are equal
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    scores = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (scores * 3).round() if few else scores, name


@given(layers(), st.floats(0, 0.99))
def test_masks_agree_with_the_loop(layer, sparsity):
    scores, name = layer
    kind = parse_granularity(name)
    if why_not(scores.shape, kind):
        assert len(parts_of(tuple(scores.shape), name)) == 1
        return
    mask = pattern_mask(scores, kind, sparsity)
    assert torch.equal(mask, slow_mask(scores, name, sparsity))


@given(layers(), st.floats(0, 0.99))
def test_counts_are_those_told_and_kept_weights_lie_in_whole_sub_blocks(layer, sparsity):
    scores, name = layer
    shape, kind = tuple(scores.shape), parse_granularity(name)
    if why_not(shape, kind):
        return
    mask = pattern_mask(scores, kind, sparsity)
    gone, told = int((~mask).sum()), num_pruned_weights(shape, kind, sparsity)
    assert told <= gone < told + kind.rows * kind.columns
    assert nearest_sparsity(shape, kind, sparsity) == told / scores.numel()
    assert num_units(shape, kind) == scores.numel()
    whole = torch.zeros(shape, dtype=torch.bool)
    for part in parts_of(shape, name):
        if all(mask[place] for place in part):
            for place in part:
                whole[place] = True
    assert torch.equal(whole, mask)
    assert mask.any()


@given(layers(), st.floats(0.05, 0.9))
def test_weights_go_in_the_order_of_their_last_sub_block(layer, sparsity):
    scores, name = layer
    kind = parse_granularity(name)
    if why_not(scores.shape, kind):
        return
    order = unit_scores(scores, kind).view_as(scores)
    mask = pattern_mask(scores, kind, sparsity)
    if mask.all():
        return
    assert order[~mask].max() <= order[mask].min()


def test_a_kernel_by_hand():
    scores = torch.zeros(1, 1, 5, 5)
    scores[0, 0, :4, :4] = 1
    scores[0, 0, 4, 4] = 2
    kind = parse_granularity("subblock:4x4")
    # Means: top left 16/16, the others 12/16, 12/16 and 11/16 (9 ones and the two).
    mask = pattern_mask(scores, kind, 0.04)
    assert mask.int().tolist()[0][0] == [
        [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]
    ]  # fmt: skip
    mask = pattern_mask(scores, kind, 0.3)
    assert mask.int().tolist()[0][0] == [[1, 1, 1, 1, 0]] * 4 + [[0] * 5]


def test_disjoint_sub_blocks_are_blocks_inside_kernels_where_they_fit():
    scores = torch.rand(6, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    for sparsity in (0.1, 0.5, 0.9):
        ours = pattern_mask(scores, parse_granularity("subblock:2x2:disjoint"), sparsity)
        count = int((~ours).sum()) // 4
        theirs = pattern_mask(scores, parse_granularity("block:2x2:kernel"), count / (6 * 4 * 4))
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("shape", "name", "reason"),
    [
        ((8, 8), "subblock:2x2", "It has no kernels."),
        ((8, 8, 1, 1), "subblock:2x2", "Its kernel is 1 x 1: a single weight."),
        ((8, 8, 3, 3), "subblock:4x4",
         "Its kernel is 3 x 3, smaller than a sub-block of 4 x 4."),
        ((8, 8, 5), "subblock:2x2", "Its kernel is 5, smaller than a sub-block of 2 x 2."),
        ((8, 8, 5), "subblock:1x2", ""),
        ((8, 8, 3, 3, 3), "subblock:2x2",
         "Its kernel is 3 x 3 x 3; sub-blocks have rows and columns."),
        ((1, 1, 3, 3), "subblock:3x3",
         "It is a single sub-block, and a layer keeps at least one."),
        ((8, 8, 3, 3), "subblock:3x3", ""), ((1, 1, 5, 5), "subblock:4x4", ""),
    ],
)  # fmt: skip
def test_layers_without_such_sub_blocks_say_why(shape, name, reason):
    assert why_not(shape, parse_granularity(name)) == reason


@pytest.mark.parametrize("name", ["subblock:4x4", "subblock:2x2:disjoint"])
def test_a_network_loses_what_its_plan_says(name):
    model = load_model("fashion-lenet5")
    groups = find_groups(model, name)
    plan = PruningPlan({"conv1": 0.3, "conv2": 0.7}, name)
    size, pruned = size_of_plan(groups, plan), prune(model, plan, groups)
    left = sum(int(p.count_nonzero()) for p in pruned.model.module.parameters())
    room = 2 * (groups.granularity.rows * groups.granularity.columns - 1)
    assert size.num_nonzero - room <= left <= size.num_nonzero
    reasons = {group.name: group.reason for group in groups.groups if not group.prunable}
    assert reasons == {"fc1": "It has no kernels.", "fc2": "It has no kernels."}


def test_a_network_without_such_kernels_has_nothing_to_prune():
    inspection = inspect(load_model("digits-mlp"))
    assert not layer_groups(inspection, "subblock:2x2").prunable


@pytest.mark.parametrize("method", ["uniform", "global", "lamp"])
@pytest.mark.parametrize("name", ["subblock:3x3", "subblock:2x2:disjoint"])
def test_budgets_hold_for_the_pruned_network_itself(method, name):
    model = small_model()
    plan = allocate(model, method, budget=Budget("params", 0.8), granularity=name)
    kept = sum(int(p.count_nonzero()) for p in prune(model, plan).model.module.parameters())
    total = sum(p.numel() for p in model.module.parameters())
    assert kept <= 0.8 * total
    assert kept > 0.8 * total - 3 * 9
