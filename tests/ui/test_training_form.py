"""The form of a training on the page: its options, what it remembers, who teaches."""

import pytest

from tests.ui import digits
from tests.ui.digits import add_run, button, captions, uniform
from workbench.experiment import Run
from workbench.finetune_settings import FineTuneSettings
from workbench.training import FINETUNING
from workbench.ui import bench


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture
def ws():
    made = digits.workspace(uniform(0.8))
    add_run(made)
    return made


def box(widgets, label: str):
    return next(one for one in widgets if one.label == label)


def test_every_option_of_the_form_reaches_the_training(open_app, registry, ws):
    app = open_app(ws=ws, page="finetune")
    assert set(box(app.selectbox, "Schedule").options) == {
        method.title for method in FINETUNING.values() if method.factor
    }
    box(app.selectbox, "Schedule").set_value("rewind")
    box(app.selectbox, "Teacher").set_value("run:1")
    wanted = {
        "Cycles": 3, "Rewind": 0.5, "Distillation": 0.7, "Temperature": 2.0,
        "Label smoothing": 0.1, "Gaussian noise": 0.05, "Salt and pepper": 0.02,
    }  # fmt: skip
    for label, value in wanted.items():
        box(app.number_input, label).set_value(value)
    button(app, "Fine-tune").click().run()
    assert not app.exception
    request = registry.requests[0][2]
    assert FineTuneSettings.from_dict(request["finetune"]) == FineTuneSettings(
        schedule="rewind", cycles=3, rewind=0.5, distillation=0.7, temperature=2.0,
        label_smoothing=0.1, gaussian_noise=0.05, salt_and_pepper=0.02,
    )  # fmt: skip
    assert request["teacher"] == {"run": 1}
    registry.job = None
    again = open_app(ws=ws, page="finetune")
    assert {label: box(again.number_input, label).value for label in wanted} == wanted
    assert box(again.selectbox, "Teacher").value == "run:1"
    assert box(again.selectbox, "Schedule").value == "rewind"


def test_everything_is_off_at_first_and_the_dense_model_teaches(open_app, registry, ws):
    app = open_app(ws=ws, page="finetune")
    run = Run.from_dict(bench.store().run(ws, 1).record)
    assert box(app.selectbox, "Teacher").value == ""
    accuracy = f"{100 * run.final.measurement.accuracy:.2f} %"
    assert accuracy in box(app.selectbox, "Teacher").options[-1]
    button(app, "Fine-tune").click().run()
    request = registry.requests[0][2]
    assert FineTuneSettings.from_dict(request["finetune"]) == FineTuneSettings()
    assert request["teacher"] is None


def test_every_control_of_the_form_says_what_it_does(open_app, registry, ws):
    app = open_app(ws=ws, page="finetune")
    form = [
        one for kind in ("number_input", "selectbox", "checkbox") for one in app.get(kind)
        if one.proto.form_id
    ]  # fmt: skip
    assert len(form) > 15
    assert [one.label for one in form if not one.help] == []


def test_settings_that_an_older_version_remembered_are_taken(open_app, registry, ws):
    old = {
        "optimizer": "adam", "lr": None, "epochs": 7, "seconds": None, "batch_size": 64,
        "momentum": 0.9, "weight_decay": 0.0005, "shift": 1, "flip": False, "seed": 0,
    }  # fmt: skip
    bench.store().save_settings(ws, {"finetune": old, "finetune_teacher": "run:99"})
    app = open_app(ws=ws, page="finetune")
    assert not app.exception
    assert box(app.number_input, "How many").value == 7
    assert box(app.selectbox, "Schedule").value == "cosine"
    assert box(app.selectbox, "Teacher").value == "", "the run is gone"


def test_a_run_teaches_another_and_the_page_says_so(open_app, registry, ws):
    name = bench.store().run(ws, 1).name
    settings = FineTuneSettings(epochs=1, distillation=0.5, label_smoothing=0.1, lr=0.02)
    asked = digits.arguments(run=1, finetune=settings.to_dict(), teacher={"run": 1})
    digits.do("finetune", ws, asked)
    record = Run.from_dict(bench.store().run(ws, 2).record).training
    assert record.teacher == name
    told = captions(open_app(ws=ws, page="finetune"))
    assert (
        "Schedule: Cosine; highest learning rate 0.02; Distillation 0.5; Label smoothing 0.1"
        in told
    )
    assert f"taught by {name} at temperature 4." in told.replace("\\", "")


def test_a_sample_can_teach(ws):
    settings = FineTuneSettings(epochs=1, distillation=0.5)
    found = {}
    for teacher in (None, {"sample": "digits-mlp"}):
        asked = digits.arguments(run=1, finetune=settings.to_dict(), teacher=teacher)
        digits.do("finetune", ws, asked)
        stored = bench.store().runs(ws)[-1]
        found[str(teacher)] = Run.from_dict(stored.record).training
    assert [one.teacher for one in found.values()] == ["", "digits-mlp"]
    first, second = ([e["accuracy"] for e in one.history] for one in found.values())
    assert first == second, "the dense model is that sample"
