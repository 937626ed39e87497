"""Granularities, groups and repair on the command line."""

import json
import re

import pytest

from workbench.cli import main
from workbench.groups import find_groups
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan, write_plan

SAMPLE = "digits-mlp"


@pytest.fixture(scope="module")
def model():
    return load_model(SAMPLE)


@pytest.fixture
def result(capsys):
    """Runs a verb with ``--json -`` and returns what it printed there."""

    def run(*words):
        assert main([*words, "--json", "-"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("granularity", ["weight", "nm:2:4", "block:4x4", "channel"])
def test_inspect_lists_the_groups_of_a_granularity(granularity, result, model, capsys):
    rows = result("inspect", SAMPLE, "--granularity", granularity)["groups"]
    assert rows == [group.to_dict() for group in find_groups(model, granularity).groups]
    assert main(["inspect", SAMPLE, "--granularity", granularity]) == 0
    assert re.search(r"^hidden\.0 +(weight|N:M group|block|neuron) ", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("granularity", "words"),
    [
        ("channel", ["--sparsity", "0.5"]), ("channel", ["--budget", "macs=0.4"]),
        ("nm:1:4", ["--sparsity", "0.75"]), ("block:2x8", ["--budget", "params=0.3"]),
    ],
)  # fmt: skip
def test_a_plan_of_any_granularity_predicts_what_pruning_gives(
    granularity, words, result, tmp_path
):
    path, words = tmp_path / "plan.yaml", ["--granularity", granularity, *words]
    found = result("allocate", SAMPLE, "--method", "global", *words, "--out", str(path))
    assert found["plan"]["granularity"] == granularity
    words = ["--plan", str(path), "--granularity", granularity, "--repair", "none"]
    pruned = result("prune", SAMPLE, *words)["pruned"]
    for key in ("num_nonzero", "macs", "bytes"):
        assert pruned[key] == found["predicted"][key], key
    for row in found["groups"]:
        assert row["num_pruned"] + row["num_kept"] == row["num_units"]


def test_kept_channels_are_rounded_to_a_multiple(result):
    words = ["--method", "uniform", "--sparsity", "0.45", "--granularity", "channel"]
    found = result("allocate", SAMPLE, *words, "--channel-multiple", "16")
    assert [(row["num_kept"], row["num_units"]) for row in found["groups"]] == [(64, 128), (32, 64)]
    assert found["plan"]["channel_multiple"] == 16


def test_a_plan_of_channels_says_how_many_stay(capsys, tmp_path):
    words = ["--method", "uniform", "--sparsity", "0.75", "--granularity", "channel"]
    assert main(["allocate", SAMPLE, *words]) == 0
    text = capsys.readouterr().out
    assert "# hidden.0: keeps 32 of 128 neurons\n# hidden.1: keeps 16 of 64 neurons\n" in text
    (tmp_path / "plan.yaml").write_text(text)
    assert dict(read_plan(tmp_path / "plan.yaml").sparsities) == {
        "hidden.0": 0.75,
        "hidden.1": 0.75,
    }


def test_a_granularity_does_not_go_with_a_plan_of_another(tmp_path, capsys):
    write_plan(PruningPlan({"hidden.0": 0.5}), tmp_path / "plan.yaml")
    words = ["prune", SAMPLE, "--plan", str(tmp_path / "plan.yaml"), "--granularity", "channel"]
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        "The plan is made for granularity 'weight', not for 'channel'.",
        "Leave --granularity out, or make another plan with workbench allocate.",
    ]


def test_a_repair_that_finds_nothing_to_do_is_skipped(result):
    words = ["prune", SAMPLE, "--method", "uniform", "--sparsity", "0.9", "--repair", "bn"]
    found = result(*words)
    assert found["repaired"] == found["pruned"] | {"skipped": True}  # it has no BatchNorm
    assert "repair" not in found


def test_removed_channels_make_it_smaller_and_full_repair_says_what_it_did(tmp_path, capsys):
    words = [
        "prune",
        SAMPLE,
        "--method",
        "uniform",
        "--sparsity",
        "0.5",
        "--granularity",
        "channel",
    ]
    target = tmp_path / "result.json"
    assert main([*words, "--json", str(target)]) == 0
    found = json.loads(target.read_bytes())
    assert found["pruned"]["num_params"] == 65 * 64 + 65 * 32 + 33 * 10
    assert found["pruned"]["num_params"] == found["pruned"]["num_nonzero"]
    assert found["repaired"]["accuracy"] >= found["pruned"]["accuracy"]
    assert found["pruned"]["bytes"] == 4 * found["pruned"]["num_params"]
    text = capsys.readouterr().out
    assert re.search(r"^Repair solved \d of \d layers anew: on average they miss", text, re.M)
