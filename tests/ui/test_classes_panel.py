"""Classes on the compare page: which were hurt, and what is taken for what."""

import json

import pytest

from tests.ui import digits
from tests.ui.digits import button, labels, texts, uniform
from workbench.class_metrics import compare_classes
from workbench.class_tasks import load_class_metrics
from workbench.experiment import Run
from workbench.ui import bench


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def one_run():
    ws = digits.workspace(uniform(0.95))
    digits.add_run(ws, uniform(0.95), name="Small")
    return ws


def field(app, kind: str, label: str):
    return next(one for one in getattr(app, kind) if one.label == label)


def measure(ws: str):
    """Do what a worker would do; what it found of the dense model and of the run."""
    done = digits.do("class_metrics", ws, digits.arguments(run=1))
    assert done == {"complete": True}
    digest = Run.from_dict(bench.store().run(ws, 1).record).final.digest
    return [
        load_class_metrics(bench.store(), model, digits.data().digest)
        for model in (digits.model().digest, digest)
    ]


def heat_map(app) -> dict:
    (one,) = (c for c in app.get("plotly_chart") if "confusion" in c.proto.id)
    return json.loads(one.proto.spec)["data"][0]


def test_without_a_run_there_is_nothing(open_app, registry):
    app = open_app(ws=digits.workspace(), page="compare")
    assert "Measure every class" not in labels(app)


def test_a_button_measures_the_chosen_run(open_app, registry, one_run):
    app = open_app(ws=one_run, page="compare")
    button(app, "Measure every class").click().run()
    ((_owner, kind, request),) = registry.requests
    assert (kind, request["run"]) == ("class_metrics", 1)
    assert button(app, "Measure every class").disabled


def test_which_classes_were_hurt_is_what_the_test_says(open_app, registry, one_run):
    before, after = measure(one_run)
    app = open_app(ws=one_run, page="compare")
    assert not app.error
    hurt = [one.class_name for one in compare_classes(before, after) if one.is_hurt]
    assert hurt, "95 % without training hurts"
    for name in hurt:
        assert f"**{name}**" in texts(app)
    frame = next(d.value for d in app.dataframe if "verdict" in d.value.columns)
    assert sorted(frame["class"][frame["verdict"] == "hurt"]) == sorted(hurt)
    first = next(one for one in after.classes if one.class_name == frame["class"].iloc[0])
    assert f"→ {100 * first.recall:.1f}" in frame["recall"].iloc[0]
    changes = [one.recall.difference for one in compare_classes(before, after)]
    assert frame["change"].iloc[0].startswith(f"{100 * min(changes):+.1f}".replace("-", "−"))
    by_label = {metric.label: metric.value for metric in app.metric}
    assert by_label["Macro F1"] == f"{100 * after.macro_f1:.2f} %"
    assert by_label["Loss"] == f"{after.loss:.3f}"


def test_the_heat_map_shows_both_and_the_difference(open_app, registry, one_run):
    before, after = measure(one_run)
    app = open_app(ws=one_run, page="compare")
    change = [
        [b - a for a, b in zip(one, two, strict=True)]
        for one, two in zip(before.confusion, after.confusion, strict=True)
    ]
    seen = heat_map(app)["text"]
    assert [[int(cell.replace("−", "-") or 0) for cell in row] for row in seen] == change
    for chosen, wanted in (("before", before), ("after", after)):
        field(app, "segmented_control", "What is taken for what").set_value(chosen).run()
        counts = [[int(cell) for cell in row] for row in heat_map(app)["text"]]
        assert counts == [list(row) for row in wanted.confusion]
    assert not app.error


def test_a_model_that_is_measured_is_not_measured_again(one_run, monkeypatch):
    measure(one_run)
    monkeypatch.setattr("workbench.class_tasks._measure", lambda *_: pytest.fail("again"))
    assert digits.do("class_metrics", one_run, digits.arguments(run=1)) == {"complete": True}
