"""The arena: everybody measured as by hand, once, at budgets that are met; stopped and resumed."""

import json
import math
from dataclasses import replace

import pytest

from tests.unit.small import small_model, stripes_data
from workbench.accounting import size_of_plan
from workbench.allocation import ALLOCATIONS, Budget, LatencyTable, allocate
from workbench.arena import (
    OWN,
    Arena,
    ArenaEntry,
    ArenaSettings,
    curve_settings,
    fitting_curves,
    least_apart,
    needs_curves,
    run_arena,
    scale_plan,
    sign_test,
)
from workbench.cost_trade_off import learn_trade_off
from workbench.curve_cache import JsonLinesCache
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.errors import PlanError, SettingsError
from workbench.finetune import FineTuneSettings, finetune
from workbench.groups import find_groups
from workbench.metrics import Score, score
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.repair import repair
from workbench.trials import TrialSettings

METHODS = ("uniform", "global")
PLAN = PruningPlan({"conv1": 0.0, "conv2": 0.5, "fc": 0.8})
SETTINGS = ArenaSettings(
    factors=(2, 4), methods=METHODS, repair="bn", repair_samples=40, num_samples=20, own=PLAN
)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def data():
    return stripes_data()


@pytest.fixture(scope="module")
def groups(model):
    return find_groups(model, "weight")


@pytest.fixture(scope="module")
def arena(model, data):
    return run_arena(model, data, SETTINGS)


def kept(groups, plan: PruningPlan) -> float:
    size = size_of_plan(groups, plan)
    return size.num_nonzero / size.num_params


# --- what is measured ---


def test_everybody_is_there_at_every_budget(arena, groups):
    own = 1 / kept(groups, PLAN)
    assert arena.factors == tuple(sorted((2.0, 4.0, own)))
    assert arena.methods == (OWN, *METHODS)
    assert [(e.factor, e.method) for e in arena.entries] == [
        (factor, method) for factor in arena.factors for method in arena.methods
    ]
    assert arena.own_factor == own
    assert arena.entry(OWN, own).plan == PLAN
    assert arena.complete


def test_an_entry_is_what_one_gets_by_hand(arena, model, data):
    images = data.split("validation", 20, 0)
    for entry in arena.entries:
        repaired = repair(prune(model, entry.plan), data, "bn", num_samples=40)
        by_hand = score(repaired.pruned.model.module, images)
        assert entry.score.correct == by_hand.correct
        assert entry.score.loss == pytest.approx(by_hand.loss, rel=1e-5)
    assert arena.dense.correct == score(model.module, images).correct


def test_every_budget_is_met_and_no_more_than_that(arena, model):
    for entry in arena.entries:
        assert entry.kept("params") <= 1 / entry.factor + 1e-12
        if entry.method in METHODS:
            budget = Budget("params", 1 / entry.factor)
            assert entry.plan == allocate(model, entry.method, budget=budget)


def test_the_model_stays_as_it_is(model, data):
    before = small_model().digest
    run_arena(model, data, replace(SETTINGS, repair="full", factors=(3,), own=None))
    assert model.digest == before


def test_training_comes_after_the_repair(model, data):
    brief = FineTuneSettings(epochs=1, batch_size=32)
    asked = replace(SETTINGS, factors=(3,), methods=("uniform",), own=None, finetune=brief)
    (entry,) = run_arena(model, data, asked).entries
    repaired = repair(prune(model, entry.plan), data, "bn", num_samples=40).pruned
    tuned = finetune(repaired, data, brief).pruned.model
    by_hand = score(tuned.module, data.split("validation", 20, 0))
    assert entry.score.loss == pytest.approx(by_hand.loss, rel=1e-4)


def test_the_test_split_is_used_only_where_asked(model, data):
    asked = replace(SETTINGS, factors=(3,), methods=("uniform",), own=None, repair="none")
    (entry,) = run_arena(model, data, asked, split="test").entries
    by_hand = score(prune(model, entry.plan).model.module, data.split("test", 20, 0))
    assert entry.score.correct == by_hand.correct
    assert entry.score.loss == pytest.approx(by_hand.loss, rel=1e-5)


def test_models_are_timed_where_asked(model, data, arena):
    asked = replace(SETTINGS, factors=(3,), methods=("uniform",), own=None, timed=True)
    timed = run_arena(model, data, asked)
    assert timed.entries[0].kept("latency") > 0
    assert "latency" in timed.axes()
    assert arena.axes() == ("params", "macs", "bytes")


