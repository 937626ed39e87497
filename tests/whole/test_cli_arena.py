"""The verb ``arena``: its JSON is what ``run_arena`` finds, its table marks the best."""

import json
import re

import pytest

from workbench.arena import Arena, ArenaSettings, run_arena
from workbench.cli import choices, main
from workbench.loading import load_data, load_model
from workbench.plan_file import write_plan

ASKED = ("arena", "digits-mlp", "--granularity", "channel", "--unit", "macs", "--factors", "2,300",
         "--methods", "uniform,global", "--repair", "none", "--samples", "60")  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Arena:
    settings = ArenaSettings(
        granularity="channel", unit="macs", factors=(2, 300), methods=("uniform", "global"),
        repair="none", num_samples=60,
    )  # fmt: skip
    return run_arena(load_model("digits-mlp"), load_data("digits"), settings)


def untimed(values: dict) -> list[dict]:
    return [entry | {"seconds": 0} for entry in values["entries"]]


def test_the_json_is_what_the_function_finds(found, capsys):
    assert main([*ASKED, "--json", "-"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert untimed(values) == untimed(json.loads(json.dumps(found.to_dict())))
    assert values["dense"] == json.loads(json.dumps(found.dense.to_dict()))
    assert values["best"]["2"]["method"] == found.best(2.0).method
    assert values["best"]["300"] == {"method": None, "ties": []}
    assert values["split"] == "validation"
    assert values["data"]["name"] == "digits"


def test_the_table_marks_the_best_and_tells_reasons(found, capsys):
    assert main(ASKED) == 0
    text = capsys.readouterr().out
    accuracy = 100 * found.best(2.0).score.accuracy
    assert re.search(rf"{accuracy:.2f}\*", text)
    assert "Uniform at 300x: The budget macs=0.00333333 cannot be met" in text
    assert f"Dense: {100 * found.dense.accuracy:.2f} % of 60 validation images." in text


def test_a_plan_takes_part_and_its_size_is_a_budget(found, capsys, tmp_path):
    plan = found.entry("global", 2.0).plan
    write_plan(plan, tmp_path / "plan.yaml")
    words = [*ASKED, "--plan", str(tmp_path / "plan.yaml"), "--cache", str(tmp_path / "cache")]
    assert main([*words, "--json", "-"]) == 0
    values = json.loads(capsys.readouterr().out)
    own = [e for e in values["entries"] if e["method"] == "own" and not e["scaled"]]
    assert len(own) == 1
    assert own[0]["plan"]["sparsities"] == dict(plan.sparsities)
    assert own[0]["score"] == json.loads(json.dumps(found.entry("global", 2.0).score.to_dict()))


def test_help_gives_every_method_its_sentence(capsys):
    with pytest.raises(SystemExit) as end:
        main(["arena", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for table in (choices.ALLOCATIONS, choices.BUDGETS, choices.REPAIRS, choices.CRITERIA):
        for name, sentence in table.items():
            assert re.search(rf"^  {re.escape(name)} +{re.escape(sentence)}$", text, re.M), name
