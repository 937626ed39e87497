"""Allocation: exact totals, the same masks as one joint ranking, budgets met with no waste."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.unit.small import small_model
from workbench.accounting import size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, allocate, parse_budget
from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool
from workbench.allocation.uniform import Uniform
from workbench.criteria import get_criterion
from workbench.errors import PlanError, SettingsError, SparsityError
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.model import Model
from workbench.patterns import unit_scores
from workbench.plan import num_pruned
from workbench.prune import build_masks, prune
from workbench.scoring import score_units

POOL = ("conv1", "conv2", "fc")
POOL_WEIGHTS = 36 + 144 + 432
BY_LEVEL = [name for name, entry in ALLOCATIONS.items() if not entry.needs_curves]
STEPWISE = [name for name in BY_LEVEL if name not in ("stage", "cost_aware")]  # these: test_scopes


def test_uniform_gives_every_layer_the_target_and_spares_the_classifier() -> None:
    plan = allocate(small_model(), "uniform", sparsity=0.3)
    assert dict(plan.sparsities) == dict.fromkeys(POOL, 0.3)
    assert plan.allocation == "uniform"
    assert plan.model == small_model().digest


@given(st.floats(0, 0.99), st.sampled_from(["l1", "l2", "random"]), st.integers(0, 9))
def test_global_is_one_joint_ranking_with_an_exact_total(
    sparsity: float, criterion: str, seed: int
) -> None:
    model = small_model(seed)
    plan = allocate(model, "global", sparsity=sparsity, criterion=criterion, seed=seed)
    masks = build_masks(model, plan)
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    assert pruned == num_pruned(sparsity, POOL_WEIGHTS)
    for name in POOL:
        count = num_pruned(plan.sparsities[name], inspect(model).by_name[name].num_weights)
        assert int((~masks[f"{name}.weight"]).sum()) == count
    if criterion == "l1":
        weights = [model.module.get_parameter(f"{name}.weight").detach().abs() for name in POOL]
        cut = list(zip(weights, masks.values(), strict=True))
        gone = torch.cat([weight[~mask] for weight, mask in cut])
        # a layer's largest weight stays even where it is below the cut
        kept = torch.cat([weight[mask & (weight < weight.max())] for weight, mask in cut])
        if len(gone) and len(kept):
            assert gone.max() <= kept.min()


def test_global_by_hand_with_ties_in_the_order_of_layers() -> None:
    model = small_model()
    with torch.no_grad():
        for name in POOL:
            model.module.get_parameter(f"{name}.weight").fill_(1)
        model.module.conv2.weight.fill_(0.5)
        model.module.fc.weight.view(-1)[:10] = 0.1
    plan = allocate(model, "global", sparsity=200 / POOL_WEIGHTS)
    counts = {n: num_pruned(s, {"conv1": 36, "conv2": 144, "fc": 432}[n])
              for n, s in plan.sparsities.items()}  # fmt: skip
    # 10 of 0.1, then 143 of 144 at 0.5 (one stays), then 35 of 36 in conv1, then 12 of fc
    assert counts == {"conv1": 35, "conv2": 143, "fc": 22}


def test_global_never_cuts_a_layer_off() -> None:
    model = small_model()
    top = (POOL_WEIGHTS - 3) / POOL_WEIGHTS
    masks = build_masks(model, allocate(model, "global", sparsity=top))
    assert [int(mask.sum()) for mask in masks.values()] == [1, 1, 1]
    with pytest.raises(SparsityError, match="leaves 1 of 612 weights for 3 layers"):
        allocate(model, "global", sparsity=611 / 612)


@given(
    st.sampled_from(STEPWISE), st.sampled_from(["params", "macs", "bytes"]),
    st.floats(0.45, 1), st.sampled_from(["l1", "random"]),
)  # fmt: skip
def test_budgets_are_met_and_nothing_is_pruned_in_vain(
    method: str, unit: str, kept: float, criterion: str
) -> None:
    model = small_model()
    inspection = inspect(model)

    def part(plan) -> float:
        size = size_of_plan(find_groups(model), plan)
        return {
            "params": size.num_nonzero / size.num_params,
            "macs": size.macs / size.dense_macs,
            "bytes": size.bytes / size.dense_bytes,
        }[unit]

    plan = allocate(model, method, budget=Budget(unit, kept), criterion=criterion)
    assert part(plan) <= kept
    total = sum(
        num_pruned(s, inspection.by_name[n].num_weights) for n, s in plan.sparsities.items()
    )
    if total:
        fewer = (
            allocate(model, method, sparsity=(total - 1) / POOL_WEIGHTS, criterion=criterion)
            if method in ("global", "lamp")
            else plan.with_sparsities({n: max(0, s - 2e-5) for n, s in plan.sparsities.items()})
        )
        assert part(fewer) > kept


def test_protected_layers_stay_dense() -> None:
    every = allocate(small_model(), "uniform", sparsity=0.5, protected=())
    assert set(every.sparsities) == {*POOL, "classifier"}
    some = allocate(small_model(), "global", sparsity=0.5, protected=["conv1", "classifier"])
    assert set(some.sparsities) == {"conv2", "fc"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "globl", "sparsity": 0.5}, PlanError,
         "There is no allocation 'globl'. Did you mean 'global'? Choose one of: uniform, "),
        ({"method": "global"}, SettingsError,
         "A plan needs one target; none given. Give either a sparsity or a budget."),
        ({"method": "global", "sparsity": 0.5, "budget": Budget("params", 0.5)}, SettingsError,
         "A plan needs one target; two given. Give either a sparsity or a budget."),
        ({"method": "uniform", "sparsity": 1.2}, SparsityError,
         "The model asks for sparsity 1.20. Choose a value from 0 to 0.99."),
        ({"method": "uniform", "sparsity": 0.5, "criterion": "L1"}, PlanError,
         "There is no criterion 'L1'. Did you mean 'l1'? Choose one of: "),
        ({"method": "uniform", "sparsity": 0.5, "protected": ["conv9"]}, PlanError,
         "There is no layer 'conv9'."),
        ({"method": "uniform", "sparsity": 0.5, "protected": [*POOL, "classifier"]}, PlanError,
         "No layer is left to prune. Protect fewer layers."),
        ({"method": "global", "budget": Budget("params", 0.01)}, PlanError,
         "The budget params=0.01 cannot be met: the parts that stay dense are more than that. "
         "Keep at least params="),
    ],
)  # fmt: skip
def test_what_cannot_be_allocated_is_refused(arguments, error, message) -> None:
    with pytest.raises(error) as refused:
        allocate(small_model(), **arguments)
    assert str(refused.value).startswith(message)


def test_budgets_are_read_from_text() -> None:
    assert parse_budget("macs=0.25") == Budget("macs", 0.25)
    assert str(parse_budget("bytes=1")) == "bytes=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5", "The budget '0.5' cannot be read. Write it like this: params=0.5."),
        ("params=half", "The budget 'params=half' cannot be read."),
        ("params=nan", "The budget 'params=nan' cannot be read."),
        ("flops=0.5", "There is no budget in 'flops'."),
        ("params=0", "The budget keeps 0.0 of params. Give a fraction above 0 and up to 1"),
        ("macs=1.5", "The budget keeps 1.5 of macs."),
    ],
)
def test_wrong_budgets_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_budget(text)
    assert str(refused.value).startswith(message)


# --- granularities ---


def chain() -> Model:
    """Two convolutions, a hidden layer and a classifier, for images of 1 x 6 x 6."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip
    return Model("chain", network.eval(), (1, 6, 6), 3)


