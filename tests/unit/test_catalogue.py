"""The catalogue: what is read of every method is what its registry holds, and all of it is told."""

import re
import sys
from dataclasses import fields
from importlib import import_module

import pytest

import workbench as wb
from workbench.catalogue import (
    HOMES,
    _value,
    find_all,
    find_method,
    methods,
    methods_of,
    search,
    summaries,
)  # fmt: skip
from workbench.errors import SettingsError
from workbench.method import FAMILIES, NEEDS, Method
from workbench.plan import ALLOCATIONS as RULES

ALL = [(family, one) for family, those in methods().items() for one in those.values()]
IDS = [f"{family}-{one.name}" for family, one in ALL]
CONTRACT = {
    "criterion": "l1 l2 random gradient taylor fisher movement wanda bn_scale fpgm lamp apoz "
    "mean_activation entropy entropy_max",
    "allocation": "uniform uniform_plus global erk lamp equal_loss greedy optimal",
    "repair": "none bn full",
}
OURS = {"optimal", "none"}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_is_what_the_registry_holds(family):
    home = HOMES[family]
    registry = getattr(import_module(home.module), home.registry)
    assert set(methods_of(family)) == set(registry)
    for name, held in registry.items():
        read = methods_of(family)[name]
        for field in fields(Method):
            assert getattr(read, field.name) == getattr(held, field.name), (name, field.name)


def test_every_family_has_a_home_and_methods():
    assert set(HOMES) == set(FAMILIES)
    assert [*methods()] == [*FAMILIES]
    assert all(len(those) > 2 for those in methods().values())


@pytest.mark.parametrize(("family", "names"), CONTRACT.items())
def test_the_names_that_were_promised_are_there(family, names):
    assert set(names.split()) <= set(methods_of(family))


def test_every_rule_that_a_plan_can_name_is_told():
    by_hand = {"by_hand", "by_training"}
    assert set(methods_of("allocation")) == set(RULES) - by_hand


@pytest.mark.parametrize(("family", "method"), ALL, ids=IDS)
def test_every_method_tells_all_of_itself(family, method):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", method.name)
    assert 40 <= len(method.explanation.split()) <= 160
    assert len(method.title.split()) < 8
    for told in (method.summary, method.explanation, method.strengths, method.limits):
        assert told.strip() == told
        assert told[0].isupper()
        assert told.endswith("."), told
        assert "  " not in told
    assert method.paper or method.name in OURS
    assert not method.paper.endswith(".")
    assert method.needs
    assert set(method.needs) <= set(NEEDS)


@pytest.mark.parametrize(("family", "method"), ALL, ids=IDS)
def test_every_formula_can_be_set(family, method):
    formula = method.formula
    assert formula or method.name in {"none"}
    assert "$" not in formula
    bare = formula.replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0, "a brace closes that was not opened"
    assert depth == 0, "a brace is open at the end"
    assert len(re.findall(r"\\left\b", bare)) == len(re.findall(r"\\right\b", bare))
    assert len(re.findall(r"\\begin\b", bare)) == len(re.findall(r"\\end\b", bare))
    assert not re.search(r"[\t\n\f\r\v\a\b]", formula), "an escape that was meant as LaTeX"


def test_titles_and_explanations_are_not_copies():
    explanations = [one.explanation for _family, one in ALL]
    assert len(set(explanations)) == len(explanations)
    for family, those in methods().items():
        titles = [one.title for one in those.values()]
        assert len(set(titles)) == len(titles), family


def test_reading_needs_no_torch():
    code = (
        "import sys; from workbench.catalogue import methods; import workbench as wb;"
        "assert sum(map(len, wb.methods().values())) > 30; print('torch' in sys.modules)"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_package_gives_all_of_them():
    assert wb.methods() == methods()


def test_a_word_in_two_families_is_found_in_both_and_the_road_decides():
    assert [family for family, _one in find_all("lamp")] == ["criterion", "allocation"]
    assert find_method("lamp")[0] == "criterion"
    assert find_method("lamp", "allocation")[1].title == "LAMP"


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(SettingsError, match="There is no method 'taylr'") as refused:
        find_method("taylr")
    assert "Did you mean 'taylor'?" in refused.value.hint
    with pytest.raises(SettingsError, match="There is no family 'criteria'"):
        find_method("l1", "criteria")
    with pytest.raises(SettingsError, match="no method 'full' in the family 'criterion'"):
        find_method("full", "criterion")


def test_the_search_wants_all_words_whatever_their_case():
    found = search("LEAST squares dense")
    assert "full" in found["repair"]
    assert all(
        all(word in str(vars(one)).lower() for word in ("least", "squares", "dense"))
        for those in found.values()
        for one in those.values()
    )
    assert search("") == {family: dict(those) for family, those in methods().items()}
    assert search("zebra crossing") == {}


def test_summaries_are_for_lists_of_choices():
    assert summaries("repair")["none"] == "Leaves the pruned model as it is."


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'a' 'b'", "ab"),
        ("('a', 'b')", ("a", "b")),
        ("'a' + 'b'", "ab"),
        ("f'{N:.1f} x'", "0.5 x"),
        ("N", 0.5),
    ],
)
def test_plain_texts_are_read(source, value):
    import ast

    assert _value(ast.parse(source, mode="eval").body, {"N": 0.5}) == value


def test_what_is_no_plain_text_is_not_guessed():
    import ast

    with pytest.raises(ValueError, match="no plain text"):
        _value(ast.parse("TEXTS['a']", mode="eval").body, {})
