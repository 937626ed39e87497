"""Scores for what units cost: against brute force, at equal costs, and in measured time."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.unit.made_up import made_up_groups, made_up_latencies, made_up_model
from tests.unit.small import small_model, stripes_data
from workbench.accounting import size_of_plan
from workbench.allocation import Budget, allocate
from workbench.allocation.budget import Target
from workbench.allocation.cost_aware import LEAST_COST, CostAware, unit_costs
from workbench.allocation.costs import Costs
from workbench.allocation.pool import Pool
from workbench.allocation.prices import by_millisecond, price_plan
from workbench.allocation.reasons import explain_plan
from workbench.cost_trade_off import LearntTradeOff, learn_trade_off
from workbench.criteria import get_criterion
from workbench.errors import PlanError, SettingsError
from workbench.groups import Group, Groups, find_groups
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import Progress
from workbench.prune import prune
from workbench.scoring import score_units
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.trials import Bench, TrialSettings


def pool_of(model: Model, granularity: str, **more) -> Pool:
    groups = find_groups(model, granularity)
    members = tuple(group for group in groups.prunable if not group.protected)
    return Pool(
        model=model, all=groups, criterion=get_criterion("l1"), seed=0, members=members, **more
    )


# What a unit costs


@pytest.mark.parametrize(("unit", "part"), [("params", "num_nonzero"), ("macs", "macs")])
def test_a_channel_costs_what_really_goes_with_its_group(unit, part):
    """Oracle: cut each group to its last channel for real and count what is left."""
    model = small_model()
    pool = pool_of(model, "channel")
    groups = pool.all
    saved = []
    for group in pool.members:
        level = (group.num_units - 1) / group.num_units
        size = size_of_plan(groups, PruningPlan({group.name: level}, "channel"))
        dense = size_of_plan(groups, PruningPlan({}, "channel"))
        saved.append((getattr(dense, part) - getattr(size, part)) / (group.num_units - 1))
    mean = sum(saved) / len(saved)
    assert unit_costs(pool, unit) == pytest.approx([one / mean for one in saved])


def test_a_weight_costs_the_positions_it_works_at():
    pool = pool_of(small_model(), "weight")
    costs = unit_costs(pool, "macs")
    assert [cost / costs[2] for cost in costs] == pytest.approx([36, 9, 1], rel=0.02)
    assert unit_costs(pool, "params") == pytest.approx([1, 1, 1])
    assert unit_costs(pool, "units") == [1, 1, 1]


def test_a_group_whose_cut_saves_no_time_is_the_last_to_go():
    model, groups = made_up_model(), made_up_groups(4, "channel")
    table = made_up_latencies(groups, model)
    still = {**table.groups, "conv1": tuple((kept, 1.0) for kept, _ in table.groups["conv1"])}
    pool = Pool(
        model=model, all=groups, members=groups.prunable, criterion=get_criterion("l1"), seed=0,
        latencies=replace(table, groups=still),
    )  # fmt: skip
    costs = unit_costs(pool, "latency")
    assert costs[1] == LEAST_COST
    for i, group in enumerate(groups.prunable):
        if i != 1:
            saved = 1 - table.relative(group.name, 1)
            assert costs[i] / costs[0] == pytest.approx(
                saved / (group.num_units - 1)
                / ((1 - table.relative("conv0", 1)) / (groups.prunable[0].num_units - 1))
            )  # fmt: skip


# The ranking


def slow_ranking(pool: Pool, unit: str, exponent: float, kept: float) -> dict[str, int]:
    """Take the lowest score for its cost, one by one, until the budget is met."""
    costs, weights = Costs(pool, unit), unit_costs(pool, unit)
    rows = []
    for group, cost, scores in zip(pool.members, weights, pool.scores(), strict=True):
        values = sorted(scores.double().tolist())[:-1]  # the best stays
        rows += [(value / cost**exponent, group) for value in values]
    rows.sort(key=lambda row: row[0])
    gone = {group.name: 0 for group in pool.members}
    for _, group in [*rows, (0.0, None)]:
        now = {g.name: gone[g.name] / g.num_units for g in pool.members}
        if costs.kept(now) <= kept * costs.dense or group is None:
            return gone
        gone[group.name] += 1
    raise AssertionError


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@given(
    unit=st.sampled_from(["params", "macs", "bytes"]), kept=st.floats(0.4, 1),
    exponent=st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0]), seed=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=8, deadline=None)
def test_the_plan_is_that_of_the_slow_loop(granularity, unit, kept, exponent, seed):
    model = small_model(seed)
    pool = pool_of(model, granularity)
    try:
        plan = allocate(
            model, "cost_aware", budget=Budget(unit, kept), granularity=granularity,
            trade_off=exponent, groups=pool.all,
        )  # fmt: skip
    except PlanError:
        return
    expected = slow_ranking(pool, unit, exponent, kept)
    units = {group.name: group.num_units for group in pool.members}
    assert {n: round(v * units[n]) for n, v in plan.sparsities.items()} == expected


def two_groups() -> tuple[Model, Groups]:
    """A network of two small groups, and its coupled channels."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    )  # fmt: skip
    model = Model("two", network.eval(), (1, 6, 6), 3)
    return model, find_groups(model, "channel")


