"""Thinning gives a dense network the shapes, attributes and outputs of a smaller one."""

import ast
import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch_pruning
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import workbench.thin
from workbench.architectures import ARCHITECTURES
from workbench.thin import thin_

BUILD = {name: family.build for name, family in ARCHITECTURES.items()}
ATTRIBUTES = (
    "in_channels", "out_channels", "groups", "in_features", "out_features", "num_features",
    "num_channels", "normalized_shape", "input_size", "hidden_size", "proj_size", "heads",
    "num_embeddings", "embedding_dim", "num_parameters", "embed_dim", "head_dim", "kdim",
)  # fmt: skip


def assert_follows(dense: nn.Module, thin: nn.Module, *inputs: Tensor) -> None:
    """After ``thin_`` the dense network is the thin one: outputs and attributes."""
    thin_(dense, thin.state_dict())
    with torch.no_grad():
        found, expected = dense.eval()(*inputs), thin.eval()(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for (path, ours), theirs in zip(dense.named_modules(), thin.modules(), strict=True):
        for name in ATTRIBUTES:
            assert getattr(ours, name, None) == getattr(theirs, name, None), (path, name)


SMALLER = [
    ("mlp", {"input_shape": [1, 8, 8]}, {"input_shape": [1, 8, 8], "hidden": [5, 3]}),
    ("lenet5", {"image_size": 16}, {"image_size": 16, "widths": [3, 4, 9]}),
    ("resnet", {}, {"widths": [3, 7, 5]}),
    ("mobilenet", {}, {"stem": 3, "widths": [5, 4, 6], "expansion": 2, "head": 7}),
    ("vit", {"image_size": 8}, {"image_size": 8, "mlp": 9}),
    ("gru", {"row": 8}, {"row": 8, "hidden": 5}),
]


@pytest.mark.parametrize(("family", "wide", "narrow"), SMALLER)
def test_every_family_becomes_its_narrower_self(
    family: str, wide: dict[str, object], narrow: dict[str, object]
) -> None:
    shape = ARCHITECTURES[family].input_shape(wide)
    images = torch.randn(2, shape[0], min(16, shape[1]), min(16, shape[2]))
    if family in ("vit", "gru"):
        images = torch.randn(2, 1, 8, 8)
    assert_follows(BUILD[family](**wide), BUILD[family](**narrow), images)


widths = st.integers(1, 12)


@settings(max_examples=25)
@given(st.lists(widths, min_size=1, max_size=4), st.data())
def test_a_perceptron_of_any_widths(wide: list[int], data: st.DataObject) -> None:
    narrow = [data.draw(st.integers(1, width)) for width in wide]
    dense, thin = (BUILD["mlp"]((1, 3, 3), hidden, 2) for hidden in (wide, narrow))
    assert_follows(dense, thin, torch.randn(3, 1, 3, 3))


@settings(max_examples=20)
@given(st.sampled_from(["resnet", "mobilenet"]), st.integers(0, 99))
def test_whatever_torch_pruning_cuts_is_followed(family: str, seed: int) -> None:
    arguments = {"widths": [6, 8], "blocks": [2, 1], "num_classes": 3}
    torch.manual_seed(seed)
    thin, images = BUILD[family](**arguments).eval(), torch.randn(2, 1, 8, 8)
    dense = BUILD[family](**arguments)
    graph = torch_pruning.DependencyGraph().build_dependency(thin, images)
    convolutions = [m for m in thin.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    for layer in convolutions:
        cut = torch.randperm(layer.out_channels)[: int(torch.randint(layer.out_channels, ()))]
        if len(cut):
            prune = torch_pruning.prune_conv_out_channels
            graph.get_pruning_group(layer, prune, cut.tolist()).prune()
    assert_follows(dense, thin, images)


def keep_heads(network: nn.Module, block: int, heads: list[int]) -> None:
    """Cut heads out of one attention block by hand; each is 16 wide."""
    attention = network.blocks[block].attention
    kept = torch.cat([torch.arange(16 * head, 16 * head + 16) for head in heads])
    attention.heads = len(heads)
    for layer in (attention.query, attention.key, attention.value):
        layer.weight, layer.bias = (nn.Parameter(p[kept]) for p in (layer.weight, layer.bias))
        layer.out_features = len(kept)
    attention.output.weight = nn.Parameter(attention.output.weight[:, kept])
    attention.output.in_features = len(kept)


def test_attention_heads_keep_their_width() -> None:
    dense = BUILD["vit"](image_size=8, depth=3)
    thin = copy.deepcopy(dense)
    keep_heads(thin, 0, [2])
    keep_heads(thin, 1, [0, 3])
    assert_follows(dense, thin, torch.randn(2, 1, 8, 8))


def conv(inputs: int, outputs: int, groups: int) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, groups=groups)


def up(inputs: int, outputs: int, groups: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 3, groups=groups)


LAYERS: list[tuple[str, nn.Module, nn.Module, tuple[int, ...]]] = [
    ("grouped, fewer in each group", conv(12, 6, 3), conv(6, 3, 3), (2, 6, 5, 5)),
    ("grouped, fewer outputs", conv(12, 6, 3), conv(12, 3, 3), (2, 12, 5, 5)),
    ("grouped, fewer groups", conv(12, 3, 3), conv(8, 2, 2), (2, 8, 5, 5)),
    ("depthwise", conv(6, 6, 6), conv(2, 2, 2), (2, 2, 5, 5)),
    ("depthwise with two outputs each", conv(4, 8, 4), conv(3, 6, 3), (2, 3, 5, 5)),
    ("transposed", up(6, 4, 1), up(2, 3, 1), (2, 2, 5, 5)),
    ("transposed depthwise", up(6, 6, 6), up(4, 4, 4), (2, 4, 5, 5)),
    ("transposed, fewer in each group", up(12, 6, 3), up(6, 3, 3), (2, 6, 5, 5)),
    ("batch norm", nn.BatchNorm2d(6), nn.BatchNorm2d(2), (2, 2, 5, 5)),
    ("instance norm", nn.InstanceNorm2d(6, affine=True), nn.InstanceNorm2d(2, affine=True),
     (2, 2, 5, 5)),
    ("group norm", nn.GroupNorm(2, 8), nn.GroupNorm(2, 4), (2, 4, 5, 5)),
    ("layer norm", nn.LayerNorm(8), nn.LayerNorm(3), (2, 3)),
    ("PReLU", nn.PReLU(8), nn.PReLU(3), (2, 3, 4)),
    ("bilinear filter bank", nn.Conv1d(6, 6, 3, bias=False), nn.Conv1d(2, 5, 3, bias=False),
     (2, 2, 9)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dense", "thin", "shape"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS]
)
def test_single_layers(dense: nn.Module, thin: nn.Module, shape: tuple[int, ...]) -> None:
    assert_follows(nn.Sequential(copy.deepcopy(dense)), nn.Sequential(thin), torch.randn(shape))


RECURRENT: list[tuple[Callable[[int, int], nn.Module], int]] = [
    (lambda i, h: nn.GRU(i, h, 2, batch_first=True, bidirectional=True), 3),
    (lambda i, h: nn.LSTM(i, h, 2, batch_first=True), 3),
    (lambda i, h: nn.LSTM(i, h, 1, batch_first=True, proj_size=h - 1), 3),
    (lambda i, h: nn.RNN(i, h, 1, bias=False, batch_first=True), 3),
    (nn.GRUCell, 2),
    (nn.LSTMCell, 2),
    (nn.RNNCell, 2),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(("build", "rank"), RECURRENT)
def test_recurrent_layers(build: Callable[[int, int], nn.Module], rank: int) -> None:
    steps = torch.randn((2, 5, 3) if rank == 3 else (2, 3))
    assert_follows(build(7, 9), build(3, 4), steps)


def test_pytorchs_own_attention_shrinks_within_its_heads() -> None:
    dense, thin = (nn.MultiheadAttention(width, 2, batch_first=True) for width in (8, 6))
    tokens = torch.randn(2, 3, 6)
    assert_follows(dense, thin, tokens, tokens, tokens)


def test_embeddings() -> None:
    assert_follows(nn.Embedding(9, 8), nn.Embedding(9, 3), torch.tensor([0, 8]))


class Tied(nn.Module):
    """Two names for one weight, and a frozen half-precision scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(width, dtype=torch.float16), requires_grad=False)


def test_ties_types_and_frozen_parameters_stay() -> None:
    dense, thin = Tied(4), Tied(2).double()
    thin_(dense, thin.state_dict())
    assert dense.first.weight is dense.second.weight
    assert dense.second.in_features == 2
    assert dense.scale.dtype == torch.float16
    assert not dense.scale.requires_grad
    assert dense.first.weight.requires_grad
    torch.testing.assert_close(dense.first.weight, thin.first.weight.float())


def test_equal_shapes_are_loaded_in_place() -> None:
    first, second = BUILD["gru"](row=4, hidden=3), BUILD["gru"](row=4, hidden=3)
    parameters = [id(p) for p in first.parameters()]
    assert_follows(first, second, torch.randn(1, 1, 4, 4))
    assert parameters == [id(p) for p in first.parameters()]


def test_what_is_given_stays_and_is_not_shared() -> None:
    thin = BUILD["mlp"]((1, 2, 2), [3], 2)
    tensors, before = thin.state_dict(), copy.deepcopy(thin.state_dict())
    dense = BUILD["mlp"]((1, 2, 2), [5], 2)
    thin_(dense, tensors)
    nn.init.zeros_(dense.classifier.weight)
    assert all(torch.equal(tensors[name], before[name]) for name in before)


def cut(network: nn.Module, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """The state dict with some tensors of other shapes; ``__`` stands for a dot."""
    changed = {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}
    return network.state_dict() | changed


def vit() -> nn.Module:
    return BUILD["vit"](image_size=8, depth=1)


def gru() -> nn.Module:
    return BUILD["gru"](row=4, hidden=6, layers=1)


def mlp() -> nn.Module:
    return BUILD["mlp"]((1, 2, 2), [5], 2)


REFUSED: list[tuple[nn.Module, dict[str, tuple[int, ...]], str]] = [
    (mlp(), {"hidden__0__weight": (3, 4, 1)}, r"hidden\.0\.weight is 3 x 4 x 1, which 5 x 4 "),
    (mlp(), {"hidden__0__weight": (6, 4)}, r"hidden\.0\.weight is 6 x 4, which 5 x 4 cannot be"),
    (mlp(), {"hidden__0__weight": (0, 4)}, r"hidden\.0\.weight is 0 x 4"),
    (mlp(), {"hidden__0__weight": (3, 4)}, r"hidden\.0\.bias is 5 where 3 was expected"),
    (mlp(), {"extra": (1,)}, "extra is not part of the network"),
    (vit(), {"blocks__0__attention__query__weight": (40, 64)},
     r"attention\.query\.weight has 40 rows of 64: 4 do not shrink in proportion"),
    (gru(), {"gru__weight_hh_l0": (9, 6)}, r"gru\.weight_hh_l0 is 9 x 6"),
    (gru(), {"gru__weight_hh_l0": (9, 3)}, r"gru\.weight_ih_l0 is 18 x 4 where 9 x 4 was"),
    (Tied(3), {"first__weight": (2, 3)}, r"second\.weight is 3 x 3; it is tied"),
    (conv(6, 6, 3), {"weight": (4, 1, 3, 3), "bias": (4,)}, "weight has 4 rows for 3 groups"),
    (conv(6, 6, 3), {"weight": (6, 2, 2, 3)}, "weight has a kernel of 2 x 3"),
    (conv(6, 9, 3), {"weight": (4, 2, 3, 3)}, "weight has 4 rows of 9: 3 do not shrink"),
    (nn.GroupNorm(2, 4), {"weight": (3,), "bias": (3,)}, "weight has 3 rows for 2 groups"),
    (nn.BatchNorm1d(4), {"weight": (3,)}, "bias is 4 where 3 was expected"),
    (nn.MultiheadAttention(8, 2), {"out_proj__weight": (5, 5)}, r"out_proj\.weight does not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("network", "shapes", "message"), REFUSED)
def test_what_cannot_be_followed_is_named(
    network: nn.Module, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        thin_(copy.deepcopy(network), cut(network, **shapes))


def test_a_missing_tensor_is_named() -> None:
    tensors = mlp().state_dict()
    del tensors["classifier.bias"]
    with pytest.raises(ValueError, match=r"classifier\.bias is missing"):
        thin_(mlp(), tensors)


def test_its_text_needs_torch_alone() -> None:
    tree = ast.parse(Path(workbench.thin.__file__).read_text("utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    assert {str(module).partition(".")[0] for module in modules} == {"collections", "torch"}
