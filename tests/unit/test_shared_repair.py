"""Full repair of shared weights: plain least squares on stacked rows, identities, refusals."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench import reconstruct
from workbench.reconstruct import reconstruct_, ridge, stack
from workbench.reconstruct.graph import trace
from workbench.reconstruct.ridge import Problem, solve
from workbench.reconstruct.stack import Fit, Use, solve_stack


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def use(seed: int, rows: int = 300, size: float = 1.0, **changes) -> Use:
    """Random rows; wanted outputs are not a linear function of them."""
    inputs = random(1, rows, 5, seed=seed) + seed
    wanted = size * (inputs @ random(1, 5, 3, seed=seed + 50) + random(1, rows, 3, seed=seed + 99))
    values = {
        "inputs": inputs, "wanted": wanted, "offset": None, "bounds": None,
        "factor": torch.ones(1, 3), "bias": random(1, 3, seed=seed + 7), "slot": f"own {seed}",
    }  # fmt: skip
    return Use(**values | changes)


WEIGHT = random(1, 3, 5, seed=1234)


def no_ridge(monkeypatch) -> None:
    monkeypatch.setattr(ridge, "STRENGTHS", (0.0,))
    monkeypatch.setattr(stack, "STRENGTHS", (0.0,))


def plain(uses: list[Use], output: int, kept: Tensor) -> Tensor:
    """Weight of one output and the bias of every slot by ``lstsq`` on all rows in one matrix."""
    slots = sorted({one.slot for one in uses if one.slot is not None})
    rows, targets = [], []
    for one in (one.held_out()[0] for one in uses):
        wanted = one.wanted[0, :, output].double()
        spread = (one.wanted[0] - one.wanted[0].mean(0)).double().square().sum().sqrt()
        if one.offset is not None:
            wanted = wanted - one.offset[0, :, output].double()
        if one.slot is None:
            wanted = wanted - one.bias[0, output].double()
        inputs = one.inputs[0][:, kept].double() * one.factor[0, output].double()
        ones = torch.zeros(len(inputs), len(slots)).double()
        if one.slot is not None:
            ones[:, slots.index(one.slot)] = 1
        rows.append(torch.cat([inputs, ones], 1) / spread)
        targets.append(wanted / spread)
    return torch.linalg.lstsq(torch.cat(rows), torch.cat(targets)[:, None]).solution[:, 0].float()


CASES = {
    "a bias for each": [use(0), use(1, size=100.0), use(2, rows=500)],
    "one bias for all": [use(0, slot="b"), use(1, slot="b", size=0.01)],
    "a bias that stays": [use(0, slot=None), use(3, slot="b")],
    "a sum": [use(0, offset=random(1, 300, 3, seed=8)), use(1)],
    "own factors": [
        use(0, factor=torch.tensor([[0.5, -2.0, 1.0]]), has_norm=True),
        use(1, factor=torch.tensor([[3.0, 0.1, 1.0]]), has_norm=True), use(2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("most", [0, 2**23])  # conjugate gradients, a factor for every output
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_without_ridge_it_is_plain_least_squares_on_all_rows(monkeypatch, case, masked, most):
    no_ridge(monkeypatch)
    monkeypatch.setattr(stack, "ROUNDS", 0)
    monkeypatch.setattr(stack, "MAX_NUMBERS", most)
    uses = CASES[case]
    mask = torch.ones(1, 3, 5, dtype=torch.bool)
    if masked:
        mask = torch.tensor([[[1, 0, 1, 1, 0], [1, 1, 0, 0, 1], [0, 0, 0, 1, 0]]]).bool()
    found = solve_stack(uses, WEIGHT * mask, mask if masked else None)
    assert (found.weight[~mask] == 0).all()
    slots = sorted({one.slot for one in uses if one.slot is not None})
    for output in range(3):
        kept = mask[0, output]
        expected = plain(uses, output, kept)
        count = int(kept.sum())
        torch.testing.assert_close(
            found.weight[0, output, kept], expected[:count], atol=1e-3, rtol=1e-3
        )
        for one, bias in zip(uses, found.biases, strict=True):
            wanted = (
                one.bias[0, output] if one.slot is None
                else expected[count + slots.index(one.slot)]
            )  # fmt: skip
            torch.testing.assert_close(bias[0, output], wanted, atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize("bounds", [None, (0.0, float("inf")), (0.0, 6.0)])
def test_one_use_is_what_any_layer_is(bounds):
    one = use(0, bounds=bounds)
    layer = Problem(one.inputs, one.wanted, None, WEIGHT, one.bias, None, True, bounds)
    expected, found = solve(layer), solve_stack([one], WEIGHT, None)
    torch.testing.assert_close(found.weight, expected.weight, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.biases[0], expected.bias, atol=1e-4, rtol=1e-3)
    assert found.clamps == expected.clamps


def test_the_size_of_a_use_and_its_number_of_rows_do_not_matter(monkeypatch):
    """Twice the rows, or outputs a thousand times as large: the same weight is the best."""
    monkeypatch.setattr(stack, "ROUNDS", 0)
    uses = [use(0, has_norm=True)._cut(0, 256), use(1, has_norm=True)._cut(0, 256)]
    expected = solve_stack(uses, WEIGHT, None).weight
    twice = replace(uses[1], inputs=_twice(uses[1].inputs), wanted=_twice(uses[1].wanted))
    thousand = torch.full((1, 3), 1000.0)
    large = replace(uses[1], wanted=uses[1].wanted * 1000, factor=thousand)
    for other in (twice, large):
        found = solve_stack([uses[0], other], WEIGHT, None).weight
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def _twice(rows: Tensor) -> Tensor:
    """Every row two times, so that the last eighth holds the same ones."""
    return rows.repeat_interleave(2, 1)


@pytest.mark.parametrize("offset", [None, random(1, 300, 3, seed=8)])
def test_the_factor_and_shift_of_a_norm_are_a_line_through_the_rows(offset):
    one = use(2, has_norm=True, offset=offset)
    found = one.with_fitted_norm(WEIGHT)
    raw = (one.inputs @ WEIGHT.mT)[0]
    wanted = one.wanted[0] if offset is None else one.wanted[0] - offset[0]
    for output in range(3):
        line = torch.stack([raw[:, output], torch.ones(len(raw))], 1)
        expected = torch.linalg.lstsq(line, wanted[:, [output]]).solution[:, 0]
        torch.testing.assert_close(found.factor[0, output], expected[0], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(found.bias[0, output], expected[1], atol=1e-3, rtol=1e-3)


def test_weight_and_factors_in_turns_come_closer_than_the_weight_alone(monkeypatch):
    wrong = torch.tensor([[0.2, 4.0, 1.0]])
    uses = [use(0, has_norm=True, factor=wrong), use(0, has_norm=True, size=3.0)]

    def error(fit: Fit) -> float:
        return fit.error([one.held_out()[1] for one in uses])

    both = error(solve_stack(uses, WEIGHT, None))
    monkeypatch.setattr(stack, "ROUNDS", 0)
    assert both < 0.7 * error(solve_stack(uses, WEIGHT, None))


def test_a_weight_for_each_use_comes_at_least_as_close_and_the_present_one_never_closer(
    monkeypatch,
):
    no_ridge(monkeypatch)
    uses = [use(seed) for seed in range(4)]
    fitting = [one.held_out()[0] for one in uses]
    one_for_all = solve_stack(uses, WEIGHT, None).error(fitting)
    one_for_each = [
        solve_stack([one], WEIGHT, None).error([rows])
        for one, rows in zip(uses, fitting, strict=True)
    ]
    present = [one.error(WEIGHT) for one in fitting]
    assert sum(one_for_each) / 4 < one_for_all < sum(present) / 4


# --- whole networks ---


class Loop(nn.Module):
    """A layer called several times in a loop, its inputs other ones each time."""

    def __init__(self, times: int = 3) -> None:
        super().__init__()
        self.times = times
        self.block = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for _ in range(self.times):
            x = self.block(x).tanh()
        return x


class Tied(nn.Module):
    """Two modules with one Parameter and biases of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(12, 12), nn.Linear(12, 12)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x.flatten(1)).tanh())


