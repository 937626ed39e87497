"""Replaying a network call by call against the network itself."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.loading import load_model
from workbench.repair import reestimate_batch_norm_
from workbench.tape import Statistics, Tape, UnrepeatableError

SAMPLES = (
    "digits-mlp", "fashion-lenet5", "fashion-resnet20", "fashion-mobilenet", "fashion-vit",
    "fashion-gru",
)  # fmt: skip


class Twisted(nn.Module):
    """Everything a forward written in Python may do without looking at values."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        nn.init.uniform_(self.norm.bias, 0.5, 1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.full((6, 1, 1), 0.7))
        self.register_buffer("shift", torch.linspace(0, 1, 6).view(6, 1, 1))
        self.head = nn.Linear(6, 4)
        self.seen = 0

    def forward(self, images):
        x = F.relu(self.norm(self.first(images)), inplace=True)
        y = x
        for _ in range(int(images.shape[1]) + 1):
            y = self.norm(self.second(y))
            y += x  # in place, on a tensor that others hold as well
        left, right = y.chunk(2, dim=1)
        y = torch.cat([right * 2, 1 - left], dim=1)
        y[:, 0] = 0.5
        y = y * self.scale + self.shift
        y.clamp_(min=0)
        both = {"a": y.mean((2, 3)), "b": [y.amax((2, 3))]}
        if images.dim() == 4:
            self.seen += 1
        return self.head(both["a"] + both["b"][0]) + self.second.weight.sum()


def _images(size=5, shape=(1, 8, 8)):
    return torch.randn(size, *shape, generator=torch.Generator().manual_seed(0))


def _twisted():
    torch.manual_seed(3)
    net = Twisted()
    net(torch.randn(64, 1, 8, 8))  # statistics that are not 0 and 1
    return net.eval()


def _with(module, changed):
    other = copy.deepcopy(module)
    for name, tensor in changed.items():
        dict([*other.named_parameters(), *other.named_buffers()])[name].data.copy_(tensor)
    return other


def _thinned(module, name):
    weight = module.get_parameter(name).detach()
    return {name: weight * (weight.abs() > weight.abs().median())}


@torch.no_grad()
def _scores(module, images):
    return module(images)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_run_call_by_call_gives_its_scores_whatever_weight_changes(name):
    model = load_model(name)
    module, images = model.module, _images(4, model.input_shape)
    tape = Tape(module, images)
    weights = [key for key, tensor in module.named_parameters() if tensor.dim() > 1]
    keep = frozenset().union(*(tape.needs([key]) for key in weights))
    found, values = tape.run(images, keep)
    torch.testing.assert_close(found, _scores(module, images), rtol=1e-4, atol=1e-4)
    for key in weights[:: max(1, len(weights) // 6)]:
        changed = _thinned(module, key)
        wanted = _scores(_with(module, changed), images)
        torch.testing.assert_close(tape.rerun(values, changed), wanted, rtol=1e-4, atol=1e-4)
    again, _ = tape.run(images, ())
    assert torch.equal(again, found)  # no rerun spoilt what is kept


def test_any_way_to_write_a_forward_is_followed():
    net, images = _twisted(), _images()
    tape = Tape(net, images)
    names = [name for name, _ in net.named_parameters()] + ["shift"]
    keep = frozenset().union(*(tape.needs([name]) for name in names))
    found, values = tape.run(images, keep)
    torch.testing.assert_close(found, _scores(net, images), rtol=1e-5, atol=1e-5)
    for name in names:
        changed = {name: dict([*net.named_parameters(), *net.named_buffers()])[name] * 0.5}
        wanted = _scores(_with(net, changed), images)
        assert not torch.allclose(wanted, found, atol=1e-4), name
        torch.testing.assert_close(tape.rerun(values, changed), wanted, rtol=1e-5, atol=1e-5)


def test_the_network_and_other_images_stay_as_they_are():
    net, images = _twisted(), _images()
    before = copy.deepcopy(net.state_dict())
    tape = Tape(net, images)
    other = _images().flip(0)
    copied = other.clone()
    found, _ = tape.run(other)
    torch.testing.assert_close(found, _scores(net, other), rtol=1e-5, atol=1e-5)
    assert torch.equal(other, copied)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_only_what_lies_behind_a_change_is_done_again():
    model = load_model("fashion-resnet20")
    tape = Tape(model.module, _images(2, model.input_shape))
    sizes = [
        len(tape.stretch([f"{name}.weight"]).calls)
        for name in ("stem", "stages.0.0.conv1", "stages.1.0.conv1", "stages.2.2.conv2",
                     "classifier")
    ]  # fmt: skip
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert sizes[0] < 40  # convolution, BatchNorm, sum and ReLU are one call


def test_a_shared_weight_counts_wherever_it_is_used():
    net, images = _twisted(), _images()
    tape = Tape(net, images)
    whole = tape.stretch(["first.weight"]).calls
    assert len(tape.stretch(["second.weight"]).calls) > len(whole) // 2


@pytest.mark.parametrize("begin", ["second.weight", "first.weight", "head.weight"])
def test_statistics_are_those_of_reestimation(begin):
    net = _twisted()
    batches = _images(300).split(100)
    changed = _thinned(net, begin)
    cut = _with(net, changed)
    reestimate_batch_norm_(cut, torch.cat(batches))
    tape = Tape(net, batches[0])
    names = tape.closed(changed)
    dense, own = Statistics(), Statistics()
    for batch in batches:
        _, values = tape.run(batch, tape.needs(names), dense)
        tape.rerun(values, changed, own, names)
    buffers = {**dense.buffers(), **own.buffers()}
    for name in ("norm.running_mean", "norm.running_var"):
        wanted = cut.get_buffer(name)
        torch.testing.assert_close(buffers[name], wanted, rtol=1e-3, atol=1e-4)


class LooksAtValues(nn.Module):
    def forward(self, images):
        return images.flatten(1) * 2 if images.mean() > 0 else images.flatten(1)


class Peeks(nn.Module):
    """Takes values out of the images in one of many ways."""

    def __init__(self, peek):
        super().__init__()
        self.peek = peek

    def forward(self, images):
        return images.flatten(1) * float(self.peek(images))


class IsRandom(nn.Module):
    def forward(self, images):
        return images.flatten(1) + torch.rand(1)


class WritesIntoAView(nn.Module):
    def forward(self, images):
        x = images * 1
        x[:, 0].zero_()
        return x.flatten(1)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (LooksAtValues(), "depends on the values"),
        (Peeks(lambda x: torch.allclose(x, x)), "depends on the values"),
        (Peeks(lambda x: torch.equal(x, x)), "depends on the values"),
        (Peeks(lambda x: np.asarray(x).mean()), "depends on the values"),
        (Peeks(lambda x: len((x > 0).nonzero())), "depends on the values"),
        (Peeks(lambda x: len(x[x > 0])), "depends on the values"),
        (Peeks(lambda x: len(torch.where(x > 0)[0])), "depends on the values"),
        (IsRandom(), "other class scores"),
        (WritesIntoAView(), "shared"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(module, reason):
    with pytest.raises(UnrepeatableError, match=reason):
        Tape(module, _images(3, (2, 3, 3)))
