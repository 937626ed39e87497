"""Layers: parameters, MACs against closed forms and PyTorch's counter, and what can be pruned."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from workbench.architectures import ARCHITECTURES
from workbench.errors import PlanError
from workbench.layers import inspect
from workbench.macs import count_macs
from workbench.model import Model


def _model(module, input_shape, num_classes=10):
    return Model("net", module.eval(), input_shape, num_classes)


def _family_model(name):
    family = ARCHITECTURES[name]
    module = family.build()
    return _model(module, family.input_shape(family.infer(module.state_dict())))


def _macs(module, input_shape):
    return {row.layer_name: row.macs for row in inspect(_model(module, input_shape)).layers}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_parameter_counts_once(name):
    model = _family_model(name)
    inspection = inspect(model)
    assert inspection.num_params == sum(p.numel() for p in model.module.parameters())
    names = [row.layer_name for row in inspection.layers]
    assert len(set(names)) == len(names)
    assert all(names)
    parameters = dict(model.module.named_parameters())
    for row in inspection.prunable:
        assert parameters[row.parameter_name].numel() == row.num_weights
        assert tuple(parameters[row.parameter_name].shape) == row.shape


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_total_macs_agree_with_pytorchs_counter(name):
    model = _family_model(name)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.module(torch.zeros(1, *model.input_shape))
    flops = counter.get_total_flops() // 2
    products = sum(row.macs for row in inspect(model).layers if row.type == "Product")
    if name == "vit":  # 6 blocks, 49 tokens of width 64; PyTorch before 2.13 leaves them out
        assert products == 6 * 2 * 49 * 49 * 64
        assert inspect(model).macs - products in (flops, flops - products)
    else:
        assert (inspect(model).macs, products) == (flops, 0)


def test_lenet5_by_hand():
    inspection = inspect(_family_model("lenet5"))
    assert inspection.num_params == 431_080
    assert [(row.layer_name, row.num_params, row.macs) for row in inspection.layers] == [
        ("conv1", 520, 20 * 25 * 24 * 24),
        ("conv2", 25_050, 50 * 20 * 25 * 8 * 8),
        ("fc1", 400_500, 800 * 500),
        ("fc2", 5_010, 500 * 10),
    ]


def test_grouped_depthwise_and_strided_convolutions():
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
    )
    assert _macs(net, (4, 9, 7)) == {"0": (8 * 2 * 9) * 5 * 4, "1": (8 * 9) * 5 * 4}


def test_transposed_convolution_works_at_every_input_position():
    net = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False)
    assert _macs(net, (4, 5, 3)) == {"weight": 4 * 3 * 9 * 5 * 3}


class _Rows(nn.Module):
    """Image rows as steps of a recurrent layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.classifier = nn.Linear(2, 10)

    def forward(self, x):
        return self.layer(x.flatten(1, 2))[0]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "gates"), [(nn.GRU, 3), (nn.LSTM, 4), (nn.RNN, 1)])
def test_recurrent_layers_by_hand(kind, gates, bidirectional):
    layer = kind(8, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    steps, ways = 7, 2 if bidirectional else 1
    first = ways * gates * 5 * (8 + 5) * steps
    second = ways * gates * 5 * (5 * ways + 5) * steps
    assert sum(_macs(_Rows(layer), (1, steps, 8)).values()) == first + second


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projected_lstm_by_hand():
    layer = nn.LSTM(8, 5, batch_first=True, proj_size=3)
    macs = _macs(_Rows(layer), (1, 7, 8))
    assert macs["layer.weight_ih_l0"] == 20 * 8 * 7
    assert macs["layer.weight_hh_l0"] == 20 * 3 * 7
    assert macs["layer.weight_hr_l0"] == 3 * 5 * 7


class _Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        x = x.flatten(1, 2)
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize("frozen", [False, True])
def test_multihead_attention_by_hand(frozen):
    net = _Attention().requires_grad_(not frozen)
    assert _macs(net, (1, 6, 16)) == {
        "attention": 6 * 16 * 48,
        "attention.products": 2 * 6 * 6 * 16,
        "attention.out_proj": 6 * 16 * 16,
    }


def test_attention_with_separate_projections():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True, kdim=8, vdim=8)

        def forward(self, x):
            x = x.flatten(1, 2)
            return self.attention(x, x[..., :8], x[..., 8:])[0]

    assert _macs(Cross(), (1, 6, 16)) == {
        "attention.q_proj_weight": 6 * 16 * 16,
        "attention.k_proj_weight": 6 * 16 * 8,
        "attention.v_proj_weight": 6 * 16 * 8,
        "attention.products": 2 * 6 * 6 * 16,
        "attention.out_proj": 6 * 16 * 16,
    }


def test_transformer_layer_counts_despite_its_fused_kernel():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    net = nn.Sequential(nn.Flatten(1, 2), layer)
    macs = _macs(net, (1, 6, 16))
    assert macs["1.self_attn"] == 6 * 16 * 48
    assert macs["1.self_attn.products"] == 2 * 6 * 6 * 16
    assert macs["1.linear1"] == macs["1.linear2"] == 6 * 16 * 32


class _Shared(nn.Module):
    """One layer called twice, and a second name for the same weight."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(6, 6, bias=False)
        self.tied = nn.Linear(6, 6, bias=False)
        self.tied.weight = self.twice.weight

    def forward(self, x):
        return self.tied(self.twice(self.twice(x.flatten(1))))


def test_shared_weights_count_once_and_their_work_every_time():
    rows = inspect(_model(_Shared(), (1, 2, 3))).layers
    assert [(row.layer_name, row.num_params, row.macs, row.prunable) for row in rows] == [
        ("twice", 36, 3 * 36, True),
        ("tied", 0, 0, False),
    ]
    assert rows[1].reason == "It shares its weight with twice."


class _Bare(nn.Module):
    """Parameters without a layer: one multiplied as a matrix, one added, one layer unused."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(6, 10))
        self.shift = nn.Parameter(torch.randn(1, 10))
        self.unused = nn.Linear(6, 10)

    def forward(self, x):
        return x.flatten(1) @ self.matrix + self.shift