class OneBias(nn.Module):
    """Two weights of different size with one bias."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(12, 5), nn.Linear(7, 5)
        self.other.bias = self.one.bias

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.cat([self.one(x), self.other(x[:, :7].square())], 1)


class Blocks(nn.Module):
    """A residual block called twice, with BatchNorms of each call; then one kernel, two scales."""

    def __init__(self, shared: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        block = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList([block, block if shared else copy.deepcopy(block)])
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(2))
        self.near, self.far = (nn.Conv2d(6, 5, 3, padding=p, dilation=p) for p in (1, 2))
        if shared:
            self.far.weight = self.near.weight
        self.classifier = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = (norm(block(x)) + x).relu()
        x = self.near(x).relu().mean((2, 3)) + self.far(x).relu().mean((2, 3))
        return self.classifier(x)


def dense_of(network: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.2)
                part.running_var.uniform_(0.5, 1.5)
                part.weight.uniform_(0.5, 1.5)
    return network.eval()


def built(kind, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return dense_of(kind(), seed)


def images(count: int = 200, seed: int = 1) -> Tensor:
    return F.interpolate(random(count, 1, 3, 3, seed=seed), (3, 4), mode="bilinear")


def cut(
    network: nn.Module, share: float = 0.5, seed: int = 0
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A copy with a share of every weight at zero, chosen at random; a shared one is cut once."""
    pruned, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    masks = {}
    with torch.no_grad():
        for name, own in pruned.named_parameters():
            if own.dim() > 1:
                masks[name] = torch.rand(own.shape, generator=generator) >= share
                own.mul_(masks[name])
    return pruned, masks


