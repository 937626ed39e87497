"""Encodings: what is written can be read, and takes what arithmetic says."""

import gzip
import math

import numpy as np
import pytest
import safetensors.torch
import torch
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model
from workbench.accounting import tensor_bytes
from workbench.encodings import break_even, encodings_for, measure_encodings
from workbench.encodings.blocks import Blocks
from workbench.encodings.layouts import Bitmask, Coo, Csr, Dense, Int8, NmPacked
from workbench.encodings.sizes import on_disk
from workbench.granularity import EXAMPLES, parse_granularity
from workbench.patterns import expand, num_units

WEIGHT = parse_granularity("weight")
LOSSLESS = [
    Dense(32), Bitmask(), Csr(), Csr(narrow=True), Coo(), Blocks(4, 4), Blocks(2, 3),
    Blocks(2, 2, inside_kernels=True), Blocks(),
]  # fmt: skip
SPARSE = LOSSLESS[1:]
shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)),
)


def sparse_tensor(shape: tuple[int, ...], sparsity: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator)
    return values * (torch.rand(shape, generator=generator) >= sparsity)


def nm_tensor(shape: tuple[int, ...], n: int, m: int, seed: int) -> torch.Tensor:
    """At most n of every m inputs, the slow way."""
    weight = sparse_tensor(shape, 0, seed)
    for line in weight.movedim(1, -1).reshape(-1, shape[1]) if weight.ndim == 2 else ():
        for start in range(0, shape[1], m):
            line[start : start + m][torch.randperm(len(line[start : start + m]))[n:]] = 0
    if weight.ndim > 2:
        for out in range(shape[0]):
            for place in np.ndindex(*shape[2:]):
                for start in range(0, shape[1], m):
                    for drop in range(start + n, min(start + m, shape[1])):
                        weight[(out, drop, *place)] = 0
    return weight


@given(shapes, st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.integers(0, 99), st.sampled_from(LOSSLESS))
def test_what_is_written_is_read_back_and_takes_what_arithmetic_says(shape, sparsity, seed, layout):
    weight = sparse_tensor(shape, sparsity, seed)
    content = layout.encode(weight)
    assert len(content) == layout.num_bytes(weight)
    assert torch.equal(layout.decode(content, shape), weight)


@given(shapes, st.sampled_from([(1, 2), (2, 4), (1, 4), (4, 8), (3, 7)]), st.integers(0, 99))
def test_packed_groups_are_read_back(shape, pattern, seed):
    layout = NmPacked(*pattern)
    weight = nm_tensor(shape, *pattern, seed)
    assert layout.fits(weight) == (shape[1] > pattern[0])
    content = layout.encode(weight)
    assert len(content) == layout.num_bytes(weight)
    assert torch.equal(layout.decode(content, shape), weight)


def test_packed_groups_by_hand():
    weight = torch.tensor([[0, 5.0, 0, 7], [1, 0, 0, 0]])
    content = NmPacked(2, 4).encode(weight)
    # places 1, 3 and 0, 1 (a free place fills up), two bits each, low bit first: 10 11 00 10
    assert content[16:] == bytes([0b10110010])
    assert np.frombuffer(content[:16], "<f4").tolist() == [5, 7, 1, 0]
    assert not NmPacked(2, 4).fits(torch.tensor([[1.0, 1, 1, 0]]))


@given(shapes, st.integers(0, 99))
def test_rounding_stays_within_its_bounds(shape, seed):
    weight = sparse_tensor(shape, 0.5, seed)
    for layout in (Dense(16), Int8()):
        content = layout.encode(weight)
        assert len(content) == layout.num_bytes(weight)
        back = layout.decode(content, shape)
        assert back[weight == 0].count_nonzero() == 0
        if isinstance(layout, Dense):
            assert torch.equal(back, weight.half().float())
        else:
            scales = weight.flatten(1).abs().amax(1) / 127
            assert (back - weight).flatten(1).abs().le(scales[:, None] * 0.5001).all()


