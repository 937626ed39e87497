"""Coupled groups: found, cut and counted; Torch-Pruning and the zeroed network are the oracles."""

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.accounting import size_of_plan
from workbench.cutting import cut_tensors
from workbench.errors import PlanError
from workbench.groups import Groups, find_groups, num_kept
from workbench.layers import inspect
from workbench.loading import load_model, sample_names
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import preview, prune, restore_pruned
from workbench.thin import thin_


def model_of(module: nn.Module, shape: tuple[int, int, int] = (3, 12, 12)) -> Model:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return Model("made up", module.eval(), shape, 4)


def groups_of(module: nn.Module, shape: tuple[int, int, int] = (3, 12, 12)) -> Groups:
    return find_groups(model_of(module, shape), "channel")


def scores_of(model: Model, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(batch, *model.input_shape, generator=generator)
    with torch.no_grad():
        return model.module(images)


class Mixed(nn.Module):
    """Concatenation, addition, depthwise and transposed convolutions, flatten and PReLU."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.b = nn.Conv2d(3, 2 * width, 1)
        self.depthwise = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width)
        self.norm = nn.BatchNorm2d(3 * width)
        self.prelu = nn.PReLU(3 * width)
        self.up = nn.ConvTranspose2d(3 * width, 5, 2, stride=2)
        self.side = nn.Conv2d(3 * width, 5, 1)
        self.fc = nn.Linear(5 * 36, 7)
        self.classifier = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([torch.sigmoid(self.bn(self.a(x))), self.b(x)], 1)
        x = self.prelu(self.norm(self.depthwise(x)))
        x = F.avg_pool2d(self.up(x), 2) + self.side(x)
        x = F.max_pool2d(x, 2).flatten(1)
        return self.classifier(torch.tanh(self.fc(x)))


def test_every_sample_gives_the_same_scores_cut_and_zeroed() -> None:
    for name in sample_names():
        model = load_model(name)
        groups = find_groups(model, "channel")
        plan = PruningPlan(
            {group.name: 0.2 + 0.6 * index / len(groups.prunable)
             for index, group in enumerate(groups.prunable)},
            granularity="channel",
        )  # fmt: skip
        thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
        expected = scores_of(zeroed.model)
        assert (scores_of(thin.model) - expected).abs().max() <= 1e-5 * expected.abs().max(), name
        size, found = size_of_plan(groups, plan), inspect(thin.model)
        assert (size.num_nonzero, size.macs) == (found.num_params, found.macs), name
        assert found.num_params < inspect(model).num_params


def test_the_groups_of_resnet20() -> None:
    groups = find_groups(load_model("fashion-resnet20"), "channel")
    assert len(groups.prunable) == 12
    stem = groups.group("stem")
    assert stem.layers == ("stem", *(f"stages.0.{i}.conv2" for i in range(3)))
    assert stem.consumers == (
        *(f"stages.0.{i}.conv1" for i in range(3)), "stages.1.0.conv1", "stages.1.0.shortcut.0"
    )  # fmt: skip
    assert (stem.unit, stem.num_units) == ("channel", 16)
    with pytest.raises(PlanError, match="cut together with stem"):
        groups.group("stages.0.1.conv2")
    with pytest.raises(PlanError, match="Its outputs are the class scores"):
        groups.group("classifier")


def test_units_are_named_after_what_they_are() -> None:
    units = {
        name: {group.unit for group in find_groups(load_model(name), "channel").prunable}
        for name in ("digits-mlp", "fashion-vit", "fashion-gru", "fashion-lenet5")
    }
    assert units == {
        "digits-mlp": {"neuron"},
        "fashion-vit": {"head", "neuron"},
        "fashion-gru": {"hidden unit"},
        "fashion-lenet5": {"channel", "neuron"},
    }


@settings(max_examples=12)
@given(st.integers(2, 7), st.lists(st.floats(0, 0.99), min_size=5, max_size=5), st.integers(0, 3))
def test_cut_is_zeroed_in_mixed_networks(width: int, ratios: list[float], seed: int) -> None:
    model = model_of(Mixed(width))
    groups = find_groups(model, "channel")
    assert [group.num_units for group in groups.prunable] == [width, 2 * width, 5, 7]
    plan = PruningPlan(
        dict(zip([g.name for g in groups.prunable], ratios, strict=False)),
        granularity="channel", criterion="random", seed=seed,
    )  # fmt: skip
    thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
    torch.testing.assert_close(scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-4)
    found = inspect(thin.model)
    size = size_of_plan(groups, plan)
    assert (size.num_nonzero, size.macs) == (found.num_params, found.macs)
    for name, kept in thin.kept.items():
        wanted = groups.group(name).num_units * (1 - plan.sparsities.get(name, 0))
        assert len(kept) >= 1
        assert abs(len(kept) - wanted) <= 0.5 or len(kept) == 1


def test_removal_is_torch_prunings_own() -> None:
    import torch_pruning as tp

    model = load_model("fashion-resnet20")
    groups = find_groups(model, "channel")
    group = next(g for g in groups.prunable if "stages.1.0.shortcut.0" in g.layers)
    removed = torch.tensor([0, 3, 7, 20])
    ours = model.copy_module()
    thin_(ours, cut_tensors(model.module.state_dict(), [group], {group.name: removed}))
    theirs = copy.deepcopy(model.module)
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(
            theirs.requires_grad_(), torch.randn(1, *model.input_shape)
        )
        root = theirs.get_submodule("stages.1.0.shortcut.0")
        graph.get_pruning_group(root, tp.prune_conv_out_channels, removed.tolist()).prune()
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, ours.state_dict()[key]), key


class Recurrent(nn.Module):
    """A Linear layer, a stacked recurrent layer of either direction, a classifier."""

    def __init__(self, kind: type[nn.RNNBase], bidirectional: bool, layers: int) -> None:
        super().__init__()
        self.before = nn.Linear(12, 5)
        self.rnn = kind(5, 6, layers, batch_first=True, bidirectional=bidirectional)
        self.classifier = nn.Linear(12 if bidirectional else 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.rnn(self.before(x.mean(1)).relu())
        return self.classifier(steps[:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_recurrent_units_are_cut(kind: type[nn.RNNBase], bidirectional: bool, layers: int) -> None:
    model = model_of(Recurrent(kind, bidirectional, layers))
    groups = find_groups(model, "channel")
    assert [(g.name, g.unit, g.num_units) for g in groups.prunable] == [
        ("before", "neuron", 5), ("rnn", "hidden unit", 6)
    ]  # fmt: skip
    plan = PruningPlan({"before": 0.4, "rnn": 0.5}, granularity="channel")
    thin, zeroed = prune(model, plan), preview(model, plan)
    assert thin.model.module.rnn.hidden_size == 3
    torch.testing.assert_close(scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-5)
    assert size_of_plan(groups, plan).num_nonzero == inspect(thin.model).num_params


class Block(nn.Module):
    """Self-attention with one matrix for query, key and value, or three; heads named or not."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(12, 12) for _ in range(3))
        self.output = nn.Linear(12, 12)
        self.count = 3
        if name:
            setattr(self, name, 3)
        self.name = name or "count"

    def forward(self, x: Tensor) -> Tensor:
        heads = getattr(self, self.name)
        q, k, v = (
            layer(x).unflatten(-1, (heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        weights = (q @ k.transpose(-1, -2) / 2).softmax(-1)
        return x + self.output((weights @ v).transpose(1, 2).flatten(2))


class Attention(nn.Module):
    def __init__(self, name: str = "heads") -> None:
        super().__init__()
        self.block = Block(name)
        self.classifier = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.block(x.mean(1)).mean(1))


@pytest.mark.parametrize("name", ["heads", "num_heads"])
def test_heads_of_attention_written_out_are_cut(name: str) -> None:
    model = model_of(Attention(name))
    groups = find_groups(model, "channel")
    heads = next(group for group in groups.groups if group.unit == "head")
    assert (heads.prunable, heads.num_units) == (True, 3), heads.reason
    plan = PruningPlan({heads.name: 0.34}, granularity="channel")
    thin, zeroed = prune(model, plan), preview(model, plan)
    assert getattr(thin.model.module.block, name) == 2
    torch.testing.assert_close(scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-5)


class Norm(nn.Module):
    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.between = between
        self.second = nn.Conv2d(8, 6, 1)
        self.classifier = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.second(self.between(self.first(x))).relu().mean((2, 3)))


class Centred(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(1)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.GroupNorm(2, 8), "between (GroupNorm) normalises over these channels"),
        (nn.ConvTranspose2d(8, 8, 1, groups=2), "between is a transposed convolution of 2 groups"),
        (Centred(), "Cutting it was tried: the other channels then give other numbers"),
        (Softmax(), "Attention mixes these channels"),
    ],
)
def test_what_cannot_be_cut_says_why(between: nn.Module, reason: str) -> None:
    groups = groups_of(Norm(between))
    first = next(group for group in groups.groups if "first" in group.layers)
    assert first.reason.startswith(reason)
    assert not first.prunable
    second = next(group for group in groups.groups if group.name == "second")
    assert second.prunable  # its neighbour is not dragged along


