"""The compressed file: bit for bit back, and nothing read that is not whole."""

import contextlib
import json
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.compression import cluster_tensors, compress, decompress, load_compressed
from workbench.compression.clustering import with_values
from workbench.compression.compressed import MAGIC
from workbench.compression.tuning import CentroidTuning
from workbench.errors import ExportError, LoadError
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_model
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import Pruned


def sparse_state(seed: int, sparsity: float) -> dict[str, torch.Tensor]:
    """The small network's state with a part of its weights at zero."""
    state = small_model(seed).module.state_dict()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in state.items():
        if tensor.ndim >= 2:
            tensor.mul_(torch.rand(tensor.shape, generator=generator) >= sparsity)
            state[name] = tensor
    return state


def forged(content: bytes, change) -> bytes:
    """A file with another header, and a checksum that is right."""
    length = int.from_bytes(content[4:7], "big")
    header = json.loads(zlib.decompress(content[7 : 7 + length], -15))
    change(header)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(json.dumps(header).encode()) + packer.flush()
    body = MAGIC + len(packed).to_bytes(3, "big") + packed + content[7 + length : -4]
    return body + zlib.crc32(body).to_bytes(4, "big")


@pytest.fixture(scope="module")
def content() -> bytes:
    model = small_model()
    return compress(model, cluster_tensors(sparse_state(0, 0.7), 3))


@given(
    seed=st.integers(0, 50), bits=st.integers(2, 8), sparsity=st.floats(0, 1),
    coding=st.sampled_from(["range", "huffman"]),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_a_file_restores_every_tensor_bit_for_bit(seed, bits, sparsity, coding):
    state = sparse_state(seed, sparsity)
    clustered = cluster_tensors(state, bits)
    expected = clustered.tensors()
    found = decompress(compress(small_model(), clustered, coding)).clustered.tensors()
    assert list(found) == list(state)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == state[name].dtype


def test_zeros_stay_zero_and_a_layer_has_few_values():
    state = sparse_state(3, 0.6)
    tensors = cluster_tensors(state, 2).tensors()
    for name, tensor in state.items():
        if tensor.ndim >= 2:
            assert torch.equal(tensors[name] == 0, tensor == 0)
            assert len(tensors[name].unique()) <= 4
        else:
            torch.testing.assert_close(tensors[name], tensor, rtol=2**-10, atol=0)


def test_numbers_that_16_bits_cannot_hold_keep_32():
    state = {"norm.var": torch.tensor([1e-9, 1.0, 3e5]), "w": torch.tensor([[1e-8, 2e7], [0, 1]])}
    found = decompress(compress(small_model(), cluster_tensors(state, 4))).clustered.tensors()
    assert torch.equal(found["norm.var"], state["norm.var"])
    assert torch.equal(found["w"], state["w"])


def test_shared_weights_are_written_once():
    first, second = nn.Linear(40, 40), nn.Linear(40, 40)
    second.weight = first.weight
    module = nn.Sequential(first, second)
    shared = compress(small_model(), cluster_tensors(module.state_dict(), 5))
    second.weight = nn.Parameter(first.weight.detach().clone())
    apart = compress(small_model(), cluster_tensors(module.state_dict(), 5))
    assert len(shared) < 0.6 * len(apart)
    tensors = decompress(shared).clustered.tensors()
    assert torch.equal(tensors["0.weight"], tensors["1.weight"])


def test_a_sample_is_restored_with_all_that_it_is(tmp_path):
    model = load_model("digits-mlp")
    clustered = cluster_tensors(model.module.state_dict(), 4)
    path = tmp_path / "digits.pwc"
    path.write_bytes(compress(model, clustered))
    found = load_compressed(path)
    assert (found.name, found.architecture, found.arguments, found.data_name) == (
        model.name, model.architecture, model.arguments, model.data_name
    )  # fmt: skip
    for name, tensor in clustered.tensors().items():
        assert torch.equal(found.module.state_dict()[name], tensor)


def test_a_factory_s_network_needs_the_factory(tmp_path):
    model = small_model()
    path = tmp_path / "small.pwc"
    path.write_bytes(compress(model, cluster_tensors(model.module.state_dict(), 4)))
    with pytest.raises(LoadError, match="came from a factory"):
        load_compressed(path)
    found = load_compressed(path, small_model(7))
    assert len(found.module.get_parameter("fc.weight").unique()) <= 16
    other = Model("other", nn.Linear(2, 2), (1, 1, 2), 2)
    with pytest.raises(LoadError, match="does not fit other"):
        load_compressed(path, other)


@pytest.mark.parametrize("place", [0, 5, 40, -10, -1])
def test_one_changed_byte_is_noticed(content, place):
    damaged = bytearray(content)
    damaged[place] ^= 16
    with pytest.raises(LoadError, match=r"is damaged: its checksum|is no compressed model"):
        decompress(bytes(damaged), "x.pwc")


@pytest.mark.parametrize("length", [0, 3, 7, 10, 100])
def test_a_file_cut_short_is_refused(content, length):
    with pytest.raises(LoadError):
        decompress(content[:length], "x.pwc")


def set_in_row(number: int, place: int, value: object):
    def change(header):
        header["t"][number][place] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in_row(0, 1, [100_000, 100_000]), "more than are read"),
        (set_in_row(0, 1, [4_000, 4_000]), "too short for"),
        (set_in_row(0, 1, [-1, 4]), "has no shape"),
        (set_in_row(0, 1, [1] * 9), "has no shape"),
        (set_in_row(0, 2, "x"), "is of kind 'x'"),
        (set_in_row(0, 2, []), "is of kind"),
        (set_in_row(0, 3, 256), "has too many values"),
        (set_in_row(0, 3, True), "has too many values"),
        (set_in_row(1, 1, [3_000]), "ends within 'conv1.bias'"),
        (set_in_row(1, 0, "conv1.weight"), "two tensors of one name"),
        (lambda header: header["t"].append(["again", [], "=", 99]), "that is not there"),
        (lambda header: header["t"].append(["again", [], "=", 0, 1]), None),
        (lambda header: header.update(c="zip"), "its coding is 'zip'"),
        (lambda header: header.update(n="ten"), "its num_classes is no int"),
        (lambda header: header.update(t=5), "too many tensors"),
        (lambda header: header.update(t=[1]), "describes a tensor that is none"),
        (lambda header: header.pop("m"), "its header is not whole"),
        (lambda header: header["t"].append(["x", [10**12, 0], "e", 0]), "is empty"),
    ],
)
def test_a_forged_header_is_refused_with_a_sentence(content, change, message):
    changed = forged(content, change)
    if message is None:
        assert "again" in decompress(changed).clustered.tensors()
        return
    with pytest.raises(LoadError, match=message):
        decompress(changed, "x.pwc")


