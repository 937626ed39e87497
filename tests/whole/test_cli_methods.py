"""The verb ``methods``: the catalogue as text and JSON, trials and seconds."""

import json
import re

import pytest

from workbench.catalogue import methods
from workbench.cli import main
from workbench.loading import load_data, load_model
from workbench.method import FAMILIES, NEEDS
from workbench.trying import TryingSettings, try_method

ALL = [(family, one) for family, those in methods().items() for one in those.values()]


def told(capsys, *words) -> str:
    assert main(["methods", *words]) == 0
    return capsys.readouterr().out


def in_json(capsys, *words) -> dict:
    return json.loads(told(capsys, *words, "--json", "-"))


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_list_has_every_method_with_its_sentence(capsys):
    text = squeezed(told(capsys))
    for family, method in ALL:
        assert f"({family})" in text
        assert f"{method.name} {method.summary}" in text


@pytest.mark.parametrize(("family", "method"), ALL, ids=[f"{f}-{m.name}" for f, m in ALL])
def test_every_method_is_told_in_full(capsys, family, method):
    text = squeezed(told(capsys, method.name, "--family", family))
    assert text.startswith(f"{method.title} ({family} {method.name})")
    for part in (method.summary, method.explanation, method.strengths, method.limits):
        assert part in text
    assert squeezed(method.paper) in text
    assert squeezed(method.formula) in text
    assert all(NEEDS[need] in text for need in method.needs)


def test_the_json_holds_all_that_is_told(capsys):
    values = in_json(capsys)["methods"]
    assert [(one["family"], one["name"]) for one in values] == [(f, m.name) for f, m in ALL]
    (taylor,) = in_json(capsys, "taylor")["methods"]
    assert taylor["formula"] == methods()["criterion"]["taylor"].formula
    assert taylor["needs"] == list(methods()["criterion"]["taylor"].needs)


def test_a_word_of_two_families_tells_both(capsys):
    assert [one["family"] for one in in_json(capsys, "lamp")["methods"]] == [
        "criterion", "allocation",
    ]  # fmt: skip
    (one,) = in_json(capsys, "lamp", "--family", "allocation")["methods"]
    assert one["title"] == "LAMP"


def test_a_search_lists_what_tells_of_all_words(capsys):
    values = in_json(capsys, "--search", "least squares", "--family", "repair")["methods"]
    assert [one["name"] for one in values] == ["full"]
    assert "No method tells of all these words." in told(capsys, "--search", "zebra crossing")


def test_refusals_end_with_status_two(capsys):
    for words in (["taylr"], ["--family", "criteria"], ["taylor", "--try"], ["--json", "/no/x"]):
        assert main(["methods", *words]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 2


def test_help_lists_the_families(capsys):
    with pytest.raises(SystemExit) as end:
        main(["methods", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for name, title in FAMILIES.items():
        assert re.search(rf"^  {name} +{re.escape(title)}$", text, re.M), name


def test_a_trial_is_what_the_function_finds(capsys):
    words = ("l2", "--try", "--model", "digits-mlp", "--granularity", "channel", "--samples", "90",
             "--repair", "none", "--sparsity", "0.6")  # fmt: skip
    values = in_json(capsys, *words)
    asked = TryingSettings(
        "criterion", "l2", granularity="channel", sparsity=0.6, num_samples=90, repair="none"
    )
    found = json.loads(json.dumps(
        try_method(load_model("digits-mlp"), load_data("digits"), asked).to_dict()
    ))  # fmt: skip
    assert values["settings"] == found["settings"]
    assert values["compared"] == found["compared"]
    assert values["own"]["steps"] == found["own"]["steps"]
    assert values["own"]["plan"] == found["own"]["plan"]
    assert (values["model"]["name"], values["split"]) == ("digits-mlp", "validation")
    text = told(capsys, *words)
    accuracy = 100 * found["own"]["steps"]["pruned"]["accuracy"]
    assert re.search(rf"^Magnitude \(L2\) +{accuracy:.2f} %", text, re.M)
    assert "right after the cut: " in text


def test_a_method_that_cannot_be_tried_says_where_it_can(capsys):
    assert main(["methods", "vote", "--try", "--model", "digits-mlp"]) == 2
    assert "'vote' is not tried beside another method." in capsys.readouterr().err


def test_the_seconds_of_all_methods_are_measured(capsys):
    values = in_json(capsys, "--costs", "--model", "digits-mlp", "--granularity", "weight")
    by_name = {(one["family"], one["method"]): one for one in values["costs"]}
    assert by_name["criterion", "l1"]["seconds"] is not None
    assert "channels" in by_name["criterion", "fpgm"]["reason"]
    assert {one["family"] for one in values["costs"]} == {*FAMILIES}