def inputs_and_outputs(network: nn.Module, paths: list[str], given: Tensor):
    """What went into every call of some layers and what came out, seen by hooks."""
    seen: list[tuple[Tensor, Tensor]] = []
    handles = [
        network.get_submodule(path).register_forward_hook(
            lambda _, inputs, output: seen.append((inputs[0], output))
        )
        for path in paths
    ]
    with torch.no_grad():
        network(given)
    for handle in handles:
        handle.remove()
    return seen


def least_squares(
    rows: list[Tensor], wanted: list[Tensor], slots: list[int], mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight ``(o, k)`` and a bias for every slot, from the rows that no judge has seen."""
    weight, biases = torch.zeros(mask.shape), torch.zeros(max(slots) + 1, len(mask))
    for output, kept in enumerate(mask):
        left, right = [], []
        for x, y, slot in zip(rows, wanted, slots, strict=True):
            x, y = x[: -len(x) // 8], y[: -len(y) // 8]
            spread = (y - y.mean(0)).square().sum().sqrt()
            ones = F.one_hot(torch.full((len(x),), slot), max(slots) + 1)
            left.append(torch.cat([x[:, kept], ones], 1).double() / spread)
            right.append(y[:, [output]].double() / spread)
        found = torch.linalg.lstsq(torch.cat(left), torch.cat(right)).solution[:, 0].float()
        weight[output, kept], biases[:, output] = found[: int(kept.sum())], found[kept.sum() :]
    return weight, biases


@pytest.mark.parametrize(
    ("kind", "paths", "slots"),
    [(Loop, ["block"], [0, 0, 0]), (Tied, ["one", "other"], [0, 1])],
    ids=["a module called in a loop", "two modules with one weight"],
)
def test_a_network_gets_the_least_squares_solution_of_all_uses(monkeypatch, kind, paths, slots):
    """The rows come from plain hooks: inputs of the pruned network, outputs of the dense one."""
    no_ridge(monkeypatch)
    monkeypatch.setattr(reconstruct, "SWEEPS", 1)
    dense = built(kind)
    network, masks = cut(dense)
    rows = [x for x, _ in inputs_and_outputs(network, paths, images())]
    wanted = [y for _, y in inputs_and_outputs(dense, paths, images())]
    weight, biases = least_squares(rows, wanted, slots, masks[f"{paths[0]}.weight"])
    (step,) = reconstruct_(network, dense, images(), masks=masks, kept={}).steps
    assert step.kept
    assert (step.layer, step.method) == (paths[0], f"ridge, {len(slots)} uses")
    found = [network.get_submodule(path) for path in paths]
    assert all(one.weight is found[0].weight for one in found)
    torch.testing.assert_close(found[0].weight.detach(), weight, atol=1e-3, rtol=1e-3)
    for one, bias in zip(found, biases, strict=True):
        torch.testing.assert_close(one.bias.detach(), bias, atol=1e-3, rtol=1e-3)


def test_two_weights_with_one_bias_are_solved_together(monkeypatch):
    no_ridge(monkeypatch)
    monkeypatch.setattr(reconstruct, "SWEEPS", 1)
    dense = built(OneBias)
    network, masks = cut(dense)
    paths = ["one", "other"]
    (x1, _), (x2, _) = inputs_and_outputs(network, paths, images(400))
    wanted = [y for _, y in inputs_and_outputs(dense, paths, images(400))]
    rows = [F.pad(x1, (0, 7)), F.pad(x2, (12, 0))]
    mask = torch.cat([masks["one.weight"], masks["other.weight"]], 1)
    weight, biases = least_squares(rows, wanted, [0, 0], mask)
    (step,) = reconstruct_(network, dense, images(400), masks=masks, kept={}).steps
    assert (step.layer, step.kept) == ("one + other", True)
    found = torch.cat([network.one.weight, network.other.weight], 1).detach()
    torch.testing.assert_close(found, weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(network.one.bias.detach(), biases[0], atol=1e-3, rtol=1e-3)
    assert network.other.bias is network.one.bias


@pytest.mark.parametrize("kind", [Loop, Tied, OneBias])
@pytest.mark.parametrize("seed", range(4))
def test_the_error_that_is_told_is_the_one_that_hooks_see_and_never_larger(kind, seed):
    dense = built(kind, seed)
    network, masks = cut(dense, 0.7, seed)
    paths = ["block"] if kind is Loop else ["one", "other"]

    def error(some: nn.Module) -> float:
        errors = []
        for (_, found), (_, wanted) in zip(
            inputs_and_outputs(some, paths, images()), inputs_and_outputs(dense, paths, images()),
            strict=True,
        ):  # fmt: skip
            found, wanted = found[-25:], wanted[-25:]
            errors.append(
                (found - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()
            )
        return float(sum(errors) / len(errors))

    before = error(network)
    (step,) = reconstruct_(network, dense, images(), masks=masks, kept={}).steps
    assert step.error_before == pytest.approx(before, rel=1e-4)
    assert step.error_after == pytest.approx(error(network), rel=1e-4)
    assert step.error_after <= step.error_before
    for name, mask in masks.items():
        assert (network.get_parameter(name)[~mask] == 0).all()


@torch.no_grad()
def distance(network: nn.Module, dense: nn.Module) -> float:
    fresh = images(300, seed=9)
    return float((network(fresh) - dense(fresh)).square().mean())


def test_uses_are_found_with_their_norms_sums_and_activations():
    graph = trace(built(Blocks), images(2))
    assert set(graph.layers) == {"stem", "classifier"}
    block, views = graph.units
    assert (block.paths, views.paths) == (("blocks.0",), ("near",))
    assert [(use.norm, use.target) for use in block.uses] == [
        ("norms.0", ("add", "0")), ("norms.1", ("add", "1")),
    ]  # fmt: skip
    assert [(use.bias, use.target) for use in views.uses] == [
        ("near.bias", ("use", "near 0")), ("far.bias", ("use", "near 1")),
    ]  # fmt: skip
    assert all(use.bounds == (0.0, float("inf")) for use in (*block.uses, *views.uses))
    assert graph.notes == ()


@pytest.mark.parametrize("seed", range(3))
def test_a_network_without_the_sharing_comes_at_least_as_close(monkeypatch, seed):
    """Weights of their own can do all that one for several can, layer by layer."""
    monkeypatch.setattr(reconstruct, "SWEEPS", 1)
    shared = built(Blocks, seed)
    apart = Blocks(shared=False).eval()
    apart.load_state_dict(shared.state_dict())
    pruned, masks = cut(shared, 0.6, seed)
    network, other = copy.deepcopy(pruned), copy.deepcopy(apart)
    other.load_state_dict(pruned.state_dict())
    masks_apart = masks | {"blocks.1.weight": masks["blocks.0.weight"]}
    masks_apart["far.weight"] = masks["near.weight"]
    done = reconstruct_(network, shared, images(600), masks=masks, kept={})
    done_apart = reconstruct_(other, apart, images(600), masks=masks_apart, kept={})
    errors = {step.layer: step.error_after for step in done.steps}
    own = {step.layer: step.error_after for step in done_apart.steps}
    assert own["blocks.0"] + own["blocks.1"] < 2 * errors["blocks.0"]
    assert own["near"] + own["far"] < 2 * errors["near"]
    assert distance(network, shared) < 0.6 * distance(pruned, shared)
    assert distance(other, apart) < 0.6 * distance(pruned, shared)
    assert network.far.weight is network.near.weight
    for name, mask in masks.items():
        assert (network.get_parameter(name)[~mask] == 0).all()
        assert (network.get_parameter(name)[mask] != 0).all()


class Tokens(nn.Module):
    """A block of tokens called in a loop, as in transformers that share their layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.classifier = nn.Linear(4, 8), nn.Linear(8, 3)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[:, 0])
        for _ in range(4):
            x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.classifier(x.mean(1))