def test_a_budget_that_cannot_be_met_is_an_entry_with_its_reason(model, data):
    asked = replace(SETTINGS, factors=(2, 900))
    found = run_arena(model, data, asked)
    assert found.complete
    for method in (OWN, *METHODS):
        entry = found.entry(method, 900)
        assert entry.score is None
        assert "cannot be" in entry.reason
    assert found.best(900) is None


# --- nothing is measured twice ---


def test_what_is_cached_is_not_measured_again(model, data, tmp_path, arena):
    cache = JsonLinesCache(tmp_path)
    first = run_arena(model, data, SETTINGS, cache=cache)
    assert [e.score for e in first.entries] == [e.score for e in arena.entries]
    (file,) = tmp_path.iterdir()
    lines = file.read_bytes()
    steps = []
    again = run_arena(model, data, replace(SETTINGS, factors=(4,)), cache=cache,
                      report=steps.append)  # fmt: skip
    assert file.read_bytes() == lines
    assert not [step for step in steps if "Classifying" in step.message]
    assert set(again.entries) <= set(first.entries)


def test_plans_that_come_out_the_same_are_measured_once(model, data, tmp_path, groups):
    same = allocate(model, "uniform", budget=Budget("params", 1 / 3), groups=groups)
    asked = replace(SETTINGS, factors=(), methods=("uniform",), own=same)
    found = run_arena(model, data, asked, cache=JsonLinesCache(tmp_path))
    own, uniform = found.entries
    assert own.score == uniform.score
    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 2, "the dense model and the plan"


@pytest.mark.parametrize("after", [0, 1, 3])
def test_stopped_and_resumed_it_ends_as_if_it_had_not_stopped(model, data, tmp_path, arena, after):
    cache, found = JsonLinesCache(tmp_path), []

    def report(progress):
        if "entry" in progress.values:
            found.append(ArenaEntry.from_dict(progress.values["entry"]))

    part = run_arena(model, data, SETTINGS, cache=cache, report=report,
                     should_stop=lambda: len(found) >= after)  # fmt: skip
    assert not part.complete
    assert list(part.entries) == found
    assert len(found) == after
    whole = run_arena(model, data, SETTINGS, cache=cache)
    assert whole.complete
    assert [e.score for e in whole.entries] == [e.score for e in arena.entries]
    assert set(part.entries) <= set(whole.entries)


def test_progress_never_falls_and_ends_at_its_total(model, data):
    steps = []
    run_arena(model, data, SETTINGS, report=steps.append)
    totals = {step.total for step in steps if step.message != "Making the plans"}
    done = [step.done for step in steps if step.message != "Making the plans"]
    assert len(totals) == 1
    assert done == sorted(done)
    assert done[-1] == totals.pop()


# --- a plan at another budget ---


@pytest.mark.parametrize("factor", [1.2, 2, 3, 5])
def test_a_scaled_plan_meets_the_budget_with_one_power_for_all(groups, factor):
    plan = PruningPlan({"conv1": 0.0, "conv2": 0.4, "fc": 0.8})
    scaled = scale_plan(groups, plan, Budget("params", 1 / factor))
    assert kept(groups, scaled) <= 1 / factor
    assert kept(groups, scaled) == pytest.approx(1 / factor, abs=0.01)
    assert scaled.sparsities["conv1"] == 0
    powers = [
        math.log(1 - scaled.sparsities[name]) / math.log(1 - plan.sparsities[name])
        for name in ("conv2", "fc")
    ]
    assert powers[0] == pytest.approx(powers[1])


def test_scaled_to_its_own_size_a_plan_is_itself(groups):
    own = Budget("params", kept(groups, PLAN))
    scaled = scale_plan(groups, PLAN, own)
    assert size_of_plan(groups, scaled) == size_of_plan(groups, PLAN)


def test_allocations_keep_to_what_is_locked_and_bounded(model, data):
    asked = replace(
        SETTINGS, factors=(2,), own=None, locked={"conv2": 0.25}, bounds={"conv1": (0.0, 0.3)},
        protected=(), methods=("uniform", "random", "optimal"), refine=3,
    )  # fmt: skip
    found = run_arena(model, data, asked)
    assert len(found.measured) == 4
    for entry in found.entries:
        assert entry.plan.sparsities["conv2"] == pytest.approx(0.25)
        assert entry.plan.sparsities["conv1"] <= 0.3 + 1e-9
        assert "classifier" in entry.plan.sparsities
    assert ArenaSettings.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