def test_every_group_of_a_convolution_loses_the_same_channels() -> None:
    model = model_of(Norm(nn.Conv2d(8, 12, 3, groups=2)))
    model.module.second = nn.Conv2d(12, 6, 1)
    groups = find_groups(model, "channel")
    assert [(g.name, g.num_units) for g in groups.prunable] == [
        ("first", 4), ("between", 6), ("second", 6)
    ]  # fmt: skip
    plan = PruningPlan({"first": 0.25, "between": 0.5}, granularity="channel")
    thin, zeroed = prune(model, plan), preview(model, plan)
    between = thin.model.module.between
    assert (between.in_channels, between.out_channels, between.groups) == (6, 6, 2)
    torch.testing.assert_close(scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-5)
    assert size_of_plan(groups, plan).macs == inspect(thin.model).macs


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 8), nn.Linear(12, 8)
        self.second.weight = self.first.weight
        self.one, self.two = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((1, 2))
        return self.one(self.first(x).relu()) + self.two(self.second(x).relu())


def test_layers_that_share_a_weight_lose_the_same_neurons() -> None:
    model = model_of(Tied())
    groups = find_groups(model, "channel")
    group = groups.group("first")
    assert (group.layers, group.consumers) == (("first", "second"), ("one", "two"))
    plan = PruningPlan({"first": 0.5}, granularity="channel")
    thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
    assert thin.model.module.second.weight is thin.model.module.first.weight
    assert thin.model.module.first.weight.shape == (4, 12)
    torch.testing.assert_close(scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-5)
    size = size_of_plan(groups, plan)
    assert (size.num_nonzero, size.macs) == (
        inspect(thin.model).num_params, inspect(thin.model).macs
    )  # fmt: skip