# Needed with torch 2.13, 2026-11-22: both constructors call themselves beta.
@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support is in beta")
def test_csr_and_blocks_are_those_of_pytorch():
    weight = sparse_tensor((8, 12), 0.8, 1)
    csr = weight.to_sparse_csr()
    parts = [csr.crow_indices().int(), csr.col_indices().int(), csr.values()]
    assert Csr().encode(weight) == b"".join(part.numpy().tobytes() for part in parts)
    bsr = weight.to_sparse_bsr((4, 3))
    parts = [bsr.crow_indices().int(), bsr.col_indices().int(), bsr.values()]
    assert Blocks(4, 3).encode(weight) == b"".join(part.numpy().tobytes() for part in parts)


@given(st.integers(1, 400), st.floats(0, 1))
def test_a_bit_mask_takes_what_the_stored_size_of_a_plan_says(count, sparsity):
    weight = sparse_tensor((1, count), sparsity, 3)
    kept = int(weight.count_nonzero())
    assert min(4 * count, Bitmask().num_bytes(weight)) == tensor_bytes(count, kept)


@pytest.mark.parametrize("name", ["block:4x4", "block:2x2:kernel", "kernel"])
def test_blocks_are_those_that_a_plan_prunes(name):
    granularity, shape = parse_granularity(name), (8, 6, 3, 3)
    layout = encodings_for(granularity)["block"].layout
    units = torch.rand(num_units(shape, granularity), generator=torch.manual_seed(0)) < 0.3
    weight = sparse_tensor(shape, 0, 0) * expand(units, shape, granularity)
    down = 2 if name == "block:4x4" else 8
    size = {"block:4x4": 16, "block:2x2:kernel": 4, "kernel": 9}[name]
    assert layout.num_bytes(weight) == 4 * (down + 1) + (4 + 4 * size) * int(units.sum())


def test_break_even_in_closed_form():
    big = [(256, 256, 3, 3)]
    assert break_even(Bitmask(), big) == pytest.approx(1 / 32)
    assert break_even(Coo(), big) == pytest.approx(2 / 3)
    assert break_even(NmPacked(2, 4), big) == pytest.approx(2 / 34)
    assert break_even(Dense(16), big) == break_even(Int8(), big) == 0
    pointers = 257 * 4 / (256 * 256 * 9)  # bytes a weight
    assert break_even(Csr(), big) == pytest.approx(1 - (4 - pointers) / 8)
    assert break_even(Csr(narrow=True), big) == pytest.approx(1 - (4 - pointers) / 6)
    assert break_even(Blocks(4, 4), big) == pytest.approx(1 / 17, abs=1e-3)
    assert break_even(Csr(), [(5, 1)]) is None, "the pointers alone take more than the weights"


@given(st.lists(shapes, min_size=1, max_size=3), st.sampled_from(SPARSE[:4]))
def test_on_either_side_of_break_even_the_real_bytes_are_more_and_fewer(many, layout):
    even = break_even(layout, many)
    count = sum(math.prod(shape) for shape in many)

    def total(kept_of):
        tensors = [torch.zeros(shape) for shape in many]
        for tensor in tensors:
            tensor.view(-1)[: kept_of(tensor.numel())] = 1
        return sum(len(layout.encode(tensor)) for tensor in tensors)

    if even is None:
        assert total(lambda n: 0) >= 4 * count
    else:
        denser = total(lambda n: min(n, math.ceil((1 - even) * n + 1e-9)))
        sparser = total(lambda n: max(0, math.floor((1 - even) * n - 1e-9)))
        assert sparser <= 4 * count
        assert denser >= 4 * count or even == 0


