"""What a pruned model saves, and the background work that times it."""

import pytest

from tests.unit.small import small_model
from workbench import saving
from workbench.accounting import size_of_plan
from workbench.errors import ExportError, SettingsError
from workbench.groups import find_groups
from workbench.latency import RUNTIMES, LatencyComparison
from workbench.plan import PruningPlan
from workbench.progress import StoppedError, ignore, never
from workbench.prune import prune
from workbench.saving import encode_pruned, measure_saving, theoretical_speedup
from workbench.speed_tasks import MAX_LATENCIES
from workbench.staircase import Staircase
from workbench.store import ModelRef, Store
from workbench.tasks import TASKS

SMALL = small_model()
MODEL = ModelRef("digits-mlp", sample="digits-mlp")
PLANS = {
    "weight": PruningPlan({"conv2": 0.75, "fc": 0.5}),
    "nm:2:4": PruningPlan({"fc": 0.5}, "nm:2:4"),
    "block:4x4": PruningPlan({"fc": 0.5}, "block:4x4"),
    "kernel": PruningPlan({"conv2": 0.5}, "kernel"),
    "channel": PruningPlan({"conv1": 0.5, "fc": 0.5}, "channel"),
}


@pytest.mark.parametrize("granularity", PLANS)
def test_the_theoretical_speedup_is_that_of_the_plan(granularity):
    plan = PLANS[granularity]
    expected = size_of_plan(find_groups(SMALL, granularity), plan).theoretical_speedup
    assert theoretical_speedup(prune(SMALL, plan)) == pytest.approx(expected, rel=1e-3)


def test_each_kind_of_plan_pays_in_its_own_encoding():
    sizes = {name: encode_pruned(prune(SMALL, plan)) for name, plan in PLANS.items()}
    for name, found in sizes.items():
        best = {"weight": "bitmask", "nm:2:4": "nm", "block:4x4": "block", "kernel": "block",
                "channel": "removed"}[name]  # fmt: skip
        assert found.by_name[best].applies
        assert found.by_name[best].num_bytes < found.dense_bytes
        assert (found.file_bytes < found.dense_file_bytes) == (name == "channel")
        assert (found.removed > 0) == (name == "channel")
        assert found.by_name["nm"].applies == (name == "nm:2:4")


def test_it_is_told_as_json():
    pruned = prune(SMALL, PLANS["channel"])
    told = []
    found = measure_saving(pruned, runtimes=["torch"], batch=2, runs=20, report=told.append)
    values = found.to_dict()
    found = LatencyComparison.from_dict(values["measured_speedup"]["torch"])
    assert (found.runtime, found.dense.batch, found.dense.threads) == ("torch", 2, 1)
    assert values["encodings"]["removed"]["bytes"] < values["encodings"]["fp32"]["bytes"]
    assert values["theoretical_speedup"] > 1
    assert told[-1].done == told[-1].total
    assert measure_saving(pruned, runtimes=[]).speedups == {}
    with pytest.raises(SettingsError, match="no runtime 'tensorrt'"):
        measure_saving(pruned, runtimes=["tensorrt"])


def test_a_network_that_cannot_be_written_is_told_of(monkeypatch):
    def refuse(*arguments, **more):
        raise ExportError("It cannot be written.", "")

    monkeypatch.setattr(saving, "measure_speedup", refuse)
    values = measure_saving(prune(SMALL, PLANS["weight"])).to_dict()
    assert values["measured_speedup"] == {}
    assert values["unmeasured"] == dict.fromkeys(RUNTIMES, "It cannot be written.")
    assert values["encodings"]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def request(**more):
    return {"model": MODEL.to_dict(), "batch": 1, "threads": 1, **more}


def test_a_timing_is_kept_in_the_workspace(store):
    workspace = store.create_workspace()
    plan = PruningPlan({"hidden.0": 0.5}, "channel").to_dict()
    asked = request(plan=plan, keys={"torch": "k1"})
    result = TASKS["latency"](store, workspace, asked, ignore, never)
    kept = store.open_workspace(workspace).settings["latencies"]
    assert kept == {"k1": result["speedups"]["torch"]}
    assert LatencyComparison.from_dict(kept["k1"]).runtime == "torch"
    TASKS["latency"](store, workspace, request(plan=plan, keys={"torch": "k2"}), ignore, never)
    assert list(store.open_workspace(workspace).settings["latencies"]) == ["k1", "k2"]


def test_a_timing_that_was_stopped_is_not_kept(store):
    workspace = store.create_workspace()
    asked = request(plan=PruningPlan().to_dict(), keys={"torch": "k"})
    told: list[object] = []
    begun = lambda: bool(told)  # noqa: E731  reading the model is over then
    assert TASKS["latency"](store, workspace, asked, told.append, begun) == {"speedups": {}}
    asked = request(group="hidden.0", runtime="torch", key="k")
    told.clear()
    assert TASKS["staircase"](store, workspace, asked, told.append, begun) == {"complete": False}
    with pytest.raises(StoppedError):
        TASKS["staircase"](store, workspace, asked, ignore, lambda: True)
    assert not store.open_workspace(workspace).settings


def test_only_the_newest_timings_are_kept(store):
    workspace = store.create_workspace()
    many = {f"k{number}": {} for number in range(MAX_LATENCIES)}
    store.save_settings(workspace, {"latencies": many, "other": 1})
    asked = request(plan=PruningPlan().to_dict(), keys={"torch": "new"})
    TASKS["latency"](store, workspace, asked, ignore, never)
    settings = store.open_workspace(workspace).settings
    assert [*settings["latencies"]] == [*[*many][1:], "new"]
    assert settings["other"] == 1


def test_a_staircase_is_kept_in_the_workspace(store):
    workspace = store.create_workspace()
    asked = request(group="hidden.1", runtime="torch", key="k")
    assert TASKS["staircase"](store, workspace, asked, ignore, never) == {"complete": True}
    kept = store.open_workspace(workspace).settings["staircases"]["k"]
    assert Staircase.from_dict(kept).steps[-1].kept == 64
