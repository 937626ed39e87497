"""The glossary: one meaning for every term, the same in the tooltip."""

import ast
from pathlib import Path

import pytest

from tests.ui.digits import texts
from workbench.ui.words import explain, glossary

UI = Path(__file__).resolve().parents[2] / "workbench" / "ui"
ASKED = {
    "granularity", "N:M", "block", "kernel", "channel pruning ratio", "group", "repair",
    "full repair", "measured speedup", "theoretical speedup",
}  # fmt: skip


def test_the_words_of_structured_pruning_are_there():
    assert set(glossary()) >= ASKED


@pytest.mark.parametrize("term", sorted(glossary()))
def test_the_first_sentence_is_the_help(term):
    text, help_ = glossary()[term], explain(term)
    assert text.startswith(help_)
    assert help_.endswith(".")
    assert text[len(help_) : len(help_) + 1] in ("", " ")
    assert ". " not in help_


def test_every_term_that_is_explained_is_known():
    used = set()
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_call and node.func.id == "explain" and isinstance(node.args[0], ast.Constant):
                used.add(node.args[0].value)
    assert len(used) > 20
    assert used <= set(glossary())


def test_the_glossary_is_on_every_page(open_app):
    app = open_app(page="compare")
    shown = texts(app.sidebar).replace("\\", "")
    assert all(f"**{term}** · {text}" in shown for term, text in glossary().items())
