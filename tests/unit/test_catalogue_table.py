"""The table of criteria: means and spreads by hand, who is best, tied and below random."""

import json
import math
from statistics import stdev

import pytest

from workbench.catalogue import methods_of
from workbench.catalogue_table import CriteriaTable, load_table, marks, ship, summarise, table_path


def row(criterion, accuracy, seed=0, **more):
    usual = {
        "model": "net", "granularity": "weight", "level": 0.9, "stage": "raw", "samples": 10_000,
        "seconds_scores": 0.5, "images": 0, "epochs": 0,
    }  # fmt: skip
    return {**usual, "criterion": criterion, "accuracy": accuracy, "seed": seed, **more}


ROWS = [
    row("l1", 0.80), row("l1", 0.81, 1), row("l1", 0.82, 2),
    row("l2", 0.815), row("l2", 0.815, 1), row("l2", 0.815, 2),
    row("random", 0.50), row("random", 0.52, 1), row("random", 0.54, 2),
    row("fisher", 0.30), row("fisher", 0.30, 1), row("fisher", 0.30, 2),
    row("taylor", 0.60, images=512, seconds_scores=2.0),
    row("dense", 0.92, granularity="", level=0.0),
    row("l1", 0.9, stage="repaired"), row("l1", 0.7, level=0.95),
]  # fmt: skip


@pytest.fixture
def table() -> CriteriaTable:
    return summarise(ROWS)


def test_seeds_become_mean_and_spread(table):
    cell = table.column("net", "weight", 0.9, "raw")["l1"]
    assert cell.accuracy == pytest.approx(0.81)
    assert cell.spread == pytest.approx(stdev([0.80, 0.81, 0.82]))
    assert (cell.seeds, cell.samples, cell.seconds) == (3, 10_000, 0.5)


def test_a_row_measured_again_replaces_the_former(table):
    again = summarise([*ROWS, row("taylor", 0.9)])
    assert again.column("net", "weight", 0.9, "raw")["taylor"].accuracy == 0.9
    assert again.column("net", "weight", 0.9, "raw")["taylor"].seeds == 1


def test_the_error_is_that_of_seeds_or_images_whichever_is_larger(table):
    column = table.column("net", "weight", 0.9, "raw")
    images = math.sqrt(0.815 * 0.185 / 10_000)
    assert column["l2"].error == pytest.approx(images)
    assert column["l1"].error == pytest.approx(stdev([0.80, 0.81, 0.82]) / math.sqrt(3))


def test_the_best_its_ties_and_what_is_below_random_are_marked(table):
    found = marks(table.column("net", "weight", 0.9, "raw"))
    assert found == {"l2": "best", "l1": "tie", "taylor": "", "random": "", "fisher": "floor"}
    assert marks({}) == {}


def test_without_random_nothing_is_below_it():
    found = summarise([row("l1", 0.8), row("fisher", 0.1)])
    assert marks(found.column("net", "weight", 0.9, "raw")) == {"l1": "best", "fisher": ""}


def test_what_can_be_chosen_is_what_was_measured(table):
    assert table.models == ("net",)
    assert table.granularities("net") == ("weight",)
    assert table.levels("net", "weight") == (0.9, 0.95)
    assert table.stages("net", "weight") == ("raw", "repaired")
    assert table.dense("net").accuracy == 0.92
    assert table.dense("other") is None


def test_what_is_shipped_is_read_back(table, tmp_path):
    path = tmp_path / "methods" / "criteria.json"
    assert ship(ROWS, path) == table
    assert load_table(path) == table
    assert load_table(tmp_path / "none.json") is None
    assert len(json.loads(path.read_text())["cells"]) == len(table.cells)


def test_the_shipped_table_is_of_criteria_that_there_are():
    found = load_table()
    assert (found is None) == (not table_path().is_file())
    named = {cell.criterion for cell in found.cells} if found else set()
    assert named <= {*methods_of("criterion"), "dense"}