MASKED = ("nm:1:2", "nm:2:4", "block:4x4", "block:2x2:kernel", "kernel")


def _pruned_units(model, plan) -> dict[str, tuple[int, int]]:
    """Group name to how many of its units are pruned, and how many there are, by pruning."""
    groups = find_groups(model, plan.granularity)
    if plan.granularity == "channel":
        kept = prune(model, plan, groups).kept
        return {
            name: (groups.group(name).num_units - len(units), groups.group(name).num_units)
            for name, units in kept.items()
        }
    units = {}
    for name in plan.sparsities:
        layer = groups.group(name).layer
        mask = build_masks(model, plan, groups)[layer.parameter_name]
        means = unit_scores(mask.double(), groups.granularity)
        units[name] = (int((means == 0).sum()), len(means))
    return units


@pytest.mark.parametrize("granularity", ["channel", *MASKED])
@pytest.mark.parametrize("method", BY_LEVEL)
@given(sparsity=st.floats(0, 0.7), seed=st.integers(0, 3))
@settings(max_examples=8)
def test_sparsities_are_quotients_that_pruning_meets(
    method: str, granularity: str, sparsity: float, seed: int
) -> None:
    model = small_model(seed)
    plan = allocate(model, method, sparsity=sparsity, granularity=granularity, seed=seed)
    for name, (gone, total) in _pruned_units(model, plan).items():
        assert gone < total
        if not granularity.startswith("nm"):
            assert plan.sparsities[name] == gone / total
            if method == "uniform":
                assert abs(gone - min(sparsity * total, total - 1)) <= 0.5
    masks = build_masks(model, plan)
    if granularity.startswith("nm"):
        for name, value in plan.sparsities.items():
            mask = masks[f"{name}.weight"]
            assert value * mask.numel() == int((~mask).sum())


