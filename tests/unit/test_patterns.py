"""Patterns: masks by hand, and against a slow implementation that lists the places of each unit."""

from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import PlanError
from workbench.granularity import EXAMPLES, Granularity, parse_granularity
from workbench.patterns import (
    expand,
    lowest_pruned,
    nearest_sparsity,
    num_pruned_weights,
    num_units,
    pattern_mask,
    unit_scores,
    why_not,
)

Place = tuple[int, ...]


def units_of(shape: Place, granularity: Granularity) -> list[list[Place]]:
    """The places of each unit, one after the other, straight from the definition."""
    units: dict[Place, list[Place]] = {}
    for place in product(*map(range, shape)):
        out, into, *kernel = place
        if granularity.kind == "weight":
            key = place
        elif granularity.kind == "kernel":
            key = (out, into)
        elif granularity.kind == "nm":
            key = (out, *kernel, into // granularity.m)
        elif granularity.inside_kernels:
            column = kernel[-1] if kernel else 0
            row = 0
            for size, index in zip(shape[2:-1], kernel[:-1], strict=True):
                row = row * size + index
            key = (out, into, row // granularity.rows, column // granularity.columns)
        else:
            column = into
            for size, index in zip(shape[2:], kernel, strict=True):
                column = column * size + index
            key = (out // granularity.rows, column // granularity.columns)
        units.setdefault(key, []).append(place)
    return [sorted(units[key]) for key in sorted(units)]


def mean(scores: torch.Tensor, unit: list[Place]) -> float:
    return float(sum(scores[place] for place in unit) / len(unit))


def slow_mask(scores: torch.Tensor, granularity: Granularity, sparsity: float) -> torch.Tensor:
    units = units_of(tuple(scores.shape), granularity)
    mask = torch.ones(scores.shape, dtype=torch.bool)
    if granularity.kind == "nm":
        dropped = []
        for unit in units:
            order = sorted(range(len(unit)), key=lambda i, u=unit: (float(scores[u[i]]), i))
            dropped += [unit[i] for i in order[: max(0, len(unit) - granularity.n)]]
        if 2 * sparsity * scores.numel() < len(dropped):
            dropped = []
    else:
        order = sorted(range(len(units)), key=lambda i: (mean(scores, units[i]), i))
        count = min(int(sparsity * len(units) + 0.5), len(units) - 1)
        dropped = [place for i in order[:count] for place in units[i]]
    for place in dropped:
        mask[place] = False
    return mask


shapes = st.one_of(
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
)
nm_names = st.integers(2, 5).flatmap(
    lambda m: st.integers(1, m - 1).map(lambda n: f"nm:{n}:{m}")
)  # fmt: skip
block_names = st.builds(
    "block:{}x{}{}".format, st.integers(1, 4), st.integers(2, 4), st.sampled_from(["", ":kernel"])
)
granularities = st.one_of(
    st.sampled_from(["weight", "kernel"]), nm_names, block_names
).map(parse_granularity)  # fmt: skip


@st.composite
def scored(draw: st.DrawFn) -> torch.Tensor:
    """Scores of some shape, many of them equal; their sums are exact."""
    shape = draw(shapes)
    size = prod(shape)
    values = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


@given(scored(), granularities, st.floats(0, 0.999))
def test_masks_agree_with_the_definition(
    scores: torch.Tensor, granularity: Granularity, sparsity: float
) -> None:
    mask = pattern_mask(scores, granularity, sparsity)
    assert torch.equal(mask, slow_mask(scores, granularity, sparsity))
    assert mask.any()
    channels_last = scores.transpose(0, -1).contiguous().transpose(0, -1)
    assert torch.equal(mask, pattern_mask(channels_last, granularity, sparsity))


@given(scored(), granularities)
def test_units_agree_with_the_definition(scores: torch.Tensor, granularity: Granularity) -> None:
    units = units_of(tuple(scores.shape), granularity)
    assert num_units(scores.shape, granularity) == len(units)
    means = torch.tensor([mean(scores, unit) for unit in units])
    assert torch.allclose(unit_scores(scores, granularity), means)
    numbers = expand(torch.arange(len(units)), scores.shape, granularity)
    for number, unit in enumerate(units):
        assert all(int(numbers[place]) == number for place in unit)


@given(shapes, granularities, st.floats(0, 0.999))
def test_the_nearest_sparsity_is_met_exactly_and_is_its_own_nearest(
    shape: Place, granularity: Granularity, sparsity: float
) -> None:
    scores = torch.rand(shape)
    near = nearest_sparsity(shape, granularity, sparsity)
    assert nearest_sparsity(shape, granularity, near) == near
    mask = pattern_mask(scores, granularity, sparsity)
    assert torch.equal(mask, pattern_mask(scores, granularity, near))
    pruned = int((~mask).sum())
    if granularity.kind == "nm":
        assert pruned == near * scores.numel()
    else:
        units = num_units(shape, granularity)
        kept = unit_scores(mask.float(), granularity)
        assert int((kept == 0).sum()) == round(near * units) < units
        assert int((kept == 1).sum()) + int((kept == 0).sum()) == units
    counted = num_pruned_weights(shape, granularity, sparsity)
    sizes = sorted(len(unit) for unit in units_of(shape, granularity))
    if granularity.kind == "nm" or sizes[0] == sizes[-1]:
        assert counted == pruned
    else:
        count = round(near * len(sizes))
        assert sum(sizes[:count]) <= counted <= sum(sizes[len(sizes) - count :])


@given(shapes, granularities)
def test_a_weight_that_can_be_cut_can_lose_something_and_others_say_why_not(
    shape: Place, granularity: Granularity
) -> None:
    pruned = not pattern_mask(torch.rand(shape), granularity, 0.999).all()
    reason = why_not(shape, granularity)
    if not reason:
        assert pruned
    elif prod(shape[2:]) > 1 and not granularity.inside_kernels:
        assert not pruned
    assert not reason or reason.endswith(".")


@given(st.floats(0, 0.999))
def test_single_weights_are_masked_as_ever(sparsity: float) -> None:
    scores = torch.rand(4, 3, 3, 3)
    count = min(int(sparsity * scores.numel() + 0.5), scores.numel() - 1)
    mask = pattern_mask(scores, parse_granularity("weight"), sparsity)
    assert torch.equal(mask, lowest_pruned(scores, count))


def test_two_of_four_by_hand_with_an_incomplete_group() -> None:
    scores = torch.tensor([[4.0, 1, 3, 2, 9, 8, 7], [1, 1, 1, 1, 5, 5, 5]])
    expected = torch.tensor([[1, 0, 1, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1, 1]]).bool()
    two_of_four = parse_granularity("nm:2:4")
    assert torch.equal(pattern_mask(scores, two_of_four, 0.5), expected)
    assert nearest_sparsity(scores.shape, two_of_four, 0.5) == 3 / 7
    assert pattern_mask(scores, two_of_four, 0.2).all()


def test_groups_of_a_convolution_run_along_its_inputs() -> None:
    scores = torch.rand(3, 8, 3, 3)
    kept = pattern_mask(scores, parse_granularity("nm:1:4"), 0.75)
    assert torch.equal(kept.view(3, 2, 4, 3, 3).sum(2), torch.ones(3, 2, 3, 3).long())


def test_a_small_block_at_the_edge_is_judged_by_its_mean() -> None:
    scores = torch.tensor([[2.0, 2, 3], [2, 2, 3], [1, 1, 4]])
    mask = pattern_mask(scores, parse_granularity("block:2x2"), 0.25)
    assert mask.tolist() == [[True] * 3, [True] * 3, [False, False, True]]


def test_blocks_inside_kernels_by_hand() -> None:
    scores = torch.tensor([[[[1.0, 1, 9], [1, 1, 9], [9, 9, 9]]]])
    mask = pattern_mask(scores, parse_granularity("block:2x2:kernel"), 0.25)
    assert mask[0, 0].tolist() == [[False, False, True], [False, False, True], [True] * 3]


@pytest.mark.parametrize("name", ["weight", "nm:2:4", "block:2x3", "block:2x2:kernel", "kernel"])
def test_every_layer_keeps_something_at_the_highest_sparsity(name: str) -> None:
    mask = pattern_mask(torch.rand(2, 4, 3, 3), parse_granularity(name), 0.999999)
    assert mask.any()
    assert not mask.all()


@pytest.mark.parametrize(
    ("shape", "name", "reason"),
    [
        ((8, 8), "kernel", "It has no kernels."),
        ((8, 8, 1, 1), "kernel", "Its kernel is 1 x 1: a single weight."),
        ((8, 8, 1), "block:2x2:kernel", "Its kernel is 1: a single weight."),
        ((1, 1, 3, 3), "kernel", "It is a single kernel, and a layer keeps at least one."),
        ((4, 4), "block:8x8", "It is a single block, and a layer keeps at least one."),
        ((8, 1, 3, 3), "nm:1:4", "Each of its outputs has 1 input; 1:4 keeps 1 of every 4, so "
         "nothing would go."),
        ((8, 2), "nm:2:4", "Each of its outputs has 2 inputs; 2:4 keeps 2 of every 4, so nothing "
         "would go."),
        ((8, 3), "nm:2:4", ""), ((8, 8), "weight", ""), ((2, 1, 3, 3), "kernel", ""),
    ],
)  # fmt: skip
def test_layers_that_a_pattern_cannot_cut_say_why(shape: Place, name: str, reason: str) -> None:
    assert why_not(shape, parse_granularity(name)) == reason


@pytest.mark.parametrize("name", [*EXAMPLES, "block:2x2:kernel"])
def test_granularities_name_themselves(name: str) -> None:
    granularity = parse_granularity(name)
    assert granularity.name == name
    assert granularity.structured == (name == "channel")
    assert granularity.summary.endswith(".")
    assert granularity.title
    unit = {"nm": "N:M group", "subblock": "weight"}.get(granularity.kind, granularity.kind)
    assert granularity.unit == unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chanel", "There is no granularity 'chanel'. Did you mean 'channel'? Choose one of: "
         "weight, nm:2:4, block:4x4, subblock:2x2, kernel, channel."),
        ("nm:4:2", "Granularity 'nm:4:2' keeps 4 of every 2 weights. Choose N:M with "
         "1 <= N < M <= 64, such as nm:2:4."),
        ("block:1x1", "Granularity 'block:1x1' asks for blocks of 1 x 1. Choose 1 to 256 rows "
         "and columns, at least 2 weights in all, such as block:4x4."),
        ("subblock:1x1", "Granularity 'subblock:1x1' asks for blocks of 1 x 1. Choose 1 to 256 "
         "rows and columns, at least 2 weights in all, such as subblock:2x2."),
        (7, "The granularity is 7. Write one of: weight, nm:2:4, block:4x4, subblock:2x2, kernel, "
         "channel."),
    ],
)  # fmt: skip
def test_unknown_granularities_are_refused(text: object, message: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse_granularity(text)
    assert str(refused.value) == message
