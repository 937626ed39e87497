"""Sparse training as a job and as a verb: kept, opened again, trained further and exported."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from workbench.cli import main, sparse_verb
from workbench.errors import SettingsError
from workbench.experiment import Run
from workbench.finetune_settings import FineTuneSettings
from workbench.progress import StoppedError, ignore, never
from workbench.reopen import reopen_data, reopen_run
from workbench.run_export import export
from workbench.sparse_training import SparseTrainingSettings
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS

MODEL = ModelRef("digits-mlp", sample="digits-mlp")
DATA = DataRef("digits", sample="digits")
TRAINING = FineTuneSettings(epochs=2, lr=0.02, shift=0)
BRIEF = FineTuneSettings(epochs=1, shift=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def workspace(store: Store) -> str:
    return store.create_workspace()


def ask(settings: SparseTrainingSettings, **more: object) -> dict[str, object]:
    asked = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "device": "cpu", "name": ""}
    return asked | {"settings": settings.to_dict(), "strengths": [], "finetune": None} | more


def do(store, workspace, asked, report=ignore, should_stop=never):
    return TASKS["sparse_training"](store, workspace, asked, report, should_stop)["runs"]


@pytest.mark.parametrize(
    ("method", "granularity"),
    [("l0", "weight"), ("group_lasso", "channel"), ("cubic", "channel"), ("lottery", "weight")],
)
def test_a_run_is_kept_opened_again_trained_further_and_exported(
    store, workspace, method, granularity
):
    settings = SparseTrainingSettings(
        method=method, granularity=granularity, target=0.5, rounds=1, training=TRAINING
    )
    (number,) = do(store, workspace, ask(settings, finetune=BRIEF.to_dict()))
    stored = store.run(workspace, number)
    run = Run.from_dict(json.loads(json.dumps(stored.record)))
    assert [stage.name for stage in run.stages] == ["dense", "pruned", "finetuned"]
    assert SparseTrainingSettings.from_dict(run.made_by) == settings
    assert run.plan.allocation == "by_training"
    pruned = reopen_run(stored, store)
    assert pruned.model.digest == run.final.digest
    asked = {"run": number, "finetune": BRIEF.to_dict(), "name": "", "device": "cpu"}
    later = store.run(workspace, TASKS["finetune"](store, workspace, asked, ignore, never)["run"])
    assert Run.from_dict(later.record).made_by == run.made_by
    again = reopen_run(later, store)
    for key, mask in pruned.masks.items():
        assert not again.model.module.get_parameter(key)[~mask].any(), "zeros are held"
    if method in ("l0", "group_lasso"):
        check_export(store, workspace, number, pruned)


def check_export(store, workspace, number, pruned):
    """The exported file gives what the run's model gives."""
    asked = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "run": number}
    exported = export(store, workspace, asked, ignore, never)["exported"]
    (folder,) = (store.folder / "exports").glob("*/run-*/")
    images = reopen_data(DATA, store).split("test").images[:20]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    name = session.get_inputs()[0].name
    outputs = session.run(None, {name: images.numpy()})[0]
    with torch.no_grad():
        expected = pruned.model.module(images).numpy()
    assert np.allclose(outputs, expected, atol=1e-4)
    assert exported["files"]


def test_strengths_are_tried_in_turn_and_told_as_points(store, workspace):
    told = []
    settings = SparseTrainingSettings(method="l1", training=BRIEF)
    numbers = do(
        store, workspace, ask(settings, strengths=[1e-3, 1e-1]),
        lambda progress: told.append(progress.values),
    )  # fmt: skip
    attempts = [values["attempt"] for values in told if "attempt" in values]
    assert [one["strength"] for one in attempts] == [1e-3, 1e-1]
    assert attempts[0]["sparsity"] < attempts[1]["sparsity"]
    runs = [Run.from_dict(store.run(workspace, number).record) for number in numbers]
    assert [run.final.validation.accuracy for run in runs] == [one["accuracy"] for one in attempts]
    assert [store.run(workspace, number).name for number in numbers] == [
        "L1 penalty, 0.001", "L1 penalty, 0.1",
    ]  # fmt: skip
    assert {values["number"] for values in told if "epoch" in values} == {0, 1}
    sweep = store.open_workspace(workspace).settings["sparse_sweep"]
    dense = runs[0].stage("dense").validation.accuracy
    close = [
        number
        for number, one in zip(numbers, attempts, strict=True)
        if one["accuracy"] >= dense - 0.01
    ]
    best = close[-1] if close else max(
        numbers, key=lambda number: attempts[numbers.index(number)]["accuracy"]
    )  # fmt: skip
    assert (sweep["runs"], sweep["best"]) == (numbers, best)
    assert sweep["why"] == ("close" if close else "accurate"), "no target was asked for"