@pytest.mark.parametrize("granularity", ["block:4x4", "kernel"])
def test_one_ranking_of_blocks_comes_nearest_to_the_target_of_weights(granularity: str) -> None:
    model = small_model()
    groups = find_groups(model, granularity)
    weights = sum(group.num_params for group in groups.prunable if not group.protected)
    for sparsity in (0.2, 0.5, 0.8):
        plan = allocate(model, "global", sparsity=sparsity, granularity=granularity)
        gone = sum(groups.num_pruned(name, value) for name, value in plan.sparsities.items())
        assert abs(gone - sparsity * weights) <= 16
        scores = {}
        for name, mask in build_masks(model, plan, groups).items():
            weight = model.module.get_parameter(name).detach().abs()
            scores[name] = (
                unit_scores(weight, groups.granularity),
                unit_scores(mask.double(), groups.granularity) == 0,
            )
        spared = {name: own.max() for name, (own, _) in scores.items()}  # each keeps its best
        kept = torch.cat([own[~cut & (own < spared[n])] for n, (own, cut) in scores.items()])
        assert torch.cat([own[cut] for own, cut in scores.values()]).max() <= kept.min()


def test_one_ranking_of_channels_is_by_share_of_the_group() -> None:
    model = small_model()
    groups = find_groups(model, "channel")
    criterion = get_criterion("l1")
    scores = {g.name: score_units(criterion, model, g) for g in groups.prunable}
    total = sum(map(len, scores.values()))
    plan = allocate(model, "global", sparsity=0.4, granularity="channel")
    kept = prune(model, plan, groups).kept
    assert total - sum(map(len, kept.values())) == round(0.4 * total)
    lowest = min(float(scores[name][units].min()) for name, units in kept.items() if len(units) > 1)
    for name, units in kept.items():
        gone = torch.ones(len(scores[name]), dtype=torch.bool)
        gone[units] = False
        if gone.any():
            assert scores[name][gone].max() <= lowest


def test_layers_are_thinned_in_the_order_of_what_goes() -> None:
    model = small_model()
    with torch.no_grad():
        model.module.conv2.weight.mul_(100)  # grouped: two inputs for each output
        model.module.fc.weight.mul_(0.01)
    plan = allocate(model, "global", sparsity=0.3, granularity="nm:1:2")
    assert dict(plan.sparsities) == {"conv2": 0.0, "fc": 0.5}
    both = allocate(model, "global", sparsity=0.5, granularity="nm:1:2")
    assert dict(both.sparsities) == {"conv2": 0.5, "fc": 0.5}
    assert allocate(model, "global", sparsity=0.1, granularity="nm:1:2").sparsities["fc"] == 0


