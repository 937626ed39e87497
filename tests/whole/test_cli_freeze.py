"""Freezing, stages and scores for cost on the command line: allocate, prune, arena, sensitivity."""

import json

import pytest

from workbench.allocation import Budget, LatencyTable, allocate
from workbench.cli import allocate_verb, arena_verb, main
from workbench.cost_trade_off import TRADE_OFFS, learn_trade_off
from workbench.groups import find_groups
from workbench.loading import load_data, load_model
from workbench.plan import PruningPlan
from workbench.plan_file import write_plan
from workbench.trials import TrialSettings

SAMPLE = "digits-mlp"
HALF = Budget("macs", 0.5)


@pytest.fixture
def result(capsys):
    def run(*words):
        assert main([*words, "--json", "-"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def test_allocate_freezes_and_ranks_by_stage(result):
    found = result(
        "allocate", SAMPLE, "--method", "stage", "--sparsity", "0.5", "--freeze", "hidden.0"
    )
    plan = allocate(load_model(SAMPLE), "stage", sparsity=0.5, freeze=["hidden.0"])
    assert found["plan"] == plan.to_dict()
    assert found["plan"]["sparsities"]["hidden.0"] == 0


def test_allocate_learns_the_trade_off_and_tells_what_each_lost(result, capsys):
    words = ("allocate", SAMPLE, "--method", "cost_aware", "--budget", "macs=0.5",
             "--granularity", "channel", "--samples", "60")  # fmt: skip
    found = result(*words)
    model, data = load_model(SAMPLE), load_data("digits")

    def make(exponent: float) -> PruningPlan:
        return allocate(model, "cost_aware", budget=HALF, granularity="channel", trade_off=exponent)

    expected = learn_trade_off(
        model, data, make, groups=find_groups(model, "channel"), settings=TrialSettings("bn", 60)
    )
    assert found["plan"]["sparsities"] == dict(expected.plan.sparsities)
    assert found["trade_off"] == json.loads(json.dumps(expected.to_dict()))
    assert [trial["trade_off"] for trial in found["trade_off"]["trials"]] == [*TRADE_OFFS]
    assert main(list(words)) == 0
    assert f"# trade-off {expected.trade_off:g} learnt on " in capsys.readouterr().out


def test_a_trade_off_that_is_given_is_taken(result):
    found = result(
        "allocate", SAMPLE, "--method", "cost_aware", "--budget", "macs=0.5", "--granularity",
        "channel", "--trade-off", "0.5",
    )  # fmt: skip
    plan = allocate(
        load_model(SAMPLE), "cost_aware", budget=HALF, granularity="channel", trade_off=0.5
    )
    assert found["plan"] == plan.to_dict()
    assert "trade_off" not in found


def test_a_budget_in_latency_is_priced_by_the_millisecond(result, tmp_path, monkeypatch):
    """With invented times: those of a network as small as this are all overhead."""
    model = load_model(SAMPLE)
    steps = {"hidden.0": ((32, 0.5), (128, 1.0)), "hidden.1": ((16, 0.8), (64, 1.0))}
    table = LatencyTable(model.digest, "onnxruntime", 1, 1, 2.0, steps)
    monkeypatch.setattr(allocate_verb, "measure_latency_table", lambda *_, **__: table)
    path = tmp_path / "curves.json"
    curves = result(
        "sensitivity", SAMPLE, "--granularity", "channel", "--levels", "0.5,0.9", "--samples", "30"
    )
    path.write_text(json.dumps(curves))
    found = result(
        "allocate", SAMPLE, "--method", "cost_aware", "--budget", "latency=0.9", "--granularity",
        "channel", "--trade-off", "1", "--samples", "30", "--curves", str(path),
    )  # fmt: skip
    assert found["latency"]["kept"] == 0.9
    assert found["prices"]["per"] == "ms"
    assert found["prices"]["groups"].keys() == {"hidden.0", "hidden.1"}
    target = Budget("latency", found["latency"]["target"])
    assert (
        found["plan"]
        == allocate(
            model, "cost_aware", budget=target, granularity="channel", latencies=table
        ).to_dict()
    )


def test_prune_leaves_frozen_layers_of_a_plan_dense(result, tmp_path):
    path = tmp_path / "plan.yaml"
    write_plan(PruningPlan({"hidden.0": 0.5, "hidden.1": 0.5}), str(path))
    found = result("prune", SAMPLE, "--plan", str(path), "--repair", "none", "--freeze", "*.1")
    assert found["plan"]["sparsities"] == {"hidden.0": 0.5, "hidden.1": 0.0}


def test_the_arena_holds_frozen_layers(result):
    found = result(
        "arena", SAMPLE, "--granularity", "channel", "--unit", "macs", "--factors", "1.5",
        "--methods", "uniform,stage,cost_aware", "--repair", "none", "--samples", "30",
        "--freeze", "hidden.1",
    )  # fmt: skip
    plans = [entry["plan"]["sparsities"] for entry in found["entries"]]
    assert len(plans) == 3
    assert all(plan["hidden.1"] == 0 and plan["hidden.0"] > 0 for plan in plans)


def test_an_arena_in_latency_times_the_groups_first(result, monkeypatch):
    """With invented times: those of a network as small as this are all overhead."""
    model = load_model(SAMPLE)
    steps = {"hidden.0": ((32, 0.5), (128, 1.0)), "hidden.1": ((16, 0.8), (64, 1.0))}
    table = LatencyTable(model.digest, "torch", 1, 1, 2.0, steps)
    monkeypatch.setattr(arena_verb, "measure_latency_table", lambda *_, **__: table)
    found = result(
        "arena", SAMPLE, "--granularity", "channel", "--unit", "latency", "--factors", "1.2",
        "--methods", "uniform,global", "--repair", "none", "--samples", "30",
    )  # fmt: skip
    for entry in found["entries"]:
        plan = PruningPlan.from_dict(entry["plan"])
        budget = Budget("latency", 1 / 1.2)
        assert plan == allocate(
            model, entry["method"], budget=budget, granularity="channel", latencies=table
        )
        assert entry["latency"] > 0


def test_sensitivity_measures_what_is_not_frozen(result):
    found = result(
        "sensitivity", SAMPLE, "--levels", "0.5", "--samples", "20", "--freeze", "hidden.*"
    )
    assert [point["group"] for point in found["points"]] == ["classifier"]


def test_what_fits_nothing_is_refused(capsys):
    assert main(["allocate", SAMPLE, "--method", "uniform", "--sparsity", "0.5",
                 "--freeze", "layer1.*"]) == 2  # fmt: skip
    err = capsys.readouterr().err
    assert "No layer fits the pattern 'layer1.*'." in err
    assert "hidden.0" in err
