"""Allocation from curves: the brute-force optimum, never worse than the others, budgets met."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.made_up import made_up_curves, made_up_groups, made_up_latencies, made_up_model
from workbench.accounting import size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, allocate
from workbench.allocation.budget import Target
from workbench.allocation.damage import Curves, predictor_of
from workbench.allocation.pool import Pool
from workbench.allocation.problem import Problem
from workbench.criteria import get_criterion
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
from workbench.errors import PlanError, SparsityError
from workbench.groups import Groups
from workbench.plan import PruningPlan

MODEL = made_up_model()
WITH_CURVES = [name for name, entry in ALLOCATIONS.items() if entry.needs_curves]
RANKED = ("global", "lamp", "stage", "cost_aware")
"""These look at weights, which made-up networks do not have."""
UNITS = {"weight": ("params", "macs", "bytes"), "channel": ("params", "macs", "bytes", "latency")}
PLACES = [(kind, unit) for kind, units in UNITS.items() for unit in units]


def pool_of(groups: Groups, curves: SensitivityCurves, **rest) -> Pool:
    return Pool(
        model=MODEL, all=groups, members=groups.prunable, criterion=get_criterion("l1"), seed=0,
        curves=curves, **rest,
    )  # fmt: skip


def damage(problem: Problem, plan: PruningPlan) -> float:
    """What the additive model makes of a plan: the sum that the methods minimise."""
    counts = [
        round(plan.sparsities[group.name] * group.num_units) for group in problem.pool.members
    ]
    tables = problem.tables(lambda i, _: [counts[i]])
    return tables.damage(np.zeros(len(counts), dtype=np.int64))


def kept(groups: Groups, plan: PruningPlan, unit: str, latencies=None) -> float:
    if unit == "latency":
        left = {
            group.name: group.num_kept(plan.sparsities[group.name], plan.channel_multiple)
            for group in groups.prunable
        }
        return latencies.predict(groups, left) / latencies.dense_ms
    size = size_of_plan(groups, plan)
    return {
        "params": size.num_nonzero / size.num_params, "macs": size.macs / size.dense_macs,
        "bytes": size.bytes / size.dense_bytes,
    }[unit]  # fmt: skip


@pytest.mark.parametrize(("granularity", "unit"), PLACES)
@given(st.integers(0, 1_000), st.integers(2, 9), st.floats(0.1, 0.95))
@settings(max_examples=6)
def test_optimal_meets_every_budget_and_nothing_is_less_damaging(
    granularity: str, unit: str, seed: int, count: int, part: float
) -> None:
    groups = made_up_groups(count, granularity, seed, widest=40)
    curves = made_up_curves(groups, MODEL, seed)
    latencies = made_up_latencies(groups, MODEL, seed) if granularity == "channel" else None
    arguments = {
        "budget": Budget(unit, part), "granularity": granularity, "groups": groups,
        "curves": curves, "latencies": latencies, "protected": (), "seed": seed,
    }  # fmt: skip
    try:
        problem = Problem(
            pool_of(groups, curves, latencies=latencies), Target(None, Budget(unit, part))
        )
    except PlanError:
        for name in WITH_CURVES:
            with pytest.raises(PlanError, match="cannot be met"):
                allocate(MODEL, name, **arguments)
        return
    found, plans = {}, {}
    for name in ALLOCATIONS:
        if name in RANKED:
            continue
        try:
            plan = allocate(MODEL, name, **arguments)
        except PlanError:
            assert name == "uniform_plus"  # its first group stays dense
            continue
        assert kept(groups, plan, unit, latencies) <= part * (1 + 1e-9)
        plans[name] = plan
        if max(plan.sparsities.values()) <= 0.99:  # where curves were measured
            found[name] = damage(problem, plan)
    assert damage(problem, plans["optimal"]) <= min(found.values(), default=np.inf) + 1e-7


@pytest.mark.parametrize("unit", ["params", "macs", "bytes"])
@given(st.integers(0, 1_000), st.floats(0.2, 0.9))
@settings(max_examples=10)
def test_optimal_is_the_brute_force_optimum_where_costs_add_up(
    unit: str, seed: int, part: float
) -> None:
    groups = made_up_groups(3, "block:16x48", seed, widest=48)
    curves = made_up_curves(groups, MODEL, seed)
    target = Target(None, Budget(unit, part))
    try:
        problem = Problem(pool_of(groups, curves), target)
    except PlanError:
        return
    tables = problem.tables(lambda _, own: own)
    best = min(
        tables.damage(np.array(chosen))
        for chosen in product(*(range(size) for size in tables.sizes))
        if tables.fits(np.array(chosen))
    )
    plan = allocate(
        MODEL, "optimal", budget=target.budget, granularity="block:16x48", groups=groups,
        curves=curves, protected=(),
    )  # fmt: skip
    assert damage(problem, plan) == pytest.approx(best, rel=1e-9)


@given(st.integers(0, 1_000), st.sampled_from(["params", "macs", "latency"]), st.floats(0.2, 0.9))
@settings(max_examples=10)
def test_optimal_is_near_the_brute_force_optimum_where_groups_share_costs(
    seed: int, unit: str, part: float
) -> None:
    groups = made_up_groups(3, "channel", seed, widest=16)
    curves = made_up_curves(groups, MODEL, seed)
    latencies = made_up_latencies(groups, MODEL, seed)
    try:
        problem = Problem(
            pool_of(groups, curves, latencies=latencies), Target(None, Budget(unit, part))
        )
    except PlanError:
        return
    tables = problem.tables(lambda _, own: own)
    best = min(
        tables.damage(np.array(chosen))
        for chosen in product(*(range(size) for size in tables.sizes))
        if tables.fits(np.array(chosen))
    )
    plan = allocate(
        MODEL, "optimal", budget=Budget(unit, part), granularity="channel", groups=groups,
        curves=curves, latencies=latencies, protected=(),
    )  # fmt: skip
    assert best - 1e-9 <= damage(problem, plan) <= best * 1.02 + 1e-6


def test_optimal_by_hand() -> None:
    """Two equal layers, one free to cut and one not: all comes from the free one."""
    groups = made_up_groups(2, "weight", 0, widest=16)
    free, dear = (group.name for group in groups.prunable)
    points = [
        SensitivityPoint(name, level, 0.9, 0.3 + slope * level, 0.9, 0.9, 100)
        for name, slope in ((free, 0.01), (dear, 10.0))
        for level in (0.5, 0.9)
    ]
    baseline = SensitivityPoint("", 0.0, 0.9, 0.3, 0.9, 0.9, 100)
    curves = SensitivityCurves(
        SensitivitySettings((0.5, 0.9)), MODEL.digest, "", baseline, tuple(points), 0.0, 5, True
    )
    first = groups.group(free).num_params
    total = sum(group.num_params for group in groups.prunable)
    plan = allocate(
        MODEL, "optimal", sparsity=first * 0.6 / total, groups=groups, curves=curves, protected=()
    )
    assert plan.sparsities[dear] == 0
    assert plan.sparsities[free] * first == pytest.approx(np.floor(first * 0.6 + 0.5))


@pytest.mark.parametrize("method", WITH_CURVES)
@pytest.mark.parametrize("granularity", ["weight", "channel", "nm:2:4", "kernel"])
def test_bounds_and_locks_hold(method: str, granularity: str) -> None:
    groups = made_up_groups(6, granularity, 3, widest=40)
    curves = made_up_curves(groups, MODEL)
    bounds = {"conv1": (0.0, 0.3), "conv2": (0.35, 0.9)}
    plan = allocate(
        MODEL, method, budget=Budget("params", 0.85), granularity=granularity, groups=groups,
        curves=curves, protected=["conv5"], bounds=bounds, locked={"conv4": 0.5},
    )  # fmt: skip
    assert "conv5" not in plan.sparsities
    assert plan.sparsities["conv4"] == pytest.approx(0.5, abs=0.11)
    for name, (low, high) in bounds.items():
        assert low <= plan.sparsities[name] <= high
    assert kept(groups, plan, "params") <= 0.85
    again = allocate(
        MODEL, method, budget=Budget("params", 0.85), granularity=granularity, groups=groups,
        curves=curves, protected=["conv5"], bounds=bounds, locked={"conv4": 0.5},
    )  # fmt: skip
    assert again == plan


@pytest.mark.parametrize("method", WITH_CURVES)
def test_kept_channels_are_a_multiple(method: str) -> None:
    groups = made_up_groups(5, "channel", 1, widest=60)
    plan = allocate(
        MODEL, method, budget=Budget("macs", 0.5), granularity="channel", groups=groups,
        curves=made_up_curves(groups, MODEL), channel_multiple=8, protected=(),
    )  # fmt: skip
    for group in groups.prunable:
        left = group.num_units - group.num_units * plan.sparsities[group.name]
        assert left == group.num_units or left % 8 == pytest.approx(0)
    assert kept(groups, plan, "macs") <= 0.5


@pytest.mark.parametrize("method", WITH_CURVES)
@given(st.floats(0.01, 0.9))
@settings(max_examples=5)
def test_a_sparsity_is_met_exactly_by_weights(method: str, sparsity: float) -> None:
    groups = made_up_groups(4, "weight", 2, widest=24)
    curves = made_up_curves(groups, MODEL)
    plan = allocate(MODEL, method, sparsity=sparsity, groups=groups, curves=curves, protected=())
    total = sum(group.num_params for group in groups.prunable)
    gone = sum(groups.num_pruned(name, value) for name, value in plan.sparsities.items())
    wanted = np.floor(sparsity * total + 0.5)
    assert gone >= wanted
    if method == "optimal":
        assert gone == wanted


@given(st.integers(0, 50), st.lists(st.floats(0, 0.9999), min_size=2, max_size=2))
@settings(max_examples=10)
def test_curves_at_once_are_the_curves_one_by_one(seed: int, sparsities: list[float]) -> None:
    groups = made_up_groups(2, "weight", seed, widest=8)
    predictor = predictor_of(made_up_curves(groups, MODEL, seed), 10)
    own = [predictor.curves[group.name] for group in groups.prunable]
    found = Curves(own).at(np.array([sparsities, sparsities[::-1]]))
    expected = [[own[0].at(s) for s in sparsities], [own[1].at(s) for s in sparsities[::-1]]]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_groups_are_cut_no_further_than_measured_unless_they_must() -> None:
    groups = made_up_groups(3, "weight", 5, widest=32)
    curves = made_up_curves(groups, MODEL)
    gentle = allocate(MODEL, "optimal", sparsity=0.9, groups=groups, curves=curves, protected=())
    assert max(gentle.sparsities.values()) <= 0.99
    harsh = allocate(MODEL, "optimal", sparsity=0.995, groups=groups, curves=curves, protected=())
    assert max(harsh.sparsities.values()) > 0.99


def curves_of(groups: Groups, **changes) -> SensitivityCurves:
    own = made_up_curves(groups, MODEL)
    return SensitivityCurves(**{**vars(own), **changes})


WEIGHTS = made_up_groups(2, "weight")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Optimal needs to know what cutting each group costs, and nothing was measured. "
         "Measure the sensitivity at granularity 'weight' first, or choose another method."),
        ({"curves": made_up_curves(made_up_groups(2, "channel"), MODEL)},
         "The sensitivity was measured at granularity 'channel', not at 'weight'. Measure it at"),
        ({"curves": curves_of(WEIGHTS, model="ffff")},
         "The sensitivity was measured on the model ffff; made-up is "),
        ({"curves": curves_of(WEIGHTS, points=made_up_curves(WEIGHTS, MODEL).points[:11])},
         "The sensitivity of conv1 was not measured. Measure the rest, or lock or protect"),
        ({"curves": made_up_curves(WEIGHTS, MODEL), "bounds": {"conv0": (0.6, 0.2)}},
         "conv0 is bounded by 0.6 and 0.2. Give the least and the most sparsity, such as"),
        ({"curves": made_up_curves(WEIGHTS, MODEL), "bounds": {"conv0": (0, 0.1)},
          "locked": {"conv1": 0.1}},
         "The budget params=0.5 cannot be met within these bounds and locks. Keep at least"),
        ({"curves": made_up_curves(WEIGHTS, MODEL), "budget": Budget("latency", 0.5)},
         "Latency cannot be a budget for weights: zeros in a layer do not make it faster."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(arguments, message) -> None:
    given_ = {"budget": Budget("params", 0.5), "groups": WEIGHTS, "protected": ()} | arguments
    with pytest.raises(PlanError) as refused:
        allocate(MODEL, "optimal", **given_)
    assert str(refused.value).startswith(message)


def test_what_bounds_forbid_is_refused() -> None:
    curves = made_up_curves(WEIGHTS, MODEL)
    with pytest.raises(SparsityError, match=r"Sparsity 0\.9 cannot be reached: at most"):
        allocate(
            MODEL, "greedy", sparsity=0.9, groups=WEIGHTS, curves=curves, protected=(),
            bounds={"conv0": (0, 0.5), "conv1": (0, 0.5)},
        )  # fmt: skip
    groups = made_up_groups(2, "channel", 0, widest=10)
    with pytest.raises(PlanError, match=r"conv0 cannot be cut to a sparsity from 0\.301 to 0\.302"):
        allocate(
            MODEL, "uniform", sparsity=0.3, granularity="channel", groups=groups, protected=(),
            bounds={"conv0": (0.301, 0.302)},
        )  # fmt: skip


def test_latency_needs_times_of_this_model() -> None:
    groups = made_up_groups(2, "channel")
    other = made_up_latencies(groups, MODEL)
    other = type(other).from_dict(other.to_dict() | {"model": "ffff"})
    arguments = {"budget": Budget("latency", 0.5), "granularity": "channel", "groups": groups}
    with pytest.raises(PlanError, match="A budget in latency needs measured times"):
        allocate(MODEL, "uniform", **arguments)
    with pytest.raises(PlanError, match="The measured times belong to the model ffff"):
        allocate(MODEL, "uniform", latencies=other, **arguments)
