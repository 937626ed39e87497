"""Allocation by measuring: a floor, exchanges, times; and the reasons of a plan."""

from functools import partial
from itertools import pairwise

import pytest

from tests.unit.made_up import made_up_curves, made_up_groups, made_up_latencies, made_up_model
from tests.unit.small import small_model, stripes_data
from workbench import latency_table
from workbench.accounting import size_of_plan
from workbench.allocation import Budget, LatencyTable, allocate
from workbench.allocation.exchanges import exchanges
from workbench.allocation.pool import Pool
from workbench.allocation.reasons import Kind, explain_plan
from workbench.criteria import get_criterion
from workbench.errors import PlanError, SettingsError
from workbench.floor import smallest_above_floor
from workbench.groups import find_groups
from workbench.latency import Latency, LatencyComparison
from workbench.latency_table import fit_latency, measure_latency_table
from workbench.plan import PruningPlan
from workbench.refine import refine
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.trials import Bench, TrialSettings

MADE_UP = made_up_model()
SETTINGS = TrialSettings("none", 16)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def data():
    return stripes_data()


@pytest.fixture(scope="module")
def groups(model):
    return find_groups(model)


@pytest.fixture(scope="module")
def curves(model, data):
    return measure_sensitivity(model, data, SensitivitySettings((0.3, 0.6, 0.9), 16))


# --- floor ---


def test_the_floor_holds_and_a_little_less_does_not(model, data, groups, curves):
    make = partial(_allocated, model, groups, curves)
    bench = Bench(model, data, groups, SETTINGS)
    dense = bench.score(make(Budget("params", 1.0)).with_sparsities({}))
    found = smallest_above_floor(
        model, data, make, dense.accuracy, groups=groups, settings=SETTINGS
    )
    assert found.complete
    assert found.best.holds
    assert found.best.accuracy == bench.score(found.best.plan).accuracy >= dense.accuracy
    assert [trial.kept for trial in found.trials[:2]] == [1.0, 0.9]
    assert all(trial.holds == (trial.accuracy >= dense.accuracy) for trial in found.trials)
    failed = [trial.kept for trial in found.trials if not trial.holds]
    if failed:
        assert 0 < found.best.kept - max(failed) <= 0.01 * max(found.best.kept, 0.2)


def _allocated(model, groups, curves, budget):
    return allocate(model, "optimal", budget=budget, groups=groups, curves=curves)


def test_a_floor_above_the_dense_model_is_refused(model, data, groups, curves):
    make = partial(_allocated, model, groups, curves)
    with pytest.raises(SettingsError, match=r"less than the floor of 99\.90 %\. Choose a lower"):
        smallest_above_floor(model, data, make, 0.999, groups=groups, settings=SETTINGS)
    with pytest.raises(SettingsError, match=r"The floor is 92\. Give an accuracy such as"):
        smallest_above_floor(model, data, make, 92, groups=groups)


def test_a_floor_under_everything_ends_where_the_budget_cannot_be_met(model, data, groups, curves):
    make = partial(_allocated, model, groups, curves)
    found = smallest_above_floor(model, data, make, 0.001, groups=groups, settings=SETTINGS)
    with pytest.raises(PlanError):
        make(Budget("params", found.best.kept - 0.02))


def test_a_search_can_be_stopped(model, data, groups, curves):
    make, heard = partial(_allocated, model, groups, curves), []
    found = smallest_above_floor(
        model, data, make, 0.01, groups=groups, settings=SETTINGS, report=heard.append,
        should_stop=lambda: len(heard) >= 2,
    )  # fmt: skip
    assert not found.complete
    assert len(found.trials) == len(heard) == 2


# --- refine ---


def test_refining_lowers_the_loss_at_equal_cost(model, data, groups, curves):
    plan = allocate(model, "uniform", budget=Budget("params", 0.5), groups=groups)
    found = refine(
        model, data, plan, curves, "params", groups=groups, evaluations=8, settings=SETTINGS
    )
    bench = Bench(model, data, groups, SETTINGS)
    assert found.loss_before == bench.score(plan).loss
    assert found.loss == bench.score(found.plan).loss <= found.loss_before
    accepted = [move.loss for move in found.moves if move.accepted]
    assert accepted == sorted(accepted, reverse=True)
    assert len(found.moves) <= 7
    sizes = [size_of_plan(groups, one).num_nonzero for one in (plan, found.plan)]
    assert sizes[0] - 20 <= sizes[1] <= sizes[0]


