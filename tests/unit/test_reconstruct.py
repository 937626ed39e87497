"""Reconstruction: closed forms, plain least squares on unfolded patches, identities, stops."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from workbench import reconstruct
from workbench.progress import Progress
from workbench.reconstruct import affordable_images, reconstruct_, ridge
from workbench.reconstruct.graph import trace
from workbench.reconstruct.recurrent import reconstruct_recurrent_
from workbench.reconstruct.ridge import Problem, hold_out, solve
from workbench.reconstruct.rows import Places, extent_of, output_rows, patch_rows


def problem(
    groups: int = 1, rows: int = 400, inputs: int = 5, outputs: int = 3, seed: int = 0, **changes
) -> Problem:
    """Random inputs; wanted outputs are not a linear function of them."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x = random(groups, rows, inputs) + 1
    wanted = x @ random(groups, inputs, outputs) + 0.3 * random(groups, rows, outputs) + 2
    values = {
        "inputs": x, "wanted": wanted, "offset": None, "weight": random(groups, outputs, inputs),
        "bias": random(groups, outputs), "mask": None, "free_bias": True, "bounds": None,
    }  # fmt: skip
    return Problem(**values | changes)


def no_ridge(monkeypatch) -> None:
    monkeypatch.setattr(ridge, "STRENGTHS", (0.0,))


# --- ridge regression ---


