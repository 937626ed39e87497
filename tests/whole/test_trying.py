"""Trying methods: the numbers are those of pruning, repairing and training by hand."""

import pytest

from workbench.allocation import allocate
from workbench.catalogue_tasks import COSTS, TRIALS
from workbench.curves import SensitivitySettings
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import with_data
from workbench.progress import Progress, ignore, never
from workbench.prune import prune
from workbench.repair import repair
from workbench.sensitivity import measure_sensitivity
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS
from workbench.trying import (
    ONCE,
    PLAIN,
    Cost,
    Trial,
    TryingSettings,
    costs_key,
    measure_costs,
    trial_key,
    try_method,
)  # fmt: skip

MODEL = ModelRef("digits-mlp", sample="digits-mlp")
DATA = DataRef("digits", sample="digits")
SAMPLES = 120


@pytest.fixture(scope="module")
def model():
    return load_model("digits-mlp")


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


def settings(family, method, **more) -> TryingSettings:
    asked = {"num_samples": SAMPLES, "repair": "none", "shown": 256}
    return TryingSettings(family, method, **asked | more)


def accuracy(pruned, data) -> float:
    return score(pruned.model.module, data.split("validation", SAMPLES)).accuracy


def test_a_criterion_is_put_beside_magnitude(model, data):
    found = try_method(model, data, settings("criterion", "wanda", sparsity=0.7))
    seeing = with_data(model, data)
    for side, name in ((found.own, "wanda"), (found.rival, "l1")):
        plan = allocate(seeing, "uniform", sparsity=0.7, criterion=name)
        assert side.method == name
        assert side.plan == plan
        assert side.steps["pruned"].accuracy == accuracy(prune(seeing, plan), data)
        assert side.steps["repaired"] == side.steps["pruned"], "no repair was asked for"
    dense = score(model.module, data.split("validation", SAMPLES))
    assert found.dense.accuracy == dense.accuracy
    assert (found.model, found.data) == (model.digest, data.digest)


def test_the_comparison_counts_images_that_only_one_recognises(model, data):
    found = try_method(model, data, settings("criterion", "random", sparsity=0.7))
    compared = found.compared["pruned"]
    gap = found.own.steps["pruned"].correct - found.rival.steps["pruned"].correct
    assert compared.only_second - compared.only_first == gap
    assert compared.difference == pytest.approx(gap / SAMPLES)
    assert Trial.from_dict(found.to_dict()) == found


def test_magnitude_itself_is_put_beside_random_and_uniform_too():
    assert TryingSettings("criterion", "l1").rival == "random"
    assert TryingSettings("allocation", "uniform").rival == "random"
    assert TryingSettings("allocation", "erk").rival == "uniform"
    assert TryingSettings("repair", "none").rival == "full"
    assert TryingSettings("finetuning", "cosine").rival == PLAIN
    assert TryingSettings("schedule", "cubic").rival == ONCE


def test_a_repair_is_put_beside_none(model, data):
    found = try_method(model, data, settings("repair", "full", granularity="channel"))
    plan = allocate(model, "uniform", sparsity=0.5, granularity="channel")
    pruned = prune(model, plan)
    fixed = repair(pruned, data, "full", num_samples=500).pruned
    assert found.own.steps["repaired"].accuracy == accuracy(fixed, data)
    assert found.rival.steps["repaired"].accuracy == accuracy(pruned, data)
    assert "repaired" not in found.rival.seconds


def test_an_allocation_uses_curves_and_measures_them_only_where_there_are_none(model, data):
    curves = measure_sensitivity(
        model, data, SensitivitySettings(levels=(0.5, 0.9), num_samples=100)
    )
    given = try_method(model, data, settings("allocation", "optimal"), curves=curves)
    assert given.own.plan == allocate(model, "optimal", sparsity=0.8, curves=curves)
    assert not given.own.notes
    measured = try_method(model, data, settings("allocation", "equal_loss"))
    assert "Sensitivity curves were measured first" in measured.own.notes[0]
    assert not measured.rival.notes


