"""Every refusal has the text that the golden table says, and nothing that was refused ran."""

import pickle

import pytest

from tests.golden.refusals import MAKERS, observe, read_table
from tests.golden.refusals.models import Payload

TABLE = read_table()


@pytest.mark.parametrize("name", MAKERS)
def test_refusal_reads_as_the_table_says(name, tmp_path):
    row = observe(MAKERS[name], tmp_path)
    assert row == TABLE[name]
    assert not (tmp_path / "marker").exists()


def test_payload_would_run_where_it_is_unpickled(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "marker"))).close()
    assert (tmp_path / "marker").exists()


def test_table_and_makers_are_the_same():
    assert list(TABLE) == list(MAKERS)
    assert len(TABLE) >= 40


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_texts_are_sentences(row):
    for text in (row.message, row.hint):
        assert text == text.strip()
        assert text.endswith((".", "?"))
        assert "\n" not in text
        assert "  " not in text
    assert len(row.message) < 300