def test_ridge_is_its_closed_form(monkeypatch):
    """W = W0 + ((X'X + s diag)^-1 X'(Y - X W0'))' on centred rows; one strength, enough rows."""
    monkeypatch.setattr(ridge, "STRENGTHS", (0.05,))
    given_ = problem()
    found = solve(given_)
    fitting, _ = hold_out(given_)
    x, y = fitting.inputs[0].double(), fitting.wanted[0].double()
    before = given_.weight[0].double()
    xc, missing = x - x.mean(0), y - x @ before.T
    gram = xc.T @ xc
    change = torch.linalg.solve(
        gram + 0.05 * torch.diag(gram.diagonal()), xc.T @ (missing - missing.mean(0))
    )
    weight = before + change.T
    torch.testing.assert_close(found.weight[0].double(), weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        found.bias[0].double(), y.mean(0) - weight @ x.mean(0), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("free_bias", [True, False])
def test_without_ridge_it_is_plain_least_squares(monkeypatch, free_bias):
    no_ridge(monkeypatch)
    given_ = problem(free_bias=free_bias, groups=2, offset=torch.randn(2, 400, 3))
    found = solve(given_)
    fitting, _ = hold_out(given_)
    for group in range(2):
        x, y = fitting.inputs[group], fitting.wanted[group] - fitting.offset[group]
        if free_bias:
            x = torch.cat([x, torch.ones(len(x), 1)], 1)
        else:
            y = y - given_.bias[group]
        expected = torch.linalg.lstsq(x, y).solution.T
        torch.testing.assert_close(found.weight[group], expected[:, :5], atol=1e-4, rtol=1e-3)
        bias = expected[:, 5] if free_bias else given_.bias[group]
        torch.testing.assert_close(found.bias[group], bias, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("most", [0, 2**23])  # conjugate gradients, a factor for every output
def test_every_output_is_solved_on_its_own_support(monkeypatch, most):
    no_ridge(monkeypatch)
    monkeypatch.setattr(ridge, "MAX_NUMBERS", most)
    mask = torch.tensor([[[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]]).bool()
    given_ = problem()
    given_ = problem(mask=mask, weight=given_.weight * mask)
    found = solve(given_)
    fitting, _ = hold_out(given_)
    assert (found.weight[~mask] == 0).all()
    for output in range(3):
        kept = mask[0, output]
        x = torch.cat([fitting.inputs[0][:, kept], torch.ones(fitting.num_rows, 1)], 1)
        expected = torch.linalg.lstsq(x, fitting.wanted[0][:, [output]]).solution[:, 0]
        torch.testing.assert_close(
            found.weight[0, output, kept], expected[:-1], atol=1e-4, rtol=1e-3
        )
        torch.testing.assert_close(found.bias[0, output], expected[-1], atol=1e-4, rtol=1e-3)


def test_with_few_rows_those_that_judged_are_used_as_well(monkeypatch):
    no_ridge(monkeypatch)
    given_ = problem(rows=40)
    x = torch.cat([given_.inputs[0], torch.ones(40, 1)], 1)
    expected = torch.linalg.lstsq(x, given_.wanted[0]).solution.T
    torch.testing.assert_close(solve(given_).weight[0], expected[:, :5], atol=1e-4, rtol=1e-3)


def test_a_strong_ridge_wins_where_inputs_are_noise():
    """Twenty rows say nothing about 15 inputs: the present weights, which are right, stay near."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 24, 15, generator=generator)
    weight = torch.randn(1, 2, 15, generator=generator)
    wanted = x @ weight.mT + 3 * torch.randn(1, 24, 2, generator=generator)
    found = solve(problem(inputs=15, weight=weight).cut(0, 24).__class__(
        x, wanted, None, weight, torch.zeros(1, 2), None, True, None))  # fmt: skip
    free = torch.linalg.lstsq(x[0], wanted[0]).solution.T
    assert (found.weight[0] - weight[0]).norm() < (free - weight[0]).norm()


def test_the_clamp_is_taken_into_account(monkeypatch):
    """Against gradient descent on the clamped loss itself, which is convex."""
    no_ridge(monkeypatch)
    monkeypatch.setattr(ridge, "CLAMP_STEPS", 200)
    given_ = problem(rows=300, inputs=3, outputs=1, bounds=(0.0, math.inf))
    centred = given_.wanted - given_.wanted.mean()
    given_ = Problem(**vars(given_) | {"wanted": centred.abs() - centred.abs().mean()})
    found = solve(given_)
    assert found.clamps
    fitting, judging = hold_out(given_)
    x, y = fitting.inputs[0].double(), fitting.wanted[0].double()
    w = torch.zeros(1, 3, dtype=torch.double, requires_grad=True)
    b = torch.zeros(1, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        outputs = x @ w.T + b
        beyond = torch.where(y > 0, outputs - y, (outputs - y.clamp(min=0)).clamp(min=0))
        beyond = torch.where(y > 0, beyond, (outputs.clamp(min=0)))
        return beyond.square().sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    torch.testing.assert_close(found.weight[0].double(), w.detach(), atol=2e-3, rtol=2e-3)
    linear = solve(Problem(**vars(given_) | {"bounds": None}))
    assert judging.error(found.weight, found.bias) < judging.error(linear.weight, linear.bias)


# --- rows ---


@pytest.mark.parametrize(
    ("groups", "kernel", "stride", "padding", "dilation"),
    [
        (1, (3, 3), (1, 1), (1, 1), (1, 1)), (1, (3, 2), (2, 1), (0, 1), (1, 2)),
        (2, (3, 3), (2, 2), (1, 1), (1, 1)), (4, (3, 3), (1, 1), (1, 1), (2, 1)),
        (1, (1, 1), (2, 2), (0, 0), (1, 1)),
    ],
)  # fmt: skip
def test_patches_times_weights_are_the_convolution(groups, kernel, stride, padding, dilation):
    convolution = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups)
    images = torch.randn(6, 4, 9, 7)
    output = convolution(images)
    places = Places(6, 0, images.device).choose(extent_of(output, False), 60)
    assert places.shape == (6, 10)
    rows = patch_rows(
        images, places, output.shape[2:], kernel, stride, padding, dilation, groups
    )  # fmt: skip
    weight = convolution.weight.reshape(groups, 8 // groups, -1)
    found = rows @ weight.mT + convolution.bias.view(groups, 1, -1)
    torch.testing.assert_close(
        found.transpose(0, 1).flatten(1), output_rows(output, places, False), atol=1e-5, rtol=1e-5
    )


def test_places_are_distinct_seeded_and_all_of_them_where_there_are_few():
    one, two, other = (Places(5, seed, torch.device("cpu")) for seed in (1, 1, 2))
    chosen = one.choose((6, 6), 50)
    assert torch.equal(chosen, two.choose((6, 6), 50))
    assert not torch.equal(chosen, other.choose((6, 6), 50))
    assert all(len(set(row.tolist())) == 10 for row in chosen)
    assert torch.equal(one.choose((2, 2), 50), torch.arange(4).expand(5, 4))
    tokens = torch.randn(5, 6, 6, 3)
    assert torch.equal(output_rows(tokens, chosen, True)[3], tokens.flatten(1, 2)[0, chosen[0, 3]])


# --- whole networks ---


class Residual(nn.Module):
    """Every kind of layer: shortcut sums, depthwise, grouped, dilated, BatchNorm, Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, 1, 1)
        self.bn = nn.BatchNorm2d(8)
        self.branch = nn.Conv2d(8, 8, 3, 1, 2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, 2, 1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 12, 3, 1, 1, groups=2)
        self.act = nn.ReLU6()
        self.shortcut = nn.Conv2d(8, 12, 1, 2)
        self.fc = nn.Linear(12, 10)
        self.fc2 = nn.Linear(10, 10)
        self.classifier = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x)).relu_()
        x = (self.bn1(self.branch(x)) + x).relu()
        y = self.act(self.bn2(self.depthwise(x)))
        y = self.grouped(y)
        y += F.dropout(self.shortcut(x), 0.5, self.training)
        y = F.relu(y).mean((2, 3))
        y = self.fc(y).relu()
        return self.classifier(y + self.fc2(y))


