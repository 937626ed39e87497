"""The README tells the truth: its Python session runs, its table is that of the cards."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_python_session_runs(tmp_path, monkeypatch, capsys):
    session = re.search(r"```python\n(.*?)```", README, re.S)[1]
    small = session.replace("fashion-resnet20", "digits-mlp").replace("fashion-mnist", "digits")
    monkeypatch.chdir(tmp_path)
    exec(compile(small, "README.md", "exec"), {})
    assert (tmp_path / "small-resnet20" / "model.onnx").is_file()
    assert "model.py" in capsys.readouterr().out
    assert len([line for line in session.splitlines() if line.strip()]) <= 10


def test_the_table_is_that_of_the_cards(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "sample_models"))
    import readme_table

    assert readme_table.with_table(README) == README
    assert readme_table.table().count("| `") == len(list((ROOT / "sample_models/cards").glob("*")))
    del sys.modules["readme_table"]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()
