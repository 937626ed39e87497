"""Stages of a network, one ranking for each, and layers that are frozen by patterns."""

import fnmatch
import itertools
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.unit.made_up import made_up_groups
from tests.unit.small import small_model, stripes_data
from workbench.accounting import size_of_plan
from workbench.allocation import Budget, allocate
from workbench.allocation.pool import Pool
from workbench.allocation.stage_ranking import StageRanking
from workbench.allocation.uniform import STEPS
from workbench.criteria import get_criterion
from workbench.curves import SensitivitySettings
from workbench.errors import PlanError
from workbench.freezing import (
    fitting_patterns,
    freeze_plan,
    frozen_groups,
    hold_frozen,
    suggest_patterns,
)
from workbench.groups import Groups, find_groups
from workbench.model import Model
from workbench.plan import PruningPlan, num_pruned
from workbench.prune import build_masks, prune
from workbench.sensitivity import measure_sensitivity
from workbench.stages import find_stages, stage_of_groups


class Excited(nn.Module):
    """A convolution whose channels are weighed by two layers at one position, and a smaller map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 6, 3, stride=2, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x).relu()
        weight = self.excite(self.squeeze(y.mean((2, 3))).relu()).sigmoid()
        y = self.second(y * weight[:, :, None, None]).relu()
        return self.head(self.third(y).relu().mean((2, 3)))


def excited() -> Model:
    torch.manual_seed(0)
    return Model("excited", Excited().eval(), (1, 6, 6), 3)


def hooked_sizes(model: Model) -> dict[str, int]:
    """Output positions of every layer with weights, by hooks on a real pass."""
    found = {}

    def note(name):
        return lambda _module, _inputs, output: found.update({name: output[0, 0].numel()})

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.module.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model.module(torch.zeros(1, *model.input_shape))
    for handle in handles:
        handle.remove()
    return found


# Stages


def test_positions_are_those_of_a_real_pass():
    for model in (small_model(), excited()):
        at = hooked_sizes(model)
        for stage in find_stages(find_groups(model)):
            inside = [at[name] for name in stage.groups if at[name] > 1]
            assert all(count == stage.positions for count in inside)


def test_stages_of_the_small_network_by_hand():
    stages = find_stages(find_groups(small_model()))
    assert [(s.title, s.groups) for s in stages] == [
        ("1 (36 positions)", ("conv1",)), ("2 (9 positions)", ("conv2",)),
        ("3 (1 position)", ("fc", "classifier")),
    ]  # fmt: skip


def test_single_positions_between_maps_belong_to_the_stage_they_lie_in():
    stages = find_stages(find_groups(excited()))
    assert [(s.positions, s.groups) for s in stages] == [
        (36, ("first", "squeeze", "excite", "second")), (9, ("third",)), (1, ("head",)),
    ]  # fmt: skip


def test_where_all_work_at_one_size_the_path_tells():
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("flat", nn.Flatten())
    network.add_module("body", nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 8)))
    network.add_module("tail", nn.Linear(8, 3))
    stages = find_stages(find_groups(Model("mlp", network.eval(), (1, 6, 6), 3)))
    assert [(s.number, s.path, s.groups) for s in stages] == [
        (1, "body", ("body.0", "body.2")), (2, "tail", ("tail",)),
    ]  # fmt: skip


def test_a_weight_used_twice_counts_the_positions_of_one_use():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 8, 3, padding=1)
            self.again = nn.Conv2d(8, 8, 3, padding=1)
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x).relu()
            return self.head(self.again(self.again(y).relu()).relu().mean((2, 3)))

    torch.manual_seed(0)
    stages = find_stages(find_groups(Model("twice", Twice().eval(), (1, 6, 6), 3)))
    assert [(s.positions, s.groups) for s in stages] == [(36, ("first", "again")), (1, ("head",))]


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@given(count=st.integers(1, 12), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_every_group_is_in_one_stage_and_stages_are_runs(granularity, count, seed):
    groups = made_up_groups(count, granularity, seed)
    stages = find_stages(groups)
    assert [name for stage in stages for name in stage.groups] == [g.name for g in groups.prunable]
    assert [stage.number for stage in stages] == list(range(1, len(stages) + 1))
    assert all(a.path or a.positions != b.positions for a, b in itertools.pairwise(stages))
    assert stage_of_groups(groups)[groups.prunable[0].name] == stages[0]


# One ranking for each stage


def slow_stage(model: Model, groups: Groups, sparsity: float) -> dict[str, set[int]]:
    """Weights that go, group by group: per stage the lowest, one by one, each best one spared."""
    gone: dict[str, set[int]] = {}
    for stage in find_stages(groups):
        own = [name for name in stage.groups if not groups.group(name).protected]
        rows = []
        for name in own:
            weight = model.module.get_parameter(f"{name}.weight").detach().abs().flatten().tolist()
            best = max(range(len(weight)), key=lambda i: (weight[i], i))
            rows += [(value, name, i) for i, value in enumerate(weight) if i != best]
            gone[name] = set()
        rows.sort(key=lambda row: (row[0], own.index(row[1]), row[2]))
        total = sum(groups.group(name).num_units for name in own)
        for _, name, i in rows[: num_pruned(sparsity, total) if total else 0]:
            gone[name].add(i)
    return gone


@given(sparsity=st.floats(0, 0.97), seed=st.integers(0, 5))
@settings(max_examples=25)
def test_per_stage_equals_the_slow_loop(sparsity, seed):
    model = small_model(seed)
    groups = find_groups(model)
    plan = allocate(model, "stage", sparsity=sparsity, groups=groups)
    masks = build_masks(model, plan, groups)
    for name, units in slow_stage(model, groups, sparsity).items():
        cut = {i for i, kept in enumerate(masks[f"{name}.weight"].flatten().tolist()) if not kept}
        assert cut == units


def test_per_stage_is_global_in_one_stage_and_uniform_with_a_layer_each():
    groups = find_groups(small_model())
    assert all(len([n for n in s.groups if n != "classifier"]) == 1 for s in find_stages(groups))
    stage = allocate(small_model(), "stage", sparsity=0.4)
    for name, value in stage.sparsities.items():
        units = groups.group(name).num_units
        assert num_pruned(value, units) == num_pruned(0.4, units)
    torch.manual_seed(0)
    one = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(),
        nn.Conv2d(6, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    model = Model("one", one.eval(), (1, 6, 6), 3)
    assert len({s.positions for s in find_stages(find_groups(model))}) == 1
    wide = Model("wide", nn.Sequential(nn.Flatten(), one_block()), (1, 6, 6), 3)
    assert len(find_stages(find_groups(wide))) == 1
    same = [allocate(wide, rule, sparsity=0.5).sparsities for rule in ("stage", "global")]
    assert same[0] == same[1]


def one_block() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("granularity", ["weight", "channel", "kernel"])
def test_a_budget_per_stage_is_met_by_the_smallest_common_sparsity(granularity):
    model = small_model()
    groups = find_groups(model, granularity)
    pool = Pool(
        model=model, all=groups, criterion=get_criterion("l1"), seed=0,
        members=tuple(group for group in groups.prunable if not group.protected),
    )  # fmt: skip
    ranking = StageRanking(pool)

    def part(values: Mapping[str, float]) -> float:
        size = size_of_plan(groups, PruningPlan(values, granularity))
        return size.macs / size.dense_macs

    plan = allocate(
        model, "stage", budget=Budget("macs", 0.8), granularity=granularity, groups=groups
    )
    assert part(plan.sparsities) <= 0.8
    steps = [ranking.sparsities(level) for level in range(0, STEPS, STEPS // 200)]
    met = [values for values in steps if part(values) <= 0.8]
    assert met
    assert all(plan.sparsities[name] <= met[0][name] for name in plan.sparsities)
    missed = [values for values in steps if part(values) > 0.8]
    assert all(plan.sparsities[name] >= missed[-1][name] for name in plan.sparsities)


def test_bounds_hold_per_stage():
    plan = allocate(
        small_model(), "stage", sparsity=0.5, granularity="channel", bounds={"conv1": (0.0, 0.25)}
    )
    assert plan.sparsities["conv1"] <= 0.25


# Freezing


@given(pattern=st.sampled_from(["conv*", "conv?", "[cf]*", "fc", "*", "conv[12]", "c*1"]))
def test_a_pattern_freezes_what_a_shell_would_list(pattern):
    groups = find_groups(small_model())
    names = [group.name for group in groups.prunable]
    assert [*frozen_groups(groups, [pattern])] == fnmatch.filter(names, pattern)


def test_the_first_pattern_is_told_and_the_order_is_that_of_the_network():
    groups = find_groups(small_model())
    assert frozen_groups(groups, ["fc", "conv*", "conv2"]) == {
        "conv1": "conv*", "conv2": "conv*", "fc": "fc",
    }  # fmt: skip


def test_a_layer_freezes_the_channels_that_it_shares():
    torch.manual_seed(0)

    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.head = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x).relu()
            return self.head((y + self.b(y)).mean((2, 3)))

    model = Model("added", Added().eval(), (1, 6, 6), 3)
    assert frozen_groups(find_groups(model, "channel"), ["b"]) == {"a": "b"}


def test_frozen_groups_stay_dense_whatever_spreads_the_target():
    model = small_model()
    for method in ("uniform", "global", "stage", "cost_aware", "erk", "random"):
        plan = allocate(model, method, budget=Budget("params", 0.6), freeze=["conv*"])
        assert (plan.sparsities["conv1"], plan.sparsities["conv2"]) == (0, 0)
        assert plan.sparsities["fc"] > 0
        kept = prune(model, plan).model.module
        assert torch.equal(kept.conv1.weight, model.module.conv1.weight)
        size = size_of_plan(find_groups(model), plan)
        assert size.num_nonzero <= 0.6 * size.num_params, "what is frozen counts in the budget"


def test_a_plan_loses_what_is_frozen_and_nothing_else():
    groups = find_groups(small_model())
    plan = PruningPlan({"conv1": 0.5, "fc": 0.7})
    assert dict(freeze_plan(groups, plan, ["conv*"]).sparsities) == {"conv1": 0.0, "fc": 0.7}
    assert freeze_plan(groups, plan, ["conv2"]) is plan


def test_frozen_layers_are_not_measured():
    settings = SensitivitySettings((0.5,), 8)
    curves = measure_sensitivity(small_model(), stripes_data(), settings, freeze=["conv*"])
    assert curves.groups == ("fc", "classifier")
    assert curves.complete
    whole = measure_sensitivity(small_model(), stripes_data(), settings)
    assert curves.curve("fc") == whole.curve("fc")


def test_locks_and_patterns_may_agree_but_not_contradict():
    groups = find_groups(small_model())
    assert hold_frozen(groups, ["conv*"], {"fc": 0.5, "conv1": 0.0}) == {
        "fc": 0.5, "conv1": 0.0, "conv2": 0.0,
    }  # fmt: skip
    with pytest.raises(PlanError, match=r"locked at a sparsity of 0\.5 and frozen by 'conv"):
        hold_frozen(groups, ["conv*"], {"conv1": 0.5})


def test_patterns_that_fit_nothing_here_are_set_aside():
    groups = find_groups(small_model(), "channel")
    assert fitting_patterns(groups, ["conv*", "classifier", "layer9"]) == ("conv*",)


def test_offered_patterns_fit_and_name_parts_before_single_layers():
    for granularity in ("weight", "channel"):
        groups = made_up_groups(3, granularity)
        assert fitting_patterns(groups, suggest_patterns(groups)) == suggest_patterns(groups)
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module("flat", nn.Flatten())
    network.add_module("body", nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 8)))
    network.add_module("tail", nn.Linear(8, 3))
    model = Model("mlp", network.eval(), (1, 6, 6), 3)
    assert suggest_patterns(find_groups(model)) == ("body.*", "body.0", "body.2", "tail")