def test_a_stop_keeps_what_is_done_and_tries_no_further_strength(store, workspace):
    epochs = []

    def report(progress):
        if progress.values.get("epoch") and "accuracy" in progress.values:
            epochs.append(progress.values["epoch"])

    long = SparseTrainingSettings(method="l1", training=FineTuneSettings(epochs=500, shift=0))
    (number,) = do(
        store, workspace, ask(long, strengths=[1e-2, 1e-1], finetune=BRIEF.to_dict()), report,
        lambda: len(epochs) >= 1,
    )  # fmt: skip
    run = Run.from_dict(store.run(workspace, number).record)
    assert run.stopped
    assert [stage.name for stage in run.stages] == ["dense", "pruned"]
    assert run.final.training is not None
    assert run.final.training.best_epoch == 1


def test_a_stop_before_the_first_epoch_leaves_no_run(store, workspace):
    settings = SparseTrainingSettings(method="l0", training=BRIEF)
    heard: list[object] = []
    stop = lambda: bool(heard)  # noqa: E731
    assert do(store, workspace, ask(settings), heard.append, stop) == []
    with pytest.raises(StoppedError):
        do(store, workspace, ask(settings), should_stop=lambda: True)
    assert not store.runs(workspace)


ASKED = ("sparse", "digits-mlp", "--epochs", "1", "--json", "-")


def test_the_verb_tells_stages_plan_and_attempts(capsys):
    assert main([*ASKED, "--method", "l1", "--strength", "0.001,0.1", "--seed", "3"]) == 0
    values = json.loads(capsys.readouterr().out)
    first, second = values["attempts"]
    assert first["strength"] == 0.001
    assert first["sparsity"] < second["sparsity"]
    dense = first["dense_validation"]
    close = [one for one in (first, second) if one["validation_accuracy"] >= dense - 0.01]
    assert values["attempts"][values["best"]] == (
        close[-1] if close else max(first, second, key=lambda one: one["validation_accuracy"])
    )
    assert second["plan"] == values["plan"]
    assert values["plan"]["allocation"] == "by_training"
    assert values["training"]["settings"]["seed"] == 3
    assert values["pruned"]["num_nonzero"] < values["dense"]["num_nonzero"]
    sizes = {"hidden.0": 64 * 128, "hidden.1": 128 * 64}
    gone = values["plan"]["sparsities"]
    zeros = sum(round(gone[name] * size) for name, size in sizes.items() if name in gone)
    assert values["dense"]["num_nonzero"] - values["pruned"]["num_nonzero"] == pytest.approx(
        zeros, abs=3
    )


def test_the_verb_exports_a_thinner_network(capsys, tmp_path):
    out = tmp_path / "out"
    words = ("--method", "group_lasso", "--granularity", "channel", "--target", "0.5")
    assert main([*ASKED, *words, "--out", str(out)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["pruned"]["num_params"] < values["dense"]["num_params"]
    assert (out / "model.onnx").is_file()
    report = (out / "report.html").read_text("utf-8")
    assert "made during training by the method <code>group_lasso</code>" in report
    assert "Fine-tuned with" not in report, "it was not trained after the channels had gone"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "l3"), "There is no method 'l3'."),
        (("--method", "bn_scale", "--granularity", "weight"), "cannot cut at granularity 'weight'"),
        (("--method", "cubic", "--strength", "1"), "--strength means nothing with --method cubic"),
        (("--method", "l1", "--strength", "1,2", "--out", "x"), "only one model can be exported"),
        (("--method", "l1", "--target", "2"), "target is 2.0"),
    ],
)
def test_the_verb_refuses(words, message, capsys):
    assert main([*ASKED, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_strength_that_is_refused_does_not_lose_those_before(capsys, monkeypatch):
    train = sparse_verb.train_sparse_and_measure

    def train_or_refuse(model, data, settings, **more):
        if settings.strength == 1:
            raise SettingsError("It broke off.", "Choose a lower strength.")
        return train(model, data, settings, **more)

    monkeypatch.setattr(sparse_verb, "train_sparse_and_measure", train_or_refuse)
    assert main([*ASKED, "--method", "l1", "--strength", "0.001,1"]) == 2
    said = capsys.readouterr()
    assert [one["strength"] for one in json.loads(said.out)["attempts"]] == [0.001]
    assert "It broke off.\nChoose a lower strength." in said.err


def test_pruning_with_a_plan_that_training_made_says_what_it_is(capsys, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("schema: 1\nallocation: by_training\nsparsities: {hidden.0: 0.5}\n", "utf-8")
    assert main(["prune", "digits-mlp", "--plan", str(plan), "--repair", "none"]) == 0
    assert "need not hit the same weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "target"), [("l1", 0.8), ("l0", 0.8), ("elastic", 0.8), ("group_lasso", 0.5)]
)
def test_the_usual_settings_give_a_sparse_model_that_still_works(method, target, tmp_path):
    path = tmp_path / "sparse.json"
    assert main(["sparse", "digits-mlp", "--method", method, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert target - 0.01 <= found["sparsity"] <= target + 0.15
    assert found["dense"]["accuracy"] > 0.95
    assert found["pruned"]["accuracy"] > 0.85
    assert found["training"]["settings"]["epochs"] == 70