def test_parameters_outside_layers_get_rows_by_name():
    inspection = inspect(_model(_Bare(), (1, 2, 3)))
    rows = {row.layer_name: row for row in inspection.layers}
    assert list(rows) == ["matrix", "shift", "unused"]
    assert (rows["matrix"].prunable, rows["matrix"].macs) == (True, 60)
    assert not rows["shift"].prunable
    assert "added" in rows["shift"].reason
    assert not rows["unused"].prunable
    assert "never uses it" in rows["unused"].reason
    assert inspection.num_params == 60 + 10 + 70


def test_activations_multiplied_by_each_other_are_a_row_without_weights():
    class Gram(nn.Module):
        def forward(self, x):
            return torch.bmm(x[:, 0], x[:, 0].transpose(1, 2))

    net = nn.Sequential(nn.Conv2d(1, 1, 1), Gram())
    assert _macs(net, (1, 4, 5))["1.products"] == 4 * 4 * 5


def test_computed_weights_count_for_their_layer():
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3, bias=False)))
    count = count_macs(net.eval(), (1, 6, 6))
    assert list(count.by_parameter.values()) == [4 * 9 * 4 * 4]
    assert count.products == {}


class _OutOfOrder(nn.Module):
    """The classifier is declared first; a head of another width comes last in the module order."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(8, 10)
        self.body = nn.Linear(16, 8)
        self.extra = nn.Linear(8, 10)

    def forward(self, x):
        hidden = self.body(x.flatten(1)).relu()
        self.extra(hidden)
        return self.classifier(hidden)


def test_the_classifier_is_found_by_forward_order():
    inspection = inspect(_model(_OutOfOrder(), (1, 4, 4)))
    assert [row.layer_name for row in inspection.layers if row.protected] == ["classifier"]


def test_the_protected_layer_has_one_row_per_class():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 10), nn.Linear(10, 7))
    assert not any(row.protected for row in inspect(_model(net, (1, 4, 4), 5)).layers)
    assert [r.layer_name for r in inspect(_model(net, (1, 4, 4), 10)).layers if r.protected] == [
        "1"
    ]


def test_a_single_prunable_layer_is_not_protected():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    assert not any(row.protected for row in inspect(_model(net, (1, 4, 4))).layers)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_classifier_of_every_family_is_protected(name):
    protected = [row for row in inspect(_family_model(name)).layers if row.protected]
    assert [row.layer_name for row in protected] == ["fc2" if name == "lenet5" else "classifier"]


def test_zeros_are_counted_and_small_or_odd_layers_say_why_not():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Conv2d(4, 3, 1), nn.Flatten()
    )
    with torch.no_grad():
        net[0].weight[0].zero_()
    rows = inspect(_model(net, (1, 4, 4))).layers
    assert [row.num_zeros for row in rows] == [9, 4, 0, 0]
    assert [row.prunable for row in rows] == [True, False, False, False]
    reasons = [row.reason for row in rows]
    assert reasons[0] == ""
    assert reasons[1].startswith("Normalisation has one scale")
    assert reasons[2].startswith("A PReLU scales or combines")
    assert reasons[3] == "It has only 12 weights."
    assert all(reason.endswith(".") for reason in reasons[1:])


def test_depthwise_convolutions_are_prunable_by_weight():
    rows = inspect(_family_model("mobilenet")).by_name
    assert rows["stages.0.0.depthwise.0"].shape == (64, 1, 3, 3)


def test_an_embedding_is_not_pruned():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8)

        def forward(self, x):
            return F.linear(self.embed((x.flatten(1) * 0).long()).mean(1), self.embed.weight)

    (row,) = inspect(_model(Tokens(), (1, 2, 2), 20)).layers
    assert (row.prunable, row.num_params) == (False, 160)
    assert "embedding" in row.reason


def test_inspecting_leaves_no_trace():
    model = _family_model("resnet")
    before = model.digest
    inspect(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())
    assert all(p.grad is None for p in model.module.parameters())
    assert Model("net", model.module, model.input_shape, 10).digest == before


def test_a_failing_network_leaves_no_hooks():
    net = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        count_macs(net, (1, 4, 4))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_layers_are_found_by_name_or_refused():
    inspection = inspect(_family_model("resnet"))
    assert inspection.layer("stem").num_weights == 144
    with pytest.raises(PlanError) as missing:
        inspection.layer("stemm")
    assert str(missing.value) == "There is no layer 'stemm'. Did you mean 'stem'?"
    with pytest.raises(PlanError) as norm:
        inspection.layer("bn")
    assert str(norm.value).startswith("bn cannot be pruned. Normalisation has one scale")


def test_plain_values_carry_the_contract():
    values = inspect(_family_model("lenet5")).to_dict()
    assert set(values) >= {"num_params", "macs", "layers", "groups"}
    assert set(values["layers"][0]) >= {
        "layer_name", "type", "shape", "num_params", "macs", "prunable", "reason",
    }  # fmt: skip
    assert values["groups"][1] == {
        "group": "conv2", "layers": ["conv2"], "num_channels": 50,
        "num_params": 25_000, "macs": 1_600_000,
    }  # fmt: skip