@pytest.mark.parametrize("granularity", ["channel", *MASKED])
@pytest.mark.parametrize(("method", "unit"), [("uniform", "macs"), ("global", "params")])
def test_budgets_are_met_at_every_granularity_by_the_smallest_cut(
    method: str, unit: str, granularity: str
) -> None:
    model = chain()
    groups = find_groups(model, granularity)
    budget = Budget(unit, 0.7)

    def part(plan) -> float:
        size = size_of_plan(groups, plan)
        parts = {"params": size.num_nonzero / size.num_params, "macs": size.macs / size.dense_macs}
        return parts[unit]

    plan = allocate(model, method, budget=budget, granularity=granularity)
    assert part(plan) <= 0.7
    levels = {"uniform": Uniform, "global": GlobalRanking}[method](
        Pool(model=model, all=groups, criterion=get_criterion("l1"), seed=0,
             members=tuple(g for g in groups.prunable if not g.protected))
    )  # fmt: skip
    below = [
        level for level in range(0, levels.top, max(1, levels.top // 200))
        if levels.sparsities(level) != dict(plan.sparsities)
        and sum(levels.sparsities(level).values()) < sum(plan.sparsities.values())
    ]  # fmt: skip
    assert below
    assert all(part(plan.with_sparsities(levels.sparsities(level))) > 0.7 for level in below)


@pytest.mark.parametrize("method", BY_LEVEL)
def test_kept_channels_are_a_multiple_and_the_budget_is_still_met(method: str) -> None:
    model = chain()
    plan = allocate(
        model, method, budget=Budget("macs", 0.6), granularity="channel", channel_multiple=2
    )
    thin = prune(model, plan)
    assert plan.channel_multiple == 2
    assert all(len(units) % 2 == 0 for units in thin.kept.values())
    assert inspect(thin.model).macs <= 0.6 * inspect(model).macs
    size = size_of_plan(find_groups(model, "channel"), plan)
    assert (size.macs, size.num_nonzero) == (
        inspect(thin.model).macs, inspect(thin.model).num_params
    )  # fmt: skip


def test_a_layer_protects_its_whole_group() -> None:
    plan = allocate(chain(), "uniform", sparsity=0.5, granularity="channel", protected=["3"])
    assert set(plan.sparsities) == {"0", "6"}
    same = allocate(chain(), "uniform", sparsity=0.5, granularity="channel", protected=["8"])
    assert set(same.sparsities) == {"0", "3", "6"}  # the last layer is never cut


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"granularity": "channels"}, PlanError, "There is no granularity 'channels'. Did you mean "
         "'channel'?"),
        ({"granularity": "nm:8:16"}, None, ""),
        ({"granularity": "nm:62:64"}, None, ""),
        ({"granularity": "block:64x256"}, PlanError, "Nothing can be pruned at granularity "
         "'block:64x256'. conv1: It is a single block"),
        ({"granularity": "channel", "sparsity": 0.95}, SparsityError, "Sparsity 0.95 leaves 1 of "
         "12 channels for 3 groups. Choose a lower sparsity, so that each group keeps at least "
         "one channel."),
        ({"granularity": "channel", "protected": ["conv9"]}, PlanError, "There is no group "),
        ({"granularity": "kernel", "sparsity": 0.99}, SparsityError, "Sparsity 0.99 leaves "),
        ({"granularity": "channel", "sparsity": None, "budget": Budget("macs", 0.001)}, PlanError,
         "The budget macs=0.001 cannot be met"),
        ({"channel_multiple": 8}, PlanError, "The plan rounds to multiples of 8 channels"),
    ],
)  # fmt: skip
def test_what_a_granularity_cannot_do_is_refused(arguments, error, message) -> None:
    arguments = {"sparsity": 0.5} | arguments
    if error is None:
        plan = allocate(small_model(), "global", **arguments)
        assert set(plan.sparsities) == {"fc"}  # the only layer with so many inputs
        return
    with pytest.raises(error) as refused:
        allocate(small_model(), "global", **arguments)
    assert str(refused.value).startswith(message)