def state(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    return tensors


def test_a_network_by_hand():
    dense = state(
        weight=torch.ones(4, 4), bias=torch.ones(4), other=torch.ones(2, 8),
        steps=torch.tensor(7),
    )  # fmt: skip
    pruned = dense | {"weight": torch.eye(4)}
    sizes = measure_encodings(dense, pruned, WEIGHT)
    size = {name: entry.num_bytes for name, entry in sizes.by_name.items()}
    rest = 4 * 4 + 8  # bias and counter
    assert size["fp32"] == size["removed"] == 4 * 32 + rest
    assert size["fp16"] == 2 * 32 + 2 * 4 + 8
    assert size["int8"] == 32 + 4 * 4 + 4 * 2 + 2 * 4 + 8
    assert size["bitmask"] == 2 + 4 * 4 + 64 + rest, "the other weight has no zero: dense"
    assert size["csr"] == 4 * 5 + 8 * 4 + 64 + rest
    assert size["csr_narrow"] == 1 * 5 + 5 * 4 + 64 + rest
    assert size["coo"] == 12 * 4 + 64 + rest
    assert size["nm"] == 8 * 4 + 2 + 64 + rest, "one of four fits two of four"
    assert size["block"] == 4 * 2 + 4 + 64 + 64 + rest
    assert (sizes.sparsity, sizes.removed) == (12 / 32, 0)
    assert sizes.by_name["nm"].applies
    assert not sizes.by_name["removed"].applies


def test_what_no_group_holds_stays_dense_and_says_so():
    dense = state(weight=torch.ones(2, 4))
    pruned = state(weight=torch.tensor([[0.0, 1, 1, 1], [1, 1, 1, 1]]))
    packed = measure_encodings(dense, pruned, WEIGHT).by_name["nm"]
    assert (packed.num_bytes, packed.applies) == (32, False)
    three = parse_granularity("nm:3:4")
    weight = torch.tensor([[0.0, 1, 1, 1], [1, 0, 1, 1]])
    packed = measure_encodings(dense, state(weight=weight), three).by_name["nm"]
    assert (packed.num_bytes, packed.applies) == (24 + 2, True)


def test_fewer_channels_are_smaller_in_every_encoding():
    dense = state(weight=torch.rand(8, 8) + 1, bias=torch.ones(8))
    thin = {name: tensor[:4].clone() for name, tensor in dense.items()}
    sizes = measure_encodings(dense, thin, parse_granularity("channel"))
    assert sizes.dense_bytes == 4 * 72
    assert sizes.by_name["removed"].num_bytes == 4 * 36
    assert sizes.by_name["bitmask"].num_bytes == 4 * 36, "there are no zeros"
    assert (sizes.sparsity, sizes.removed) == (0, 0.5)
    assert sizes.by_name["removed"].applies


def test_the_file_is_the_real_one_compressed_for_real():
    model = small_model()
    dense = model.module.state_dict()
    pruned = dense | {"conv2.weight": torch.zeros_like(dense["conv2.weight"])}
    sizes = measure_encodings(dense, pruned, WEIGHT)
    content = safetensors.torch.save(pruned, {"format": "pt"})
    assert sizes.file_bytes == sizes.dense_file_bytes == len(content) == on_disk(content)
    assert sizes.by_name["gzip"].num_bytes == len(gzip.compress(content, 6))
    assert sizes.by_name["zstd"].num_bytes == len(zstandard.compress(content, 3))
    assert sizes.zipped_bytes == min(
        len(gzip.compress(content, 6)), len(zstandard.compress(content))
    )
    unpruned = safetensors.torch.save(dense, {"format": "pt"})
    packed = [len(gzip.compress(unpruned, 6)), len(zstandard.compress(unpruned, 3))]
    assert sizes.dense_zipped_bytes == min(packed)
    back = safetensors.torch.load(zstandard.decompress(zstandard.compress(content, 3)))
    assert all(torch.equal(back[name], tensor) for name, tensor in pruned.items())


@pytest.mark.parametrize("name", [*EXAMPLES, "nm:1:4", "nm:4:8", "block:2x2:kernel"])
def test_every_encoding_says_how_it_stores_and_who_computes_with_it(name):
    dense = small_model().module.state_dict()
    granularity = parse_granularity(name)
    entries = encodings_for(granularity)
    sizes = measure_encodings(dense, dense, granularity)
    assert [size.name for size in sizes.sizes] == list(entries)
    assert list(sizes.to_dict()["encodings"]) == list(entries)
    for entry in entries.values():
        assert entry.summary.endswith(".")
        assert entry.runtimes.endswith(".")
        assert "{" not in entry.runtimes
    on_gpus = "Ampere" in entries["nm"].runtimes
    assert on_gpus == (name != "nm:4:8")
    assert (entries["nm"].speed == "some hardware") == on_gpus


def test_a_dense_network_takes_the_same_in_every_encoding_of_zeros():
    dense = small_model().module.state_dict()
    sizes = measure_encodings(dense, dense, WEIGHT)
    for name in ("bitmask", "csr", "csr_narrow", "coo", "nm", "block", "removed"):
        assert sizes.by_name[name].num_bytes == sizes.dense_bytes
    assert sizes.by_name["csr"].break_even > 0.5