@given(noise=st.binary(min_size=1, max_size=60), place=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_noise_behind_a_right_checksum_never_breaks_the_reader(noise, place):
    whole = compress(small_model(), cluster_tensors(sparse_state(0, 0.7), 3))
    body = bytearray(whole[:-4])
    place %= len(body)
    body[place : place + len(noise)] = noise
    with contextlib.suppress(LoadError):
        decompress(bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "big"))


def test_a_header_that_unfolds_without_end_is_refused():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b" " * 50_000_000) + packer.flush()
    body = MAGIC + len(packed).to_bytes(3, "big") + packed
    with pytest.raises(LoadError, match="header that cannot be read"):
        decompress(body + zlib.crc32(body).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), "w is float64, not float32"),
        (torch.tensor([[1.0, float("nan")]]), "NaN or infinite"),
        (torch.zeros(2, dtype=torch.int32), "w is int32, which is not kept"),
    ],
)
def test_what_cannot_be_kept_is_refused(tensor, message):
    with pytest.raises(ExportError, match=message):
        cluster_tensors({"w": tensor}, 4)


# --- tuning ---


def test_the_gradient_of_a_value_is_the_sum_over_its_weights():
    """Oracle: autograd through the table itself, as if the values were the parameters."""
    model = small_model()
    clustered = cluster_tensors(sparse_state(0, 0.5), 2)
    module = model.copy_module()
    module.load_state_dict(clustered.tensors())
    addition = CentroidTuning(clustered)
    addition.prepare_(module, 1)
    images = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    module(images).square().sum().backward()
    name = "conv2.weight"
    entry = clustered.clustered[name]
    values = torch.from_numpy(entry.values).requires_grad_()
    table = torch.cat([torch.zeros(1), values])
    codes = torch.from_numpy(entry.codes.astype(np.int64))
    scores = torch.func.functional_call(module, {name: table[codes]}, images)
    scores.square().sum().backward()
    gradient = module.get_parameter(name).grad
    for code, expected in enumerate(values.grad, start=1):
        own = gradient[codes == code]
        torch.testing.assert_close(own, expected.expand_as(own), rtol=1e-4, atol=1e-6)
    assert not gradient[codes == 0].any()


def test_tuning_moves_values_and_keeps_codes_and_zeros():
    model = small_model()
    clustered = cluster_tensors(sparse_state(0, 0.5), 2)
    module = model.copy_module()
    module.load_state_dict(clustered.tensors())
    start = Pruned(model.with_module(module), {}, PruningPlan(), model)
    tuned = finetune(
        start, stripes_data(), FineTuneSettings(optimizer="adam", epochs=4, batch_size=16),
        additions=[CentroidTuning(clustered)],
    )  # fmt: skip
    state = tuned.pruned.model.module.state_dict()
    after = with_values(clustered, state)
    moved = False
    for name, entry in clustered.clustered.items():
        weight = state[name].numpy()
        assert not weight[entry.codes == 0].any()
        assert len(np.unique(weight[entry.codes != 0])) <= len(entry.values)
        assert np.array_equal(after.clustered[name].codes, entry.codes)
        np.testing.assert_allclose(after.clustered[name].tensor(), weight, rtol=2**-10)
        moved |= not np.array_equal(after.clustered[name].values, entry.values)
    assert moved or tuned.history[0]["accuracy"] >= max(e["accuracy"] for e in tuned.history)
    assert tuned.validation.accuracy >= tuned.history[0]["accuracy"]
