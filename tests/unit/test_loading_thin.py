"""Weights of networks that channels were removed from open again, with and without a record."""

import json

import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from workbench.architectures import ARCHITECTURES
from workbench.errors import LoadError
from workbench.loading import load_uploaded_model
from workbench.loading.skeleton import rebuild, widened

RESNET = {"in_channels": 1, "widths": [6, 8], "blocks": [2, 2], "num_classes": 3}
MOBILENET = {
    "in_channels": 1, "stem": 5, "widths": [6, 8], "blocks": [2, 1], "expansion": 3, "head": 10,
    "num_classes": 3,
}  # fmt: skip
VIT = {
    "in_channels": 1, "image_size": 8, "patch": 4, "width": 48, "depth": 2, "heads": 3,
    "mlp": 20, "num_classes": 3,
}  # fmt: skip
FAMILIES = {"resnet": RESNET, "mobilenet": MOBILENET, "vit": VIT}


def cut(family, seed, every=None):
    """A network of which Torch-Pruning removed channels at random, and images for it."""
    torch.manual_seed(seed)
    network = ARCHITECTURES[family].build(**FAMILIES[family]).eval()
    images = torch.randn(2, 1, 8, 8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
    if family == "vit":
        for block in network.blocks:
            keep_neurons(block, torch.randperm(20)[: every or 1 + int(torch.randint(20, ()))])
        return network, images
    graph = torch_pruning.DependencyGraph().build_dependency(network, images)
    for path, module in network.named_modules():
        names = [part for part in path.split(".") if not part.isdigit()][-1:]
        if isinstance(module, nn.Conv2d) and names[0] in ("conv1", "expand", "head", "stem"):
            cut = torch.randperm(module.out_channels)
            gone = cut[: every or int(torch.randint(module.out_channels, ()))].tolist()
            prune = torch_pruning.prune_conv_out_channels
            if gone:
                graph.get_pruning_group(module, prune, gone).prune()
    return network, images


def keep_neurons(block, kept):
    """Leave some hidden neurons of the perceptron in a block."""
    block.fc1.weight, block.fc1.bias = (
        nn.Parameter(p[kept]) for p in (block.fc1.weight, block.fc1.bias)
    )
    block.fc2.weight = nn.Parameter(block.fc2.weight[:, kept])


def keep_head(network, block, head):
    """Leave one attention head of a block."""
    attention = network.blocks[block].attention
    kept = torch.arange(16 * head, 16 * head + 16)
    attention.heads = 1
    for layer in (attention.query, attention.key, attention.value):
        layer.weight, layer.bias = (nn.Parameter(p[kept]) for p in (layer.weight, layer.bias))
    attention.output.weight = nn.Parameter(attention.output.weight[:, kept])


def recorded(network, family, **changes):
    record = {"architecture": family, "arguments": FAMILIES[family] | changes}
    return save(network.state_dict(), {"training": json.dumps(record)})


def assert_same(model, network, images):
    with torch.no_grad():
        torch.testing.assert_close(model.module(images), network(images), rtol=0, atol=0)


@settings(max_examples=10)
@given(st.sampled_from([*FAMILIES]), st.integers(0, 99))
def test_cut_networks_open_as_their_record_says(family, seed):
    network, images = cut(family, seed)
    if family == "vit":
        keep_head(network, 1, 2)
    model = load_uploaded_model("weights.safetensors", recorded(network, family))
    assert_same(model, network, images)
    assert dict(model.arguments) == FAMILIES[family]


@settings(max_examples=10)
@given(st.sampled_from([*FAMILIES]), st.integers(0, 99))
def test_cut_networks_open_without_a_record(family, seed):
    network, images = cut(family, seed)
    if family == "vit":
        keep_head(network, 1, 2)
    model = load_uploaded_model("weights.safetensors", save(network.state_dict()))
    assert_same(model, network, images)
    left = sum(p.numel() for p in network.parameters())
    assert sum(p.numel() for p in model.module.parameters()) == left


def test_a_note_tells_how_much_is_left():
    network, _ = cut("resnet", 0, every=2)
    dense = sum(p.numel() for p in ARCHITECTURES["resnet"].build(**RESNET).parameters())
    left = sum(p.numel() for p in network.parameters())
    notes = load_uploaded_model("w.safetensors", recorded(network, "resnet")).card["notes"]
    assert notes == [f"Channels were removed from it: {left:,} of {dense:,} parameters are left."]


@pytest.mark.parametrize(("stem", "count"), [(5, 0), (6, 1)])
def test_a_shortcut_that_weights_do_not_tell_is_noted(stem, count):
    network = ARCHITECTURES["mobilenet"].build(**MOBILENET | {"stem": stem})
    notes = load_uploaded_model("w.safetensors", save(network.state_dict())).card["notes"]
    assert sum("first block adds its input" in note for note in notes) == count
    record = recorded(network, "mobilenet", stem=stem)
    assert "notes" not in load_uploaded_model("w.safetensors", record).card


def test_the_digest_is_that_of_the_record_whatever_the_name():
    network, _ = cut("mobilenet", 3)
    content = recorded(network, "mobilenet")
    first, second = (load_uploaded_model(f"{name}.safetensors", content) for name in "ab")
    assert first.digest == second.digest
    assert "notes" in first.card


def test_image_shape_of_the_caller_wins_over_the_record():
    network = ARCHITECTURES["mlp"].build((1, 2, 8), [4], 3)
    record = {"architecture": "mlp", "arguments": {"input_shape": [1, 4, 4], "hidden": [9],
                                                   "num_classes": 3}}  # fmt: skip
    content = save(network.state_dict(), {"training": json.dumps(record)})
    model = load_uploaded_model("w.safetensors", content, input_shape=(1, 2, 8))
    assert model.arguments["input_shape"] == [1, 2, 8]
    assert_same(model, network, torch.randn(2, 1, 2, 8))


@pytest.mark.parametrize(
    "changes",
    [
        {"widths": [2, 8]},
        {"widths": [6, 8, 9]},
        {"widths": [10**9, 10**9]},
        {"widths": [10**30, 8]},
        {"widths": "wide"},
        {"widths": [6.5, 8]},
        {"widths": [0, -8]},
        {"blocks": [10**9, 2]},
        {"blocks": [3, 2]},
        {"in_channels": 7},
        {"colour": 3},
        {"num_classes": 90},
    ],
)
def test_records_that_cannot_be_are_left_aside(changes):
    network = ARCHITECTURES["resnet"].build(**RESNET).eval()
    model = load_uploaded_model("w.safetensors", recorded(network, "resnet", **changes))
    assert_same(model, network, torch.randn(2, 1, 8, 8))
    assert dict(model.arguments) == RESNET


def test_a_network_that_would_not_run_is_refused():
    network, _ = cut("resnet", 1, every=2)
    weight = network.stages[0][0].conv2.weight
    weight.data = weight.data[:, :1].contiguous()
    with pytest.raises(LoadError, match=r"has shape .* where architecture resnet has"):
        load_uploaded_model("w.safetensors", save(network.state_dict()))
    with pytest.raises(LoadError, match=r"does not run beyond stages\.0\.0\.conv2 \(RuntimeError"):
        load_uploaded_model("w.safetensors", recorded(network, "resnet"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value):
    network, _ = cut("resnet", 1, every=2)
    with torch.no_grad():
        network.stages[0][0].conv1.weight[0, 0, 0, 0] = value
    with pytest.raises(LoadError, match=r"conv1\.weight in .* 1 (NaN|infinite) value"):
        load_uploaded_model("w.safetensors", recorded(network, "resnet"))


def test_a_forged_depth_asks_for_no_work():
    hidden = [2] * 100
    network = ARCHITECTURES["mlp"].build((1, 2, 2), hidden, 2)
    tensors = network.state_dict() | {"hidden.0.weight": torch.zeros(3, 4)}
    arguments = {"input_shape": [1, 2, 2], "hidden": hidden, "num_classes": 2}
    assert widened(ARCHITECTURES["mlp"], arguments, tensors) is None


def test_rebuilding_names_what_does_not_fit():
    network, _ = cut("resnet", 1, every=2)
    tensors = network.state_dict()
    module = rebuild(ARCHITECTURES["resnet"], RESNET, tensors)
    assert all(torch.equal(value, tensors[key]) for key, value in module.state_dict().items())
    with pytest.raises(ValueError, match=r"stem\.weight is 4 x 1 x 3 x 3, which 3 x 1 x 3 x 3"):
        rebuild(ARCHITECTURES["resnet"], RESNET | {"widths": [3, 8]}, tensors)
