"""The robustness page: what it asks, what it draws, what it keeps."""

import json

import pytest

from tests.ui import digits
from tests.ui.digits import button, captions, labels, texts, uniform
from workbench.architectures.mlp import MLP
from workbench.corruptions import CORRUPTIONS
from workbench.experiment import Run
from workbench.model import Model
from workbench.prune import prune
from workbench.robustness import RobustnessSettings, measure_robustness
from workbench.store import DataRef, ModelRef
from workbench.ui import bench, robustness_panels

FEW = RobustnessSettings(("contrast", "gaussian_noise"), num_samples=60)


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def two_runs():
    ws = digits.workspace(uniform(0.8))
    digits.add_run(ws, uniform(0.5), name="Half")
    digits.add_run(ws, uniform(0.95), name="Little")
    return ws


def field(app, kind: str, label: str):
    return next(one for one in getattr(app, kind) if one.label == label)


def measure(ws: str, settings: RobustnessSettings = FEW, runs=(1, 2)) -> None:
    """Do what a worker would do, and remember it as the page does."""
    digits.do("robustness", ws, digits.arguments(runs=list(runs), settings=settings.to_dict()))
    key = f"{bench.key_of(digits.MODEL_REF)}-{bench.key_of(digits.DATA_REF)}"
    kept = {"settings": settings.to_dict(), "runs": list(runs), "of": key}
    bench.store().save_settings(ws, {"robustness": kept})


def chart(app) -> dict:
    (one,) = app.get("plotly_chart")
    return json.loads(one.proto.spec)


def test_without_a_run_the_dense_model_can_be_measured_alone(open_app, registry):
    app = open_app(ws=digits.workspace(), page="robustness")
    assert "There is no run of this model yet" in app.info[0].value
    button(app, "Measure").click().run()
    ((_owner, kind, request),) = registry.requests
    assert kind == "robustness"
    assert request["runs"] == []
    asked = RobustnessSettings.from_dict(request["settings"])
    assert asked == RobustnessSettings(num_samples=360)
    assert len(app.get("progress")) == 1
    assert not app.error


def test_the_form_says_what_is_asked(open_app, registry, two_runs):
    app = open_app(ws=two_runs, page="robustness")
    assert "Nothing is measured yet" in captions(app)
    runs = field(app, "multiselect", "Runs beside the dense model")
    assert runs.value == [1, 2]
    runs.set_value([2])
    field(app, "multiselect", "Corruptions").set_value(["blur", "occlusion"])
    field(app, "number_input", "Test images").set_value(50)
    field(app, "number_input", "Seed").set_value(3)
    button(app, "Measure").click().run()
    request = registry.requests[0][2]
    assert request["runs"] == [2]
    assert RobustnessSettings.from_dict(request["settings"]) == RobustnessSettings(
        ("blur", "occlusion"), num_samples=50, seed=3
    )
    again = open_app(ws=two_runs, page="robustness")
    assert field(again, "multiselect", "Runs beside the dense model").value == [2]
    assert field(again, "number_input", "Test images").value == 50


def test_the_chart_and_the_one_number_are_what_was_measured(open_app, registry, two_runs):
    measure(two_runs)
    app = open_app(ws=two_runs, page="robustness")
    assert not app.error
    models: dict[str, Model] = {"Dense": digits.model()}
    for number, sparsity in ((1, 0.5), (2, 0.95)):
        models[f"run {number}"] = prune(digits.model(), uniform(sparsity)).model
    found = measure_robustness(models, digits.data(), FEW)
    frame = app.dataframe[0].value
    assert list(frame["model"]) == ["Dense", "Half", "Little"]
    for cell, model in zip(frame["mean"], found.models, strict=True):
        assert cell.startswith(f"{100 * found.mean(model).accuracy:.1f} %")
    apart = found.difference(found.models[2])
    assert f"{100 * apart.accuracy:+.1f}".replace("-", "−") in frame["apart"][2]
    lines = chart(app)["data"]
    assert [line["name"] for line in lines] == ["Dense", "Half", "Little"] * 2
    assert lines[2]["y"] == pytest.approx(
        [found.models[2].score().accuracy]
        + [found.models[2].score("contrast", level).accuracy for level in range(1, 6)]
    )
    assert lines[2]["x"] == [0, 1, 2, 3, 4, 5]
    assert len({line["marker"]["symbol"] for line in lines}) == 3, "told apart by shape"
    assert "The dense model keeps" in texts(app)
    assert "Less than it: " in texts(app)
    assert "60 test images, the same for every model" in captions(app).replace("\\", "")
    (drawn,) = app.get("plotly_chart")
    assert drawn.proto.alt.startswith("Charts of test accuracy against severity")