def test_a_block_of_tokens_that_is_called_in_a_loop_comes_closer():
    dense = built(Tokens)
    pruned, masks = cut(dense)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(600), masks=masks, kept={})
    assert [step.layer for step in done.steps] == ["embed", "up", "down", "classifier"]
    methods = {step.layer: step.method for step in done.steps}
    assert (methods["up"], methods["down"]) == ("ridge, 4 uses", "ridge, 4 uses")
    assert {use.target for use in trace(dense, images(2)).units[1].uses} == {
        ("use", "down 0"),  # what it is added to comes from a layer, which is solved there
        *(("add", str(number)) for number in range(1, 4)),
    }
    assert done.notes == ()
    assert distance(network, dense) < 0.5 * distance(pruned, dense)
    for name, mask in masks.items():
        assert (network.get_parameter(name)[~mask] == 0).all()


def test_nothing_changes_where_nothing_was_pruned():
    dense = built(Blocks)
    network = copy.deepcopy(dense)
    done = reconstruct_(network, dense, images(), masks={}, kept={})
    for key, value in dense.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)
    assert {step.method for step in done.steps} == {"as it was"}
    assert [step.layer for step in done.steps] == ["stem", "blocks.0", "near", "classifier"]


def test_whole_channels_at_zero_stay_there():
    dense = built(Blocks)
    dead = torch.tensor([True, False] * 3)
    masks = {"blocks.0.weight": (~dead)[:, None, None, None].expand(6, 6, 3, 3)}
    for norm in ("norms.0", "norms.1"):
        masks |= {f"{norm}.weight": ~dead, f"{norm}.bias": ~dead}
    network = copy.deepcopy(dense)
    with torch.no_grad():
        for name, mask in masks.items():
            network.get_parameter(name).mul_(mask)
    reconstruct_(network, dense, images(), masks=masks, kept={})
    for name, mask in masks.items():
        assert (network.get_parameter(name)[~mask] == 0).all()