def test_what_a_plan_leaves_dense_limits_its_scaling(groups):
    with pytest.raises(PlanError, match="cannot be scaled"):
        scale_plan(groups, PruningPlan({"conv1": 0.5}), Budget("params", 0.5))


# --- budgets in latency ---


def test_budgets_in_latency_are_met_by_the_measured_times(model, data):
    channels = find_groups(model, "channel")
    steps = {
        group.name: tuple((kept, 0.5 + kept / (2 * group.num_units))
                          for kept in range(1, group.num_units + 1))
        for group in channels.prunable
    }  # fmt: skip
    times = LatencyTable(model.digest, "torch", 1, 1, 2.0, steps)
    own = PruningPlan({channels.prunable[0].name: 0.5}, "channel")
    asked = ArenaSettings(
        granularity="channel", unit="latency", factors=(1.5,), methods=("uniform",), own=own,
        repair="none", num_samples=20,
    )  # fmt: skip
    assert asked.timed
    found = run_arena(model, data, asked, latencies=times)
    left = {g.name: g.num_units for g in channels.prunable}
    first = channels.prunable[0]
    left[first.name] -= channels.num_pruned(first.name, 0.5)
    assert found.own_factor == pytest.approx(2.0 / times.predict(channels, left))
    uniform = found.entry("uniform", 1.5)
    left = {
        g.name: g.num_units - channels.num_pruned(g.name, uniform.plan.sparsities.get(g.name, 0))
        for g in channels.prunable
    }
    assert times.predict(channels, left) <= 2.0 / 1.5
    assert uniform.latency > 0


def test_without_measured_times_budgets_in_latency_are_refused(model, data):
    asked = ArenaSettings(granularity="channel", unit="latency", methods=("uniform",))
    with pytest.raises(SettingsError, match="need measured times"):
        run_arena(model, data, asked)


# --- sensitivity curves ---


@pytest.fixture
def by_curves(monkeypatch):
    """A method that needs curves and keeps those it got."""
    got = []
    uniform = ALLOCATIONS["uniform"]

    def spread(pool, target):
        got.append(pool)
        return uniform.spread(pool, target)

    made = replace(uniform, name="greedy", needs=("curves",), spread=spread)
    monkeypatch.setitem(ALLOCATIONS, "greedy", made)
    return got


def test_curves_are_measured_first_where_a_method_needs_them(by_curves, model, data, tmp_path):
    asked = replace(SETTINGS, factors=(2,), methods=("uniform", "greedy"), own=None)
    assert needs_curves(asked)
    assert not needs_curves(SETTINGS)
    steps = []
    found = run_arena(model, data, asked, curve_cache=JsonLinesCache(tmp_path),
                      report=steps.append)  # fmt: skip
    assert steps[0].message.startswith("Sensitivity first")
    assert found.curves
    assert found.entry("greedy", 2).score == found.entry("uniform", 2).score
    (points,) = tmp_path.iterdir()
    wanted = curve_settings(model, asked, find_groups(model, "weight"))
    assert wanted.repair == "bn"
    assert 1 + 4 < len(points.read_text().splitlines()) <= 1 + 4 * len(wanted.levels)


def test_the_optimal_plan_is_refined_at_equal_cost_and_competes(model, data, tmp_path):
    cache = JsonLinesCache(tmp_path)
    asked = replace(SETTINGS, factors=(3,), methods=("optimal",), own=None, refine=4)
    first = run_arena(model, data, asked, cache=cache, curve_cache=cache)
    assert [e.method for e in first.entries] == ["optimal", "refined"]
    optimal, refined = first.entries
    assert refined.kept("params") <= optimal.kept("params") + 1e-12
    images = data.split("validation", 20, 0)
    repaired = repair(prune(model, refined.plan), data, "bn", num_samples=40).pruned.model
    assert refined.score.correct == score(repaired.module, images).correct
    steps = []
    again = run_arena(model, data, asked, cache=cache, curve_cache=cache, report=steps.append)
    assert again.entries == first.entries
    assert not [step for step in steps if "Refining" in step.message]


def test_the_trade_off_of_the_cost_aware_plan_is_learnt_and_remembered(model, data, tmp_path):
    cache = JsonLinesCache(tmp_path)
    asked = replace(SETTINGS, factors=(2,), methods=("cost_aware",), own=None, unit="macs")
    found = run_arena(model, data, asked, cache=cache)
    (entry,) = found.entries
    expected = learn_trade_off(
        model, data,
        lambda exponent: allocate(
            model, "cost_aware", budget=Budget("macs", 0.5), trade_off=exponent
        ),
        groups=find_groups(model), settings=TrialSettings("bn", 1_000),
    )  # fmt: skip
    assert entry.plan.sparsities == expected.plan.sparsities
    steps = []
    again = run_arena(model, data, asked, cache=cache, report=steps.append)
    assert again.entries == found.entries
    assert not [step for step in steps if "Learning" in step.message]