def residual(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = Residual().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.3)
    return network


def images(count: int = 200, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(count, 2, 4, 4, generator=generator)
    return F.interpolate(rough, scale_factor=2, mode="bilinear")


def masked(network: nn.Module, share: float, seed: int = 0) -> tuple[nn.Module, dict[str, Tensor]]:
    """A copy with a share of every weight at zero, chosen at random."""
    pruned, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    masks = {
        f"{path}.weight": torch.rand(part.weight.shape, generator=generator) >= share
        for path, part in pruned.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    with torch.no_grad():
        for key, mask in masks.items():
            pruned.get_parameter(key).mul_(mask)
    return pruned, masks


@torch.no_grad()
def distance(network: nn.Module, dense: nn.Module, seed: int = 9) -> float:
    """Mean squared distance of the outputs on other images."""
    fresh = images(100, seed)
    return float((network(fresh) - dense(fresh)).square().mean())


def test_the_graph_knows_what_follows_each_layer():
    layers = trace(residual(), images(2)).layers
    found = {path: (x.norm, x.target, x.bounds) for path, x in layers.items()}
    relu = (0.0, math.inf)
    assert found == {
        "stem": ("bn", ("norm", "bn"), relu),
        "branch": ("bn1", ("add", "0"), relu),
        "depthwise": ("bn2", ("norm", "bn2"), (0.0, 6.0)),
        "grouped": ("", ("layer", "grouped"), None),
        "shortcut": ("", ("add", "1"), relu),
        "fc": ("", ("layer", "fc"), relu),
        "fc2": ("", ("add", "2"), None),
        "classifier": ("", ("layer", "classifier"), None),
    }


def test_nothing_changes_where_nothing_was_pruned():
    dense = residual()
    network = copy.deepcopy(dense)
    done = reconstruct_(network, dense, images(), masks={}, kept={})
    for key, value in dense.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value, atol=0, rtol=0)
    assert {step.method for step in done.steps} == {"as it was"}
    assert not any(step.kept for step in done.steps)
    assert (len(done.steps), done.notes) == (8, ())


def test_masked_weights_stay_zero_and_outputs_come_back():
    dense = residual()
    pruned, masks = masked(dense, 0.5)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    for key, mask in masks.items():
        assert (network.get_parameter(key)[~mask] == 0).all()
        assert (network.get_parameter(key)[mask] != 0).all()
    assert distance(network, dense) < 0.3 * distance(pruned, dense)
    assert all(step.error_after <= step.error_before for step in done.steps)
    assert not any(part.training for part in network.modules())


def test_batch_norm_gives_the_same_in_training_mode():
    """Statistics, factor and shift fit the new weights, so that fine-tuning starts from them."""
    dense = residual()
    network, masks = masked(dense, 0.3)
    reconstruct_(network, dense, images(), masks=masks, kept={})
    with torch.no_grad():
        normal = network(images())
        network.bn.train()
        torch.testing.assert_close(network(images()), normal, atol=0.05, rtol=0.05)


def test_channels_that_are_gone_are_made_up_for_by_the_rest():
    """Channel 0 of a layer equals the sum of the others, so nothing is lost by its removal."""
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3, stride=2, padding=1))
    with torch.no_grad():
        dense[0].weight[0] = dense[0].weight[1:].sum(0)
        dense[0].bias[0] = dense[0].bias[1:].sum()
    thin = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, stride=2, padding=1))
    kept = torch.tensor([1, 2, 3])
    with torch.no_grad():
        thin[0].weight.copy_(dense[0].weight[kept])
        thin[0].bias.copy_(dense[0].bias[kept])
        thin[1].weight.copy_(dense[1].weight[:, kept])
        thin[1].bias.copy_(dense[1].bias)
    before = distance(thin, dense)
    done = reconstruct_(thin, dense, images(), masks={}, kept={"0": kept})
    assert before > 1e-2
    assert distance(thin, dense) < 1e-4 * before
    assert [step.kept for step in done.steps] == [False, True]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.6, 0.9]))
def test_random_networks_never_come_out_worse(seed, share):
    dense = residual(seed)
    pruned, masks = masked(dense, share, seed)
    network = copy.deepcopy(pruned)
    reconstruct_(network, dense, images(120, seed), masks=masks, kept={})
    assert distance(network, dense, seed) <= distance(pruned, dense, seed)