@given(kept=st.floats(0.35, 0.95))
@settings(max_examples=20, deadline=None)
def test_no_choice_of_lowest_scores_has_a_better_exchange(kept):
    """Oracle: all cuts of two groups; none is met by the budget with a lower highest ratio."""
    model, groups = two_groups()
    costs = dict(zip(["0", "2"], unit_costs(pool_of(model, "channel"), "macs"), strict=True))
    scores = {
        group.name: sorted(score_units(get_criterion("l1"), model, group).tolist())
        for group in groups.prunable
    }

    def worst(counts: tuple[int, int]) -> float:
        taken = [
            scores[name][count - 1] / costs[name]
            for name, count in zip(scores, counts, strict=True)
            if count
        ]
        return max(taken, default=0.0)

    def fits(counts: tuple[int, int]) -> bool:
        left = {
            group.name: group.num_units - count
            for group, count in zip(groups.prunable, counts, strict=True)
        }
        return groups.size(left)[1] <= kept * groups.inspection.macs

    every = [*itertools.product(range(4), range(5))]
    if not any(map(fits, every)):
        return
    plan = allocate(
        model, "cost_aware", budget=Budget("macs", kept), granularity="channel", trade_off=1.0
    )
    chosen = tuple(
        round(plan.sparsities[group.name] * group.num_units) for group in groups.prunable
    )
    assert fits(chosen)
    assert worst(chosen) == pytest.approx(min(worst(one) for one in every if fits(one)))


@pytest.mark.parametrize("criterion", ["l1", "random"])
@pytest.mark.parametrize(
    ("granularity", "target"),
    [
        ("weight", {"budget": Budget("params", 0.5)}), ("weight", {"sparsity": 0.5}),
        ("channel", {"sparsity": 0.5}), ("kernel", {"sparsity": 0.4}),
        ("kernel", {"budget": Budget("params", 0.8)}),
    ],
)  # fmt: skip
def test_where_all_costs_are_equal_it_is_the_global_ranking(criterion, granularity, target):
    given_ = {"granularity": granularity, "criterion": criterion, **target}
    aware, blind = (
        allocate(small_model(), rule, **given_).sparsities for rule in ("cost_aware", "global")
    )
    assert aware == blind


@pytest.mark.parametrize("granularity", ["weight", "channel", "block:4x4", "nm:1:2"])
def test_exponent_0_is_blind_for_costs(granularity):
    given_ = {"granularity": granularity, "budget": Budget("macs", 0.8)}
    aware = allocate(small_model(), "cost_aware", trade_off=0.0, **given_)
    assert aware.sparsities == allocate(small_model(), "global", **given_).sparsities
    assert aware.allocation == "cost_aware"


def test_negative_scores_keep_the_dearer_unit_no_longer():
    model = small_model()
    lowered = replace(
        get_criterion("l1"), weights=lambda look, key: look.tensor(key).abs() - 5.0, units=None
    )
    pool = replace(pool_of(model, "weight"), criterion=lowered, trade_off=1.0)
    dear, cheap = [*CostAware(pool, Target(budget=Budget("macs", 0.5))).ranked(pool)][::2]
    assert dear.max() < cheap.min() < 0, "conv1 costs 36 times what fc costs"


