"""The model and what it is named by."""

import pytest
import torch
from torch import nn

from workbench.model import Model, digest_of_tensors


def model(seed=0, **changes):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    values = {"architecture": "mlp", "arguments": {"hidden": [2]}, "card": {"notes": ["x"]}}
    return Model("net", network, (1, 2, 2), 3, **values | changes)


def test_digest_names_weights_wiring_and_image_shape():
    same = {model().digest, model(0).digest, model(card={}).digest}
    assert len(same) == 1
    others = {
        model(1).digest, model(architecture="").digest, model(arguments={"hidden": [3]}).digest,
    }  # fmt: skip
    assert len(others | same) == 4


def test_digest_does_not_tell_lists_from_tuples():
    assert model(arguments={"hidden": (2,)}).digest == model().digest


def test_digest_sees_buffers_and_single_bits():
    changed = model()
    changed.module[2].running_mean[0] = -0.0
    assert changed.digest != model().digest


@pytest.mark.parametrize(
    "kind", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]
)
def test_digest_of_tensors_reads_every_kind(kind):
    ones, zeros = torch.ones(2, 3).to(kind), torch.zeros(2, 3).to(kind)
    assert digest_of_tensors({"a": ones}) != digest_of_tensors({"a": zeros})
    assert digest_of_tensors({"a": ones}) != digest_of_tensors({"a": ones.T})
    assert digest_of_tensors({"a": ones, "b": zeros}) == digest_of_tensors({"b": zeros, "a": ones})
    assert digest_of_tensors({"a": ones[:0]}) != digest_of_tensors({"a": ones[:1]})


def test_digest_does_not_see_the_order_in_memory():
    weight = torch.arange(6.0).reshape(2, 3)
    strided = weight.T.contiguous().T
    assert strided.stride() != weight.stride()
    assert digest_of_tensors({"a": strided}) == digest_of_tensors({"a": weight})


def test_copies_share_nothing():
    original = model()
    copy = original.copy_module()
    with torch.no_grad():
        copy[1].weight.zero_()
    assert original.module[1].weight.any()


def test_another_module_is_another_model_in_eval_mode():
    original = model()
    other = original.with_module(original.copy_module().train(), "pruned")
    assert not other.module.training
    assert (other.name, other.input_shape, other.architecture) == ("pruned", (1, 2, 2), "mlp")
    assert not other.card
    assert other.digest == original.digest