def test_a_rival_that_measures_better_is_where_refining_begins(model, data, groups, curves):
    budget = Budget("params", 0.3)
    plans = [
        allocate(model, name, budget=budget, groups=groups, curves=curves)
        for name in ("random", "uniform", "greedy")
    ]
    bench = Bench(model, data, groups, SETTINGS)
    losses = [bench.score(plan).loss for plan in plans]
    worst, best = plans[losses.index(max(losses))], plans[losses.index(min(losses))]
    assert max(losses) > min(losses)
    found = refine(
        model, data, worst, curves, "params", groups=groups, evaluations=3, settings=SETTINGS,
        rivals=[plan for plan in plans if plan != worst],
    )  # fmt: skip
    assert (found.plan, found.moves) == (best, ())
    assert (found.loss_before, found.loss) == (max(losses), min(losses))


def test_locked_groups_are_not_exchanged(model, data, groups, curves):
    plan = allocate(model, "uniform", budget=Budget("macs", 0.5), groups=groups)
    found = refine(
        model, data, plan, curves, "macs", groups=groups, evaluations=5, settings=SETTINGS,
        locked={"fc": 0.5},
    )  # fmt: skip
    assert found.moves
    assert {name for move in found.moves for name in (move.more, move.less)} == {"conv1", "conv2"}
    assert found.plan.sparsities["fc"] == plan.sparsities["fc"]


def test_one_evaluation_is_too_few(model, data, groups, curves):
    with pytest.raises(SettingsError, match="1 evaluations were asked for"):
        refine(model, data, PruningPlan(), curves, "params", groups=groups, evaluations=1)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_exchanges_keep_the_cost(granularity):
    groups = made_up_groups(4, granularity, 1, widest=40)
    plan = allocate(
        MADE_UP, "uniform", sparsity=0.5, granularity=granularity, groups=groups, protected=()
    )
    size = size_of_plan(groups, plan)
    pool = Pool(
        model=MADE_UP, all=groups, members=groups.prunable, criterion=get_criterion("l1"), seed=0,
        curves=made_up_curves(groups, MADE_UP),
    )  # fmt: skip
    found = exchanges(pool, plan.sparsities, Budget("macs", size.macs / size.dense_macs))
    assert found
    assert [added for added, _ in found] == sorted(added for added, _ in found)
    for _, sparsities in found:
        moved = [
            name
            for name, value in sparsities.items()
            if groups.num_pruned(name, value) != groups.num_pruned(name, plan.sparsities[name])
        ]
        assert len(moved) == 2
        assert size_of_plan(groups, plan.with_sparsities(sparsities)).macs <= size.macs


# --- times ---


def test_a_single_cut_takes_the_measured_time_and_two_do_not_save_twice():
    groups = made_up_groups(3, "channel", 2, widest=64)
    table = made_up_latencies(groups, MADE_UP, 2)
    assert table == LatencyTable.from_dict(table.to_dict())
    both = {}
    for group in groups.prunable:
        for kept, part in table.groups[group.name]:
            assert table.predict(groups, {group.name: kept}) == pytest.approx(10 * part)
        both[group.name] = table.groups[group.name][0][0]
    assert table.predict(groups, {}) == pytest.approx(10)
    alone = sum(10 - table.predict(groups, {name: kept}) for name, kept in both.items())
    assert 0 < 10 - table.predict(groups, both) < alone
    first = groups.prunable[0].name
    (low, before), (high, after) = table.groups[first][:2]
    middle = (low + high) // 2
    assert min(before, after) <= table.relative(first, middle) <= max(before, after)
    assert table.relative(first, 1) == before
    assert table.relative("unknown", 1) == 1


def test_a_table_times_every_group(model):
    table = measure_latency_table(model, runtime="torch", parts=(0.5,))
    groups = find_groups(model, "channel")
    assert set(table.groups) == {group.name for group in groups.prunable}
    for group in groups.prunable:
        steps = table.groups[group.name]
        assert [kept for kept, _ in steps] == [round(group.num_units / 2), group.num_units]
        assert steps[-1][1] == 1
    assert table.model == model.digest
    assert measure_latency_table(model, runtime="torch", should_stop=lambda: True) is None


def _timed(parts):
    """Instead of a clock: the pruned network takes the next of these parts of the time."""
    left = list(parts)

    def timed(dense, pruned, **rest):
        part, one = left.pop(0), Latency(10, 9, 11, 20, 1, 1)
        return LatencyComparison("torch", one, one, 1 / part, 1 / part, 1 / part)

    return timed


