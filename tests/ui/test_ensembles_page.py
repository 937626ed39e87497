"""The ensembles page: what it asks, what it draws, what it keeps."""

import json

import pytest

from tests.ui import digits
from tests.ui.digits import button, captions, texts, uniform
from workbench.ensemble_tasks import load_ensembles
from workbench.ensembles import ENSEMBLES, Ensembles, EnsembleSettings
from workbench.ui import bench

PLAIN = EnsembleSettings(("vote", "average"))


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def three_runs():
    ws = digits.workspace(uniform(0.8))
    for name, sparsity in (("Half", 0.5), ("Most", 0.8), ("Nearly", 0.9)):
        digits.add_run(ws, uniform(sparsity), name=name)
    return ws


def field(app, kind: str, label: str):
    return next(one for one in getattr(app, kind) if one.label == label)


def combine(ws: str, runs: tuple[int, ...], settings: EnsembleSettings = PLAIN) -> Ensembles:
    """Do what a worker would do, and remember it as the page does."""
    asked = digits.arguments(runs=list(runs), settings=settings.to_dict())
    key = digits.do("ensemble", ws, asked)["key"]
    of = f"{bench.key_of(digits.MODEL_REF)}-{bench.key_of(digits.DATA_REF)}"
    before = bench.store().open_workspace(ws).settings.get("ensembles", [])
    new = {"key": key, "of": of, "runs": list(runs)}
    bench.store().save_settings(ws, {"ensembles": [new, *before]})
    found = load_ensembles(bench.store(), key)
    assert found is not None
    return found


def chart(app) -> dict:
    (one,) = app.get("plotly_chart")
    return json.loads(one.proto.spec)


@pytest.mark.parametrize("count", [0, 1])
def test_with_fewer_than_two_runs_there_is_one_way_on(open_app, registry, count):
    ws = digits.workspace(uniform(0.8))
    for _ in range(count):
        digits.add_run(ws, uniform(0.5))
    app = open_app(ws=ws, page="ensembles")
    assert "takes at least two" in app.info[0].value
    assert "Combine" not in digits.labels(app)
    assert not app.error


def test_the_form_says_what_is_asked(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="ensembles")
    assert field(app, "multiselect", "Runs").value == [1, 2, 3]
    field(app, "multiselect", "Runs").set_value([1, 3])
    field(app, "multiselect", "Combined by").set_value(["average"])
    field(app, "checkbox", "Search at the dense size").uncheck()
    button(app, "Combine").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "ensemble"
    assert request["runs"] == [1, 3]
    asked = EnsembleSettings.from_dict(request["settings"])
    assert asked == EnsembleSettings(("average",), search=False)
    assert len(app.get("progress")) == 1


def test_one_run_alone_is_refused_and_nothing_starts(open_app, registry, three_runs):
    app = open_app(ws=three_runs, page="ensembles")
    field(app, "multiselect", "Runs").set_value([2])
    button(app, "Combine").click().run()
    assert "An ensemble of 1 is none." in app.error[0].value.replace("\\", "")
    assert not registry.requests


def test_all_numbers_are_those_that_were_found(open_app, registry, three_runs):
    found = combine(three_runs, (1, 2, 3))
    app = open_app(ws=three_runs, page="ensembles")
    assert not app.error
    frame = app.dataframe[0].value
    titles = [ENSEMBLES[one.method].title for one in found.combined]
    best = [name for name, unit in (("Best within bytes", "bytes"), ("Best within MACs", "macs"))
            if found.best[unit]]  # fmt: skip
    assert list(frame["model"]) == ["Dense model", "Half", "Most", "Nearly", *titles, *best]
    everyone = [found.dense, *found.members, *found.combined]
    for cell, one in zip(frame["test"], everyone, strict=False):
        assert cell.startswith(f"{100 * one.test.accuracy:.2f} %")
    for cell, one in zip(frame["bytes"][1:], everyone[1:], strict=False):
        assert f"({found.part(one, 'bytes'):.2f}×)" in cell
    assert "All 3 together by" in texts(app)
    assert "Within the dense model's bytes" in texts(app)
    assert "360 test images" in captions(app)
    marks = chart(app)["data"]
    assert marks[0]["x"] == [found.dense.bytes]
    assert marks[1]["x"] == [one.bytes for one in found.members]
    assert [mark["name"] for mark in marks[2:4]] == titles
    field(app, "segmented_control", "Size as").set_value("macs").run()
    assert chart(app)["data"][1]["x"] == [one.macs for one in found.members]
    assert not app.error


def test_results_are_kept_and_earlier_ones_can_be_seen_again(open_app, registry, three_runs):
    combine(three_runs, (1, 2))
    combine(three_runs, (2, 3))
    app = open_app(ws=three_runs, page="ensembles")
    shown = field(app, "selectbox", "Combined so far")
    assert shown.options == ["Most, Nearly", "Half, Most"]
    assert "Nearly" in list(app.dataframe[0].value["model"])
    shown.set_value(shown.options[1]).run()
    assert "Nearly" not in list(app.dataframe[0].value["model"])


def test_a_result_outlives_its_runs(open_app, registry, three_runs):
    combine(three_runs, (1, 2))
    bench.store().delete_run(three_runs, 1)
    app = open_app(ws=three_runs, page="ensembles")
    assert "run 1" in list(app.dataframe[0].value["model"])
    assert not app.error


def test_without_a_search_there_are_no_cards(open_app, registry, three_runs):
    combine(three_runs, (1, 2), EnsembleSettings(("vote",), search=False))
    app = open_app(ws=three_runs, page="ensembles")
    assert "Within the dense model" not in texts(app)
    assert not app.error


def test_models_that_do_not_fit_together_are_told(open_app, registry):
    ws = digits.workspace(uniform(0.8))
    digits.add_run(ws, uniform(0.1))
    digits.add_run(ws, uniform(0.2))
    combine(ws, (1, 2))
    app = open_app(ws=ws, page="ensembles")
    assert "No two of these runs fit together." in texts(app)
    assert not app.error