def test_an_option_of_training_is_put_beside_the_same_training_without(model, data):
    asked = settings("finetuning", "label_smoothing", sparsity=0.9)
    found = try_method(model, data, asked)
    pruned = prune(model, allocate(model, "uniform", sparsity=0.9))
    fewer = data.with_fewer_images(256)
    for side, more in ((found.own, {"label_smoothing": 0.1}), (found.rival, {})):
        tuned = finetune(pruned, fewer, FineTuneSettings(epochs=1, **more)).pruned
        assert side.steps["finetuned"].accuracy == accuracy(tuned, data)


def test_a_schedule_meets_the_same_sparsity_as_the_cut_at_once(model, data):
    found = try_method(model, data, settings("schedule", "cubic"))
    assert set(found.own.steps) == {"finetuned"}
    assert set(found.compared) == {"finetuned"}
    assert found.own.plan.allocation == "by_training"
    assert found.rival.plan.allocation == "global"
    assert "80.0 %" in found.own.notes[0]


def test_a_stop_ends_it_at_once_and_leaves_nothing(model, data):
    assert try_method(model, data, settings("criterion", "l2"), should_stop=lambda: True) is None
    heard: list[Progress] = []
    asked = settings("repair", "full")
    stop = lambda: len(heard) > 4  # noqa: E731
    assert try_method(model, data, asked, report=heard.append, should_stop=stop) is None


def test_progress_runs_from_nothing_to_the_whole(model, data):
    heard: list[Progress] = []
    try_method(model, data, settings("criterion", "l2"), report=heard.append)
    parts = [one.done / one.total for one in heard]
    assert parts == sorted(parts)
    assert 0 < parts[0] <= 0.05
    assert any(one.message.startswith("Magnitude (L2)") for one in heard)


def test_the_key_names_what_was_tried(model, data):
    plain = TryingSettings("criterion", "l2")
    assert trial_key("m", "d", plain) == trial_key("m", "d", TryingSettings.from_dict(
        plain.to_dict() | {"sparsity": 0.8}))  # fmt: skip
    assert trial_key("m", "d", plain) != trial_key("m", "d", TryingSettings("criterion", "l1"))
    assert trial_key("m", "d", plain) != trial_key("n", "d", plain)


def test_every_method_is_timed_or_says_why_not(model, data):
    heard: list[Progress] = []
    found = measure_costs(model, data, "channel", report=heard.append)
    names = {(cost.family, cost.method): cost for cost in found}
    assert names["repair", "full"].seconds > 0
    assert names["criterion", "l1"].seconds >= 0
    assert names["criterion", "taylor"].seconds > 0
    assert names["finetuning", "distillation"].seconds > 0
    assert names["allocation", "optimal"].seconds is None
    assert "nothing was measured" in names["allocation", "optimal"].reason
    assert ("repair", "bn") not in names, "it does nothing without BatchNorm"
    told = [Cost.from_dict(one.values["cost"]) for one in heard if one.values]
    assert told == found


def test_a_worker_keeps_trials_and_seconds_in_the_workspace(tmp_path, model, data):
    store = Store(tmp_path)
    workspace = store.create_workspace()
    asked = settings("criterion", "l2")
    both = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "device": "cpu"}
    done = TASKS["trying"](store, workspace, both | {"settings": asked.to_dict()}, ignore, never)
    kept = store.open_workspace(workspace).settings
    assert done["key"] == trial_key(model.digest, data.digest, asked)
    assert Trial.from_dict(kept[TRIALS][done["key"]]).own.method == "l2"
    told: list[Progress] = []
    stopped = TASKS["trying"](
        store, workspace, both | {"settings": asked.to_dict()}, told.append, lambda: bool(told)
    )
    assert stopped == {"key": ""}

    heard: list[Progress] = []
    stop = lambda: any(one.values for one in heard)  # noqa: E731
    part = TASKS["method_costs"](
        store, workspace, both | {"granularity": "weight"}, heard.append, stop
    )
    assert part == {"key": costs_key(model.digest, data.digest, "weight"), "complete": False}
    assert len(store.open_workspace(workspace).settings[COSTS][part["key"]]) == 1