def test_whole_channels_at_zero_stay_there():
    """A preview masks a channel's weights, its norm and the inputs that came from it."""
    dense = residual()
    dead = torch.tensor([True, False] * 4)
    masks = {
        "branch.weight": (~dead)[:, None, None, None].expand(8, 8, 3, 3),
        "bn1.weight": ~dead, "bn1.bias": ~dead,
    }  # fmt: skip
    network = copy.deepcopy(dense)
    with torch.no_grad():
        for key, mask in masks.items():
            network.get_parameter(key).mul_(mask)
    reconstruct_(network, dense, images(), masks=masks, kept={})
    assert (network.branch.weight[dead] == 0).all()
    assert (network.bn1.weight[dead] == 0).all()
    assert (network.bn1.bias[dead] == 0).all()
    assert torch.equal(network.branch.weight[~dead], dense.branch.weight[~dead])


def test_the_same_seed_gives_the_same_weights():
    dense = residual()
    pruned, masks = masked(dense, 0.5)
    found = []
    for seed in (4, 4, 5):
        network = copy.deepcopy(pruned)
        reconstruct_(network, dense, images(600), masks=masks, kept={}, seed=seed)
        found.append(network.state_dict()["branch.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_it_tells_every_batch_and_layer_and_stops_leaving_all_as_it_was():
    dense = residual()
    pruned, masks = masked(dense, 0.5)
    heard: list[Progress] = []
    reconstruct_(copy.deepcopy(pruned), dense, images(), masks=masks, kept={}, report=heard.append)
    assert [p.done for p in heard] == list(range(1, len(heard) + 1))
    assert heard[0].message == "Watching the dense model"
    steps = [p.values["step"]["layer"] for p in heard if p.values]
    assert steps[:2] == ["stem", "branch"]
    for limit in range(len(heard) + 1):
        network, count = copy.deepcopy(pruned), []
        done = reconstruct_(
            network, dense, images(), masks=masks, kept={}, report=count.append,
            should_stop=lambda count=count, limit=limit: len(count) >= limit,
        )  # fmt: skip
        assert done is None
        for key, value in pruned.state_dict().items():
            assert torch.equal(network.state_dict()[key], value)


def test_an_error_on_the_way_leaves_all_as_it_was():
    dense = residual()
    pruned, masks = masked(dense, 0.5)
    network = copy.deepcopy(pruned)

    def break_off(progress: Progress) -> None:
        if progress.message == "Repaired grouped":
            raise MemoryError

    with pytest.raises(MemoryError):
        reconstruct_(network, dense, images(), masks=masks, kept={}, report=break_off)
    for key, value in pruned.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


def test_layers_of_unknown_kinds_are_left_with_a_note():
    class Unknown(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(8, 3, batch_first=True, bidirectional=True)
            self.again = nn.GRU(6, 6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.again(self.again(self.gru(x[:, 0])[0])[0])[0][:, -1]

    torch.manual_seed(0)
    dense = Unknown().eval()
    network = copy.deepcopy(dense)
    done = reconstruct_(network, dense, images(), masks={}, kept={})
    assert done.steps == ()
    assert done.notes == (
        "gru (GRU) was left as it is.",
        "again is used 2 times in a pass, not each time as the weight of a layer, so it was left "
        "as it is.",
    )
    assert torch.equal(network.again.weight_ih_l0, dense.again.weight_ih_l0)


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers_are_solved_gate_by_gate(kind, batch_first):
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = kind(16, 10, 2, batch_first=batch_first)
            self.classifier = nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            steps = x.transpose(1, 2).flatten(2)
            if batch_first:
                return self.classifier(self.recurrent(steps)[0][:, -1])
            return self.classifier(self.recurrent(steps.transpose(0, 1))[0][-1])

    torch.manual_seed(0)
    dense = Rows().eval()
    with torch.no_grad():
        for parameter in dense.recurrent.parameters():
            parameter.mul_(2)
    pruned, masks = masked(dense, 0.4)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l1"):
            mask = torch.rand(dense.recurrent.get_parameter(name).shape) > 0.4
            masks[f"recurrent.{name}"] = mask
            pruned.recurrent.get_parameter(name).mul_(mask)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    for key, mask in masks.items():
        assert (network.get_parameter(key)[~mask] == 0).all()
    assert [step.layer for step in done.steps] == ["recurrent.l0", "recurrent.l1", "classifier"]
    assert all(step.kept and step.error_after < step.error_before for step in done.steps)
    assert distance(network, dense) < 0.5 * distance(pruned, dense)


def test_hidden_units_that_are_gone_are_made_up_for():
    """Units 0 and 1 are twins that share their work: one of them can do it alone."""
    torch.manual_seed(0)
    dense = nn.GRU(6, 4, batch_first=True).eval()
    thin = nn.GRU(6, 3, batch_first=True).eval()
    kept = torch.tensor([1, 2, 3])
    rows = torch.cat([kept + 4 * gate for gate in range(3)])
    with torch.no_grad():
        for gate in range(3):
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                parameter = dense.get_parameter(name)
                parameter[4 * gate] = parameter[4 * gate + 1]
        for name, parameter in thin.named_parameters():
            part = dense.get_parameter(name)[rows]
            parameter.copy_(part[:, kept] if name == "weight_hh_l0" else part)
    inputs = torch.randn(80, 9, 6)
    places = Places(80, 0, inputs.device)
    (step,) = reconstruct_recurrent_(
        thin, dense, "gru", inputs, inputs, masks={}, kept=kept, places=places
    )
    assert step.error_before > 1e-3
    assert step.error_after < 1e-6
    with torch.no_grad():
        torch.testing.assert_close(
            thin(inputs)[0], dense(inputs)[0][..., kept], atol=1e-3, rtol=1e-3
        )


def test_large_images_are_fewer_and_rows_are_bounded(monkeypatch):
    dense, few = residual(), images(2)
    widest = 8 * 8 * 8  # channels of the stem's output at 8 x 8
    assert trace(dense, few).widest == widest
    monkeypatch.setattr(reconstruct, "ACTIVATION_BYTES", 40 * 4 * 4 * widest)
    assert affordable_images(dense, dense, few, 1_000) == 40
    assert affordable_images(dense, dense, few, 30) == 30
    monkeypatch.setattr(reconstruct, "ENOUGH_IMAGES", 10)
    monkeypatch.setattr(reconstruct, "ENOUGH_NUMBERS", 25 * widest)
    assert affordable_images(dense, dense, few, 1_000) == 25
    seen = []
    handle = dense.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    network, masks = masked(dense, 0.5)
    seen.clear()
    reconstruct_(network, dense, images(200), masks=masks, kept={})
    handle.remove()
    assert sum(seen) == 2 + 40 + 40  # traced, watched; the copy with the hook is the pruned one
    monkeypatch.setattr(reconstruct, "MAX_OUTPUT_NUMBERS", 10_000)
    graph = trace(dense, few)
    rows = reconstruct._num_rows(dense, graph)
    assert sum(n * len(dense.get_submodule(p).weight) for p, n in rows.items()) <= 10_000


class InPlace(nn.Module):
    """Activations that write into their input, before a sum and behind it."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (2, 8, 8))
        self.act, self.last = nn.ReLU(inplace), nn.ReLU6(inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.a(x))
        return self.last(self.act(self.c(self.act(self.b(x)))) + x).mean((2, 3))


def test_activations_in_place_are_seen_as_the_others():
    torch.manual_seed(0)
    dense = InPlace().eval()
    other = InPlace(inplace=False).eval()
    other.load_state_dict(dense.state_dict())
    graph = trace(dense, images(2))
    assert graph == trace(other, images(2))
    assert {path: layer.target for path, layer in graph.layers.items()} == {
        path: ("layer", path) for path in "abc"
    }
    assert not graph.passing
    network, masks = masked(dense, 0.7)
    before = distance(network, dense)
    reconstruct_(network, dense, images(), masks=masks, kept={})
    assert distance(network, dense) < 0.5 * before


class Sideways(nn.Module):
    """Images not along the first axis: steps first, or parts of images as images of their own."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.fc = nn.Linear(8, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0].transpose(0, 1) if self.kind == "steps" else x.flatten(0, 2)
        y = self.a(rows).relu()
        y = y.transpose(0, 1) if self.kind == "steps" else y.unflatten(0, (len(x), -1))
        return self.fc(y.mean(1))


@pytest.mark.parametrize("kind", ["steps", "parts"])
def test_layers_without_the_images_first_are_left_with_a_note(kind):
    dense = Sideways(kind).eval()
    network, masks = masked(dense, 0.5)
    done = reconstruct_(network, dense, images(300), masks=masks, kept={})
    assert [step.layer for step in done.steps] == ["fc"]
    assert done.notes == ("a (Linear) was left as it is.",)


def test_layers_in_half_precision_are_left_with_a_note():
    dense = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, 4)).half().eval()
    network, masks = masked(dense, 0.5)
    done = reconstruct_(network, dense, images().half(), masks=masks, kept={})
    assert done.steps == ()
    assert done.notes == ("1 (Linear) was left as it is.",)