def curves(repair: str, **more) -> SensitivityCurves:
    complete = more.pop("complete", True)
    settings = SensitivitySettings(repair=repair, **more)
    return SensitivityCurves(settings, "m", "d", None, (), 0.0, 0, complete)


def test_curves_after_the_same_repair_are_taken_first():
    none, bn, full = curves("none"), curves("bn"), curves("full")
    asked = ArenaSettings(repair="full")
    assert fitting_curves([none, bn, full], asked) is full
    assert fitting_curves([none, bn], asked) is bn
    assert fitting_curves([none], asked) is none
    others = [curves("full", granularity="channel"), curves("full", criterion="random"),
              curves("full", complete=False)]  # fmt: skip
    assert fitting_curves(others, asked) is None


# --- what follows ---


def entry(method: str, missed: set[int], factor: float = 2.0, loss: float = 1.0) -> ArenaEntry:
    """A method that recognises all of 100 images but some."""
    right = 100 - len(missed)
    found = Score(right / 100, loss, right, 100, 0.0, 1.0, ())
    bits = "".join("0" if image in missed else "1" for image in range(100))
    return ArenaEntry(method, factor, PLAN, None, found, hits=f"{int(bits, 2):x}")


def made(*entries: ArenaEntry) -> Arena:
    return Arena(SETTINGS, "m", "d", "validation", None, entries)


def test_ties_are_told_image_by_image():
    best = entry("best", set(range(10)))
    close = entry("close", set(range(13)))  # misses 3 more, which chance explains
    apart = entry("apart", set(range(20)))  # the same images and 10 more: 10 to 0
    noisy = entry("noisy", set(range(90, 100)) | set(range(80, 90)))  # 20 to 10: chance
    found = made(close, best, apart, noisy, entry("other", set(), factor=4.0))
    assert found.best(2.0) is best
    assert found.ties(2.0) == ("close", "noisy")
    assert found.best(4.0).method == "other"
    assert found.ties(4.0) == ()
    assert found.best(8.0) is None


def test_the_sign_test_is_that_of_the_books():
    a, b = entry("a", set(range(15))), entry("b", set(range(10, 14)) | {90})  # 11 to 1 images
    assert sign_test(a, b) == pytest.approx((abs(11 - 1) - 1) / math.sqrt(12))
    assert sign_test(a, a) == 0
    assert least_apart(1) == pytest.approx(1.959964, abs=1e-6)
    assert least_apart(10) == pytest.approx(2.807034, abs=1e-6)  # two-sided 0.5 %


def test_hits_are_the_recognised_images(arena, model, data):
    images = data.split("validation", 20, 0)
    for one in arena.entries:
        repaired = repair(prune(model, one.plan), data, "bn", num_samples=40).pruned.model
        right = repaired.module(images.images).argmax(1) == images.labels
        assert f"{int(one.hits, 16):020b}" == "".join("01"[hit] for hit in right.tolist())


def test_the_least_loss_may_be_another_than_the_most_accuracy():
    a, b = entry("a", {1}, loss=0.9), entry("b", {1, 2}, loss=0.5)
    assert made(a, b).best(2.0) is a
    assert made(a, b).best(2.0, "loss") is b


def test_of_equals_the_smaller_loss_is_best():
    low, high = entry("a", {1}, loss=0.5), entry("b", {2})
    assert made(high, low).best(2.0) is low


def test_who_holds_the_front_depends_on_the_axis(arena, groups):
    def size(params: int, macs: int):
        dense = size_of_plan(groups, PruningPlan())
        return replace(dense, num_nonzero=params, macs=macs)

    few_params = replace(entry("a", {1}), size=size(10, 900))
    few_macs = replace(entry("b", {2}), size=size(90, 100))
    found = made(few_params, few_macs)
    assert found.on_front("params") == {"a": 1}
    assert found.on_front("macs") == {"b": 1}
    assert sum(arena.on_front("params").values()) <= len(arena.measured)


def test_it_survives_json(arena):
    assert Arena.from_dict(json.loads(json.dumps(arena.to_dict()))) == arena
    tuned = replace(SETTINGS, finetune=FineTuneSettings(epochs=2))
    assert ArenaSettings.from_dict(json.loads(json.dumps(tuned.to_dict()))) == tuned