class Crossed(nn.Module):
    """A weight that one layer gives to all neurons and another only to the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(12, 8, bias=False), nn.Linear(12, 8, bias=False)
        self.narrow.weight = self.wide.weight
        self.after, self.last = nn.Linear(16, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((1, 2))
        both = torch.cat([self.wide(x).relu(), self.wide(x * 2).relu()], 1)
        return self.after(both) + self.last(self.narrow(x).roll(1, 1).relu())


def test_a_shared_weight_whose_rows_go_different_ways_is_left_or_cut_rightly() -> None:
    model = model_of(Crossed())
    groups = find_groups(model, "channel")
    for group in groups.prunable:
        plan = PruningPlan({group.name: 0.5}, granularity="channel")
        thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
        torch.testing.assert_close(
            scores_of(thin.model), scores_of(zeroed.model), rtol=0, atol=1e-5
        )


class Shuffle(nn.Module):
    """Channels of two groups shuffled by fixed numbers: right only where both lose alike."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.c = nn.Conv2d(8, 6, 1, groups=2)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x).relu()).relu()
        y = y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        scores: Tensor = self.fc(self.c(self.depthwise(y)).relu().mean((2, 3)))
        return scores


class Branch(nn.Module):
    """Which layer comes next depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3)
        self.bright, self.dark = nn.Conv2d(8, 6, 3), nn.Conv2d(8, 6, 3)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        way = self.bright if float(x.detach().mean()) > 0.25 else self.dark
        scores: Tensor = self.fc(way(self.a(x).relu()).relu().mean((2, 3)))
        return scores


@pytest.mark.parametrize("kind", [Shuffle, Branch])
def test_what_is_cut_is_right_whichever_units_go(kind: type[nn.Module]) -> None:
    """Either the group is refused or every choice of units gives what zeroing gives."""
    model = model_of(kind())
    groups = find_groups(model, "channel")
    assert any(group.reason.startswith("Cutting it was tried") for group in groups.groups)
    for seed in range(6):
        plan = PruningPlan(
            {group.name: 0.5 for group in groups.prunable}, "channel", "random", seed=seed
        )
        thin, zeroed = prune(model, plan, groups).model, preview(model, plan, groups).model
        torch.testing.assert_close(scores_of(thin), scores_of(zeroed), atol=1e-5, rtol=1e-4)


def test_a_network_whose_scores_are_not_finite_has_no_groups() -> None:
    model = model_of(Branch())
    model.module.a.weight.data[0, 0, 0, 0] = float("nan")
    groups = find_groups(model, "channel")
    assert not groups.prunable
    assert "the class scores are not finite" in groups.groups[0].reason


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.fc(x.mean((1, 2))).detach().numpy())


def test_a_network_that_cannot_be_followed_has_no_groups() -> None:
    groups = groups_of(Untraceable())
    assert not groups.prunable
    assert all(
        "cannot be followed" in g.reason or "class scores" in g.reason for g in groups.groups
    )


@given(st.integers(1, 64), st.floats(0, 0.999), st.sampled_from([1, 2, 8, 16]))
def test_kept_counts_are_the_nearest_allowed(units: int, ratio: float, multiple: int) -> None:
    kept = num_kept(units, ratio, multiple)
    allowed = [n for n in range(1, units + 1) if n % multiple == 0 or n == units]
    assert kept in allowed
    wanted = units * (1 - ratio)
    assert abs(kept - wanted) <= min(abs(n - wanted) for n in allowed) + 1e-9


@pytest.mark.parametrize("name", ["fashion-gru", "fashion-resnet20"])
def test_looking_for_groups_draws_no_random_numbers(name: str) -> None:
    model = load_model(name)
    state = torch.random.get_rng_state()
    assert find_groups(model, "channel").prunable
    assert torch.equal(torch.random.get_rng_state(), state)


def test_heads_are_not_rounded_to_multiples_of_channels() -> None:
    groups = find_groups(load_model("fashion-vit"), "channel")
    head = next(group for group in groups.prunable if group.unit == "head")
    neuron = next(group for group in groups.prunable if group.unit == "neuron")
    assert groups.num_pruned(head.name, 0.5, 8) == 2
    assert groups.num_pruned(neuron.name, 0.3, 16) == 32


def test_stored_thin_weights_come_back() -> None:
    model = load_model("digits-mlp")
    plan = PruningPlan({"hidden.0": 0.5}, granularity="channel")
    pruned = prune(model, plan)
    module = model.copy_module()
    thin_(module, pruned.model.module.state_dict())
    restored = restore_pruned(model, plan, module.state_dict())
    assert torch.equal(restored.kept["hidden.0"], pruned.kept["hidden.0"])
    with pytest.raises(PlanError, match="another plan"):
        restore_pruned(model, plan, model.module.state_dict())


def test_multiples_and_granularities_do_not_mix() -> None:
    with pytest.raises(PlanError, match="removes no channels"):
        PruningPlan({}, channel_multiple=8)
    plan = PruningPlan({"hidden.0": 0.3}, granularity="channel", channel_multiple=16)
    assert len(prune(load_model("digits-mlp"), plan).kept["hidden.0"]) == 96
    assert PruningPlan.from_dict(plan.to_dict()) == plan


def test_a_plan_takes_no_groups_of_another_granularity() -> None:
    model = load_model("digits-mlp")
    channels = find_groups(model, "channel")
    for work in (prune, preview):
        with pytest.raises(ValueError, match="a weight plan got channel groups"):
            work(model, PruningPlan({"hidden.0": 0.5}), channels)