def test_the_digest_of_a_run_is_that_of_the_model_that_the_task_opens(two_runs):
    from workbench.reopen import reopen_run

    stored = bench.store().run(two_runs, 2)
    assert Run.from_dict(stored.record).final.digest == (
        reopen_run(stored, bench.store()).model.digest
    )


def test_a_stopped_measurement_is_kept_and_goes_on(open_app, registry, two_runs):
    measure(two_runs, RobustnessSettings(("contrast",), num_samples=61))
    key = f"{bench.key_of(digits.MODEL_REF)}-{bench.key_of(digits.DATA_REF)}"
    asked = RobustnessSettings(FEW.corruptions, num_samples=61)
    kept = {"settings": asked.to_dict(), "runs": [1, 2], "of": key}
    bench.store().save_settings(two_runs, {"robustness": kept})
    app = open_app(ws=two_runs, page="robustness")
    assert "was stopped" in app.info[0].value
    assert list(app.dataframe[0].value["mean"]) == ["–"] * 3
    button(app, "Resume").click().run()
    request = registry.requests[0][2]
    assert request["runs"] == [1, 2]
    assert RobustnessSettings.from_dict(request["settings"]) == asked


def test_what_came_so_far_is_drawn_while_it_runs(open_app, registry, two_runs):
    measure(two_runs)
    asked = digits.arguments(runs=[1, 2], settings=FEW.to_dict())
    registry.submit(two_runs, "robustness", "Robustness", asked)
    app = open_app(ws=two_runs, page="robustness")
    assert len(app.get("progress")) == 1
    assert "Stop" in labels(app)
    assert len(chart(app)["data"]) == 6
    assert button(app, "Measure").disabled


def test_examples_of_every_corruption_are_shown_at_the_severity(open_app, registry):
    app = open_app(ws=digits.workspace(), page="robustness")
    pictures = app.get("image")
    assert len(pictures) == 1 + len(CORRUPTIONS)
    told = [picture.proto.imgs[0].caption for picture in pictures]
    assert told[0] == "Clean"
    assert any("0.4" in text and "contrast kept" in text for text in told)
    field(app, "segmented_control", "Severity").set_value(5).run()
    told = [picture.proto.imgs[0].caption for picture in app.get("image")]
    assert any("0.15" in text and "contrast kept" in text for text in told)
    assert not app.error


def test_a_run_that_was_deleted_leaves_the_others(open_app, registry, two_runs):
    measure(two_runs)
    bench.store().delete_run(two_runs, 1)
    app = open_app(ws=two_runs, page="robustness")
    assert list(app.dataframe[0].value["model"]) == ["Dense", "Little"]
    assert not app.error


def test_two_runs_of_the_same_name_are_both_shown(open_app, registry, two_runs):
    bench.store().rename_run(two_runs, 2, "Half")
    measure(two_runs)
    app = open_app(ws=two_runs, page="robustness")
    assert list(app.dataframe[0].value["model"]) == ["Dense", "Half", "Half (2)"]


@pytest.mark.parametrize("page", ["robustness", "ensembles", "compare"])
def test_an_uploaded_model_without_data_is_no_fault(open_app, registry, page):
    store = bench.store()
    ws = store.create_workspace()
    arguments = {"input_shape": [1, 5, 5], "hidden": [8], "num_classes": 10}  # as no sample has
    ref = ModelRef(name="mine", architecture="mlp", arguments=arguments, input_shape=(1, 5, 5))
    store.save_model_ref(ws, ref, MLP(**arguments).state_dict())
    app = open_app(ws=ws, page=page)
    assert store.open_workspace(ws).data_ref is None
    assert not app.error
    if page == "robustness":
        assert "There are no images for this model yet." in app.info[0].value
        assert "Measure" not in labels(app)


def test_more_runs_than_can_be_told_apart_cannot_be_chosen():
    shapes = {symbol for _colour, symbol, _dash in robustness_panels.LOOKS}
    assert len(shapes) == len(robustness_panels.LOOKS)
    assert "square" not in shapes  # the dense model's


def test_another_model_does_not_show_this_ones_numbers(open_app, registry, two_runs):
    measure(two_runs)
    store = bench.store()
    store.save_model_ref(two_runs, digits.OTHER_REF)
    store.save_data_ref(two_runs, DataRef(name="fashion-mnist", sample="fashion-mnist"))
    app = open_app(ws=two_runs, page="robustness")
    assert not app.dataframe
    assert not app.error