@pytest.mark.parametrize(
    ("parts", "met", "achieved", "tries"),
    [
        ([0.49], True, 0.49, 1),
        ([0.6, 0.49], True, 0.49, 2),
        ([0.6, 0.3, 0.45, 0.4, 0.44, 0.43], True, 0.45, 6),
        ([0.9, 0.8, 0.7, 0.6, 0.58, 0.56], False, 0.56, 6),
    ],
)
def test_a_budget_in_latency_is_corrected_by_what_was_measured(
    model, monkeypatch, parts, met, achieved, tries
):
    groups = find_groups(model, "channel")
    table = LatencyTable(model.digest, "torch", 1, 1, 10.0, {
        group.name: ((1, 0.6), (group.num_units, 1.0)) for group in groups.prunable
    })  # fmt: skip
    monkeypatch.setattr(latency_table, "measure_speedup", _timed(parts))
    asked = []

    def make(kept):
        asked.append(kept)
        return PruningPlan({"conv1": 0.5}, "channel")

    fit = fit_latency(model, make, 0.5, groups=groups, table=table)
    assert (fit.met, fit.tries) == (met, tries)
    assert fit.achieved == pytest.approx(achieved)
    assert len(asked) == tries
    for part, (one, other) in zip(parts, pairwise(asked), strict=False):
        assert (other < one) == (part > 0.5)


def test_a_budget_in_latency_is_closed_in_on_where_the_table_is_far_off(model, monkeypatch):
    groups = find_groups(model, "channel")
    table = LatencyTable(model.digest, "torch", 1, 1, 10.0, {
        group.name: ((1, 0.6), (group.num_units, 1.0)) for group in groups.prunable
    })  # fmt: skip
    asked = []

    def make(kept):
        asked.append(kept)
        return PruningPlan({"conv1": 0.5}, "channel")

    def timed(*_args, **_rest):  # steep: scaling by what was missed would swing to and fro
        return _timed([min(1.0, 0.9 * (asked[-1] / 0.6) ** 6)])(None, None)

    monkeypatch.setattr(latency_table, "measure_speedup", timed)
    fit = fit_latency(model, make, 0.6, groups=groups, table=table)
    assert fit.met
    assert fit.achieved > 0.95 * 0.6


# --- reasons ---


def test_prices_of_an_optimal_plan_lie_around_the_common_one():
    groups = made_up_groups(8, "weight", 4, widest=64)
    curves = made_up_curves(groups, MADE_UP)
    plan = allocate(
        MADE_UP, "optimal", budget=Budget("params", 0.3), groups=groups, curves=curves,
        protected=(),
    )  # fmt: skip
    reasons = explain_plan(groups, plan, curves, "params")
    assert set(reasons) == {group.name for group in groups.prunable}
    for reason in reasons.values():
        assert reason.price_last <= reason.price_next * 1.05
        assert reason.price_last <= 1.6 * reason.price_common
    dense, size = groups.inspection.num_params, size_of_plan(groups, plan)
    assert sum(reason.saved for reason in reasons.values()) == pytest.approx(
        1 - size.num_nonzero / dense
    )


def test_reasons_by_hand():
    groups = made_up_groups(4, "weight", 0, widest=32)
    curves = made_up_curves(groups, MADE_UP)
    names = [group.name for group in groups.prunable]
    part = type(curves)(**{**vars(curves), "points": tuple(
        point for point in curves.points if point.group != names[3]
    )})  # fmt: skip
    plan = PruningPlan({names[0]: 0.5, names[1]: 0.4, names[2]: 0.3})
    reasons = explain_plan(
        groups, plan, part, "macs", locked=[names[0]], bounds={names[1]: (0.0, 0.4)}
    )
    kinds = [reasons[name].kind for name in names]
    assert kinds[0] is Kind.LOCKED
    assert kinds[1] is Kind.AT_MOST
    assert kinds[3] is Kind.UNMEASURED
    assert reasons[names[3]].damage is None
    own = {point.level: point.loss for point in curves.curve(names[0])}
    assert reasons[names[0]].damage == pytest.approx(own[0.5] - 0.3, abs=0.01)
    assert reasons[names[0]].to_dict()["kind"] == "locked"


def test_what_is_dear_is_fragile_and_what_is_free_is_cheap():
    groups = made_up_groups(3, "weight", 0, widest=16)
    heights = {"conv0": 0.001, "conv1": 5.0, "conv2": 1.0}
    base = made_up_curves(groups, MADE_UP)
    points = tuple(
        type(point)(point.group, point.level, 0.9, 0.3 + heights[point.group] * point.level**2,
                    0.9, 0.9, 1000)
        for point in base.points
    )  # fmt: skip
    curves = type(base)(**{**vars(base), "points": points})
    plan = PruningPlan(dict.fromkeys(heights, 0.5))
    reasons = explain_plan(groups, plan, curves, "params")
    assert reasons["conv0"].kind is Kind.CHEAP
    assert reasons["conv1"].price_next > reasons["conv0"].price_next
    assert explain_plan(groups, plan, None, "params")["conv0"].kind is Kind.UNMEASURED