def test_the_same_seed_gives_the_same_weights():
    dense = built(Blocks)
    pruned, masks = cut(dense)
    found = []
    for seed in (4, 4, 5):
        network = copy.deepcopy(pruned)
        reconstruct_(network, dense, images(2_000), masks=masks, kept={}, seed=seed)
        found.append(network.near.weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_stop_at_any_moment_leaves_all_as_it_was():
    dense = built(Blocks)
    pruned, masks = cut(dense)
    asked: list[bool] = []
    reconstruct_(
        copy.deepcopy(pruned), dense, images(), masks=masks, kept={},
        should_stop=lambda: bool(asked.append(True)),
    )  # fmt: skip
    for limit in range(0, len(asked), 5):
        network, count = copy.deepcopy(pruned), []
        done = reconstruct_(
            network, dense, images(), masks=masks, kept={},
            should_stop=lambda count=count, limit=limit: count.append(True) or len(count) > limit,
        )  # fmt: skip
        assert done is None
        for key, value in pruned.state_dict().items():
            assert torch.equal(network.state_dict()[key], value)


class Transposed(nn.Module):
    """A decoder whose weight is that of the encoder, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.classifier = nn.Linear(12, 6), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        code = self.encoder(x.flatten(1)).relu()
        return self.classifier(F.linear(code, self.encoder.weight.T))


def test_a_weight_that_is_used_transposed_is_left_with_a_note():
    dense = built(Transposed)
    pruned, masks = cut(dense)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    assert [step.layer for step in done.steps] == ["classifier"]
    assert torch.equal(network.encoder.weight, pruned.encoder.weight)
    assert done.notes == (
        "encoder is used 2 times in a pass, not each time as the weight of a layer, so it was "
        "left as it is.",
    )


def test_a_bias_that_is_used_elsewhere_stays_and_its_weight_is_solved():
    class Added(Loop):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.block.bias

    dense = built(Added)
    pruned, masks = cut(dense)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    assert done.steps[0].kept
    assert torch.equal(network.block.bias, pruned.block.bias)
    assert done.notes == ("block.bias is used elsewhere too, so it was left as it is.",)


class Way(nn.Module):
    """A block called as often as the images say: their number, or how large they are."""

    def __init__(self, times) -> None:
        super().__init__()
        self.times = times
        self.stem, self.block = nn.Linear(12, 12), nn.Linear(12, 12)
        self.norm = nn.BatchNorm1d(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1)).tanh()
        for _ in range(self.times(x)):
            x = self.norm(self.block(x)).tanh()
        return x


WAYS = {
    "more with more images": lambda x: 2 + (len(x) > 2),
    "fewer with more images": lambda x: 4 - 2 * (len(x) > 2),
    "one only with more images": lambda x: 2 - (len(x) > 2),
    "none with more images": lambda x: 2 * (len(x) <= 2),
    "other ways once it is pruned": lambda x: 2 + (x.std() < 0.42),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_where_the_way_depends_on_the_images_shared_weights_stay_with_a_note(way):
    dense = built(lambda: Way(WAYS[way]))
    pruned, masks = cut(dense, 0.3)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    assert [(step.layer, step.kept) for step in done.steps] == [("stem", True)]
    assert torch.equal(network.block.weight, pruned.block.weight)
    assert "block is not used equally often in every pass, so it was left as it is." in done.notes


class Weighed(Loop):
    """A part of its sums is multiplied."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.add(x.flatten(1), self.block(x.flatten(1)), alpha=0.5).relu()
        return self.block(x).add_(x, alpha=-2)


def test_a_sum_that_weighs_its_parts_is_no_place_to_compare_at():
    dense = built(Weighed)
    pruned, masks = cut(dense)
    network = copy.deepcopy(pruned)
    done = reconstruct_(network, dense, images(), masks=masks, kept={})
    assert [step.method for step in done.steps] == ["ridge, 2 uses"]
    assert distance(network, dense) < 0.8 * distance(pruned, dense)
    assert not network.block.weight[~masks["block.weight"]].any()
