"""The sample models are as good as their cards say, measured anew from the weights that ship."""

import json

import pytest

from workbench.errors import WorkbenchError
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.loading import load_data, load_model, sample_card, sample_names
from workbench.loading.samples import sample_folder
from workbench.metrics import score
from workbench.sensitivity import sample_curves

# Accuracy on the test part and number of parameters that each model promises.
PROMISES = {
    "digits-mlp": (0.97, (17_000, 18_000)),
    "digits-resnet50": (0.985, (1_480_000, 1_490_000)),
    "digits-shared": (0.98, (18_000, 19_000)),
    "fashion-gru": (0.89, (50_000, 200_000)),
    "fashion-lenet5": (0.91, (431_080, 431_080)),
    "fashion-mobilenet": (0.92, (50_000, 300_000)),
    "fashion-resnet20": (0.93, (265_000, 275_000)),
    "fashion-vit": (0.885, (50_000, 500_000)),
}


@pytest.mark.parametrize("name", PROMISES)
def test_accuracy_is_as_promised_and_as_the_card_says(name):
    least, (fewest, most) = PROMISES[name]
    model, card = load_model(name), sample_card(name)
    data = load_data(model.data_name)
    measured = score(model.module, data.split("test"), batch_size=100)
    assert measured.accuracy >= least
    assert fewest <= inspect(model).num_params <= most
    # Another processor may round a handful of close calls the other way.
    assert measured.accuracy == pytest.approx(card["measured"]["accuracy"], abs=5e-4)
    assert measured.samples == card["measured"]["samples"] == len(data.y_test)
    assert measured.loss == pytest.approx(card["test_loss"], abs=1e-3)
    assert card["measured"]["ci_low"] < measured.accuracy < card["measured"]["ci_high"]


@pytest.mark.parametrize("name", PROMISES)
def test_the_card_describes_the_weights_that_ship(name):
    model, card = load_model(name), sample_card(name)
    inspection = inspect(model)
    data = load_data(model.data_name)
    assert (card["name"], card["digest"]) == (name, model.digest)
    assert (card["architecture"], card["arguments"]) == (model.architecture, model.arguments)
    assert (card["num_params"], card["macs"]) == (inspection.num_params, inspection.macs)
    assert tuple(card["input_shape"]) == model.input_shape == data.input_shape
    assert (card["num_classes"], card["data_name"]) == (model.num_classes, data.name)
    assert card["normalisation"]["mean"] == pytest.approx(data.mean, abs=1e-6)
    assert card["normalisation"]["std"] == pytest.approx(data.std, abs=1e-6)
    training = card["training"]
    assert training["command"].startswith(f"python sample_models/train.py {name} --seed ")
    assert training["images"] > 1_000
    assert training["seconds"] > 0
    assert "MIT" in card["licence"]
    assert card["data_notice"] == data.notice != ""


def test_every_model_has_its_card():
    cards = {path.stem for path in (sample_folder() / "cards").glob("*.json")}
    assert cards == set(sample_names()) == set(PROMISES)


def test_the_default_model_comes_with_its_curves():
    model = load_model("fashion-resnet20")
    data = load_data(model.data_name)
    curves = sample_curves(model)
    assert curves
    names = [layer.layer_name for layer in inspect(model).prunable]
    for measured in curves:
        assert (measured.complete, measured.data) == (True, data.digest)
        assert list(measured.groups) == names
        assert len(measured.points) == len(names) * len(measured.settings.levels)
        assert {point.samples for point in measured.points} == {2_000}
        assert measured.baseline.accuracy > 0.92
    assert len({measured.settings for measured in curves}) == len(curves)


def test_two_points_of_the_shipped_curves_measured_anew():
    from workbench.plan import PruningPlan
    from workbench.prune import prune

    model = load_model("fashion-resnet20")
    (raw,) = [c for c in sample_curves(model) if c.settings.repair == "none"]
    validation = load_data(model.data_name).split(
        "validation", raw.settings.num_samples, raw.settings.seed
    )
    stem = next(point for point in raw.curve("stem") if point.level == 0.9)
    pruned = prune(model, PruningPlan({"stem": 0.9}, criterion=raw.settings.criterion))
    assert score(model.module, validation, batch_size=100).accuracy == pytest.approx(
        raw.baseline.accuracy, abs=1e-3
    )
    assert score(pruned.model.module, validation, batch_size=100).accuracy == pytest.approx(
        stem.accuracy, abs=2e-3
    )


def test_the_default_model_comes_with_curves_of_its_coupled_channels():
    from workbench.plan import PruningPlan
    from workbench.prune import prune

    model = load_model("fashion-resnet20")
    data = load_data(model.data_name)
    curves = {c.settings.repair: c for c in sample_curves(model, "channel")}
    assert set(curves) == {"none", "bn"}
    names = tuple(group.name for group in find_groups(model, "channel").prunable)
    for measured in curves.values():
        assert (measured.complete, measured.data, measured.groups) == (True, data.digest, names)
        assert len(measured.points) == len(names) * len(measured.settings.levels)
    raw = curves["none"]
    validation = data.split("validation", raw.settings.num_samples, raw.settings.seed)
    point = next(p for p in raw.curve("stages.1.0.conv2") if p.level == 0.3)
    plan = PruningPlan({point.group: point.level}, "channel", raw.settings.criterion)
    thin = prune(model, plan).model.module
    assert score(thin, validation, batch_size=100).accuracy == pytest.approx(
        point.accuracy, abs=2e-3
    )


def test_files_that_ship_are_small_and_hold_plain_json():
    folder = sample_folder()
    files = [
        path
        for part in ("weights", "cards", "curves", "data")
        for path in (folder / part).iterdir()
    ]
    assert sum(path.stat().st_size for path in files) < 30e6
    for path in files:
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))


def test_an_unknown_sample_is_refused_with_the_nearest():
    with pytest.raises(WorkbenchError) as refused:
        sample_card("fashion-resnet2")
    assert "fashion-resnet20" in refused.value.hint