@given(kept=st.floats(0.55, 0.98), seed=st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_a_budget_in_latency_is_met_and_one_unit_less_misses_it(kept, seed):
    model, groups = two_groups()
    table = made_up_latencies(groups, model, seed)
    try:
        plan = allocate(
            model, "cost_aware", budget=Budget("latency", kept), granularity="channel",
            latencies=table, groups=groups,
        )  # fmt: skip
    except PlanError:
        return
    pool = replace(pool_of(model, "channel"), latencies=table)
    costs = Costs(pool, "latency")
    assert costs.kept(plan.sparsities) <= kept + 1e-9
    ranking = CostAware(pool, Target(budget=Budget("latency", kept)))
    gone = sum(round(v * groups.group(n).num_units) for n, v in plan.sparsities.items())
    if gone:
        assert costs.kept(ranking.sparsities(gone - 1)) > kept
    left = {n: groups.group(n).num_kept(v) for n, v in plan.sparsities.items()}
    assert table.predict(groups, left) / table.dense_ms == pytest.approx(
        costs.kept(plan.sparsities)
    )


def test_rounded_channels_meet_the_budget_too():
    model, _ = two_groups()
    plan = allocate(
        model, "cost_aware", budget=Budget("macs", 0.6), granularity="channel", channel_multiple=2
    )
    assert all(len(units) % 2 == 0 or len(units) == 5 for units in prune(model, plan).kept.values())


# Learning the exponent


@cache
def learnt(*exponents: float) -> LearntTradeOff:
    model = small_model()
    found = learn_trade_off(
        model, stripes_data(), make, groups=find_groups(model), trade_offs=exponents,
        settings=TrialSettings("none", 40),
    )  # fmt: skip
    assert found is not None
    return found


def make(exponent: float) -> PruningPlan:
    return allocate(small_model(), "cost_aware", budget=Budget("macs", 0.4), trade_off=exponent)


def test_the_exponent_is_the_one_whose_plan_loses_least():
    exponents = (0.0, 0.3, 1.0)
    bench = Bench(
        small_model(), stripes_data(), find_groups(small_model()), TrialSettings("none", 40)
    )
    losses = [bench.score(make(exponent)).loss for exponent in exponents]
    found = learnt(*exponents)
    assert [trial.loss for trial in found.trials] == losses
    assert found.trade_off == exponents[losses.index(min(losses))]
    assert found.plan == make(found.trade_off)
    assert (found.samples, found.complete) == (32, True), "all validation images there are"


def test_of_equal_plans_the_first_exponent_wins():
    assert learnt(0.5, 0.5).trade_off == 0.5
    blind = learn_trade_off(
        small_model(), stripes_data(),
        lambda exponent: allocate(small_model(), "cost_aware", sparsity=0.5, trade_off=exponent),
        groups=find_groups(small_model()), trade_offs=(0.0, 1.0),
        settings=TrialSettings("none", 40),
    )  # fmt: skip
    assert blind is not None
    assert blind.trade_off == 0.0


def test_learning_stops_with_the_best_so_far_and_with_nothing_before_that():
    heard: list[Progress] = []
    model = small_model()
    found = learn_trade_off(
        model, stripes_data(), make, groups=find_groups(model), trade_offs=(0.3, 1.0, 2.0),
        settings=TrialSettings("none", 40), report=heard.append,
        should_stop=lambda: len(heard) > 1,
    )  # fmt: skip
    assert found is not None
    assert [trial.trade_off for trial in found.trials] == [0.3, 1.0]
    assert not found.complete
    assert [one.values["trade_off"] for one in heard] == [0.3, 1.0]
    assert (
        learn_trade_off(
            model, stripes_data(), make, groups=find_groups(model), should_stop=lambda: True
        )
        is None
    )


def test_an_exponent_without_a_plan_is_told_and_passed_over():
    def some(exponent: float) -> PruningPlan:
        if exponent == 0:
            raise PlanError("No.", "")
        return make(exponent)

    model = small_model()
    found = learn_trade_off(
        model, stripes_data(), some, groups=find_groups(model), trade_offs=(0.0, 1.0),
        settings=TrialSettings("none", 40),
    )  # fmt: skip
    assert found is not None
    assert (found.trials[0].reason, found.trials[0].loss, found.trade_off) == ("No.", None, 1.0)
    with pytest.raises(PlanError, match=r"No\."):
        learn_trade_off(
            model, stripes_data(), some, groups=find_groups(model), trade_offs=(0.0,),
            settings=TrialSettings("none", 40),
        )  # fmt: skip


def test_no_exponent_is_refused():
    with pytest.raises(SettingsError, match="No trade-off was given"):
        learn_trade_off(
            small_model(), stripes_data(), make, groups=find_groups(small_model()), trade_offs=()
        )


# Prices


def test_prices_by_millisecond_are_those_by_percent_for_the_time_of_a_percent():
    model, groups = two_groups()
    curves = measure_sensitivity(
        model, stripes_data(), SensitivitySettings((0.25, 0.5, 0.75), 40, granularity="channel")
    )
    table = made_up_latencies(groups, model)
    plan = PruningPlan({"0": 0.25, "2": 0.4}, "channel")
    reasons = explain_plan(groups, plan, curves, "latency", latencies=table, num_classes=3)
    prices = price_plan(groups, plan, curves, "latency", latencies=table, num_classes=3)
    assert prices.per == "ms"
    for name, reason in reasons.items():
        group: Group = groups.group(name)
        kept = {n: groups.group(n).num_kept(v) for n, v in plan.sparsities.items()}
        whole = table.predict(groups, kept | {name: group.num_units})
        assert prices.groups[name].saved == pytest.approx(whole - table.predict(groups, kept))
        if reason.price_next is not None:
            assert prices.groups[name].next == pytest.approx(
                reason.price_next / (table.dense_ms / 100)
            )
    percents = price_plan(groups, plan, curves, "macs", num_classes=3)
    assert percents.per == "percent"
    size = size_of_plan(groups, plan)
    saved = 100 * (1 - size.macs / size.dense_macs)
    assert percents.average is not None
    assert prices.average is not None
    ms = table.dense_ms - table.predict(groups, kept)
    assert percents.average * saved == pytest.approx(prices.average * ms)
    assert by_millisecond(reasons, table).keys() == reasons.keys()
    empty = price_plan(groups, PruningPlan({}, "channel"), curves, "macs", num_classes=3)
    assert empty.average is None
