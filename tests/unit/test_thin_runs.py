"""Runs and uploads of networks that channels were removed from: kept, opened again, carried on."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.cli import main, prune_verb
from workbench.errors import ExportError, PlanError, StorageError
from workbench.experiment import Run
from workbench.export import export_model
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_data, load_model, load_uploaded_model
from workbench.metrics import measure
from workbench.plan import PruningPlan
from workbench.plan_file import write_plan
from workbench.progress import ignore, never
from workbench.prune import prune
from workbench.reopen import reopen_model, reopen_run
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS

MODEL = ModelRef("digits-mlp", sample="digits-mlp")
DATA = DataRef("digits", sample="digits")
PLAN = PruningPlan({"hidden.0": 0.5, "hidden.1": 0.25}, granularity="channel", criterion="l2")
REQUEST: dict[str, Any] = {
    "model": MODEL.to_dict(), "data": DATA.to_dict(), "plan": PLAN.to_dict(), "repair": "none",
    "device": "cpu",
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def workspace(store: Store) -> str:
    return store.create_workspace()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported weights of the plan's model."""
    pruned = prune(load_model("digits-mlp"), PLAN)
    folder = tmp_path_factory.mktemp("export") / "thin"
    export_model(
        pruned.model, load_data("digits"), PLAN, folder, formats=["safetensors"],
        fresh_process=False,
    )  # fmt: skip
    return folder / "weights.safetensors"


def test_a_thin_run_opens_again_trains_further_and_opens_again(
    store: Store, workspace: str
) -> None:
    TASKS["experiment"](store, workspace, REQUEST, ignore, never)
    brief = FineTuneSettings(epochs=1, shift=0).to_dict()
    further = {"run": 1, "finetune": brief, "name": "", "device": "cpu"}
    TASKS["finetune"](store, workspace, further, ignore, never)
    first, second = Store(store.folder).runs(workspace)
    before, after = reopen_run(first, store), reopen_run(second, store)
    dense = load_model("digits-mlp")
    for stored, opened in ((first, before), (second, after)):
        run = Run.from_dict(stored.record)
        assert opened.model.digest == run.final.digest
        assert opened.dense.digest == dense.digest
        assert opened.plan == PLAN
        assert not opened.masks
        again = measure(opened.model, load_data("digits"), latency=False)
        assert again.accuracy == run.final.measurement.accuracy
        assert again.num_params == run.final.measurement.num_params
    assert torch.equal(before.kept["hidden.0"], after.kept["hidden.0"])
    assert len(after.kept["hidden.0"]) == len(after.model.module.hidden[0].weight)
    assert before.model.digest != after.model.digest


def test_a_run_whose_channels_would_be_others_today_is_refused(
    store: Store, workspace: str
) -> None:
    TASKS["experiment"](store, workspace, REQUEST, ignore, never)
    (stored,) = store.runs(workspace)
    record = copy.deepcopy(dict(stored.record))
    record["stages"][1]["digest"] = "0" * 16
    before = reopen_run(replace(stored, record=record), store)  # the run keeps what stayed
    alone = store.save_tensors(before.model.module.state_dict())
    old = replace(stored, record=record, weights={"repaired": alone, "pruned": alone})
    with pytest.raises(PlanError, match="other channels would be removed"):
        reopen_run(old, store)


def test_weights_of_another_network_are_refused(store: Store, workspace: str) -> None:
    TASKS["experiment"](store, workspace, REQUEST, ignore, never)
    (stored,) = store.runs(workspace)
    other = replace(stored, model_ref=ModelRef("fashion-gru", sample="fashion-gru"))
    with pytest.raises(StorageError, match=r"do not fit fashion-gru: .* (missing|not part)"):
        reopen_run(other, store)


def test_a_thin_run_is_exported_beside_its_dense_model(store: Store, workspace: str) -> None:
    TASKS["experiment"](store, workspace, REQUEST, ignore, never)
    request = {"model": MODEL.to_dict(), "data": DATA.to_dict(), "run": 1}
    exported = TASKS["export"](store, workspace, request, ignore, never)["exported"]
    (stored,) = store.runs(workspace)
    run = Run.from_dict(stored.record)
    assert exported["accuracy"] == run.final.measurement.accuracy
    report = json.loads((Path(exported["folder"]) / "report.json").read_bytes())
    dense = load_model("digits-mlp").module
    assert report["size"]["dense_num_params"] == sum(p.numel() for p in dense.parameters())
    content = (Path(exported["folder"]) / "weights.safetensors").read_bytes()
    assert load_uploaded_model("w.safetensors", content).digest == run.final.digest


def test_a_thin_upload_is_the_same_model_after_a_restart(
    store: Store, workspace: str, weights: Path
) -> None:
    model = load_uploaded_model(weights.name, weights.read_bytes())
    ref = ModelRef(
        model.name, architecture=model.architecture, arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )  # fmt: skip
    saved = store.save_model_ref(workspace, ref, model.module.state_dict())
    again = reopen_model(ModelRef.from_dict(saved.to_dict()), Store(store.folder))
    pruned = prune(load_model("digits-mlp"), PLAN)
    assert again.digest == model.digest == pruned.model.digest
    request = {"model": saved.to_dict(), "data": DATA.to_dict(), "key": "k"}
    found = TASKS["evaluate"](store, workspace, request, ignore, never)
    expected = measure(pruned.model, load_data("digits"), latency=False)
    assert found["accuracy"] == expected.accuracy
    request = REQUEST | {"model": saved.to_dict()}
    assert TASKS["experiment"](store, workspace, request, ignore, never) == {"run": 1}
    (stored,) = store.runs(workspace)
    run = Run.from_dict(stored.record)
    assert run.final.measurement.num_params < expected.num_params
    assert reopen_run(stored, store).model.digest == run.final.digest


def test_a_damaged_reference_is_refused(store: Store, workspace: str, weights: Path) -> None:
    model = load_uploaded_model(weights.name, weights.read_bytes())
    arguments = dict(model.arguments) | {"hidden": [3, 2]}
    ref = ModelRef(model.name, architecture="mlp", arguments=arguments)
    saved = store.save_model_ref(workspace, ref, model.module.state_dict())
    with pytest.raises(StorageError, match=r"do not fit .*hidden\.0\.weight"):
        reopen_model(saved, store)


def test_the_command_line_opens_exported_weights(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pruned = prune(load_model("digits-mlp"), PLAN)
    expected = measure(pruned.model, load_data("digits"), latency=False)
    for words in (["inspect"], ["evaluate", "--data", "digits"]):
        assert main([words[0], str(weights), *words[1:], "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["num_params"] == expected.num_params
        assert found["macs"] == expected.macs
    assert found["accuracy"] == expected.accuracy


@pytest.mark.parametrize("to_file", [True, False])
def test_a_failing_export_does_not_take_the_measurements_away(
    to_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise ExportError("The ONNX file cannot be written.", "Leave it out.")

    monkeypatch.setattr(prune_verb, "export_model", refuse)
    write_plan(PLAN, tmp_path / "plan.yaml")
    target = str(tmp_path / "found.json") if to_file else "-"
    words = ["prune", "digits-mlp", "--plan", str(tmp_path / "plan.yaml"), "--out",
             str(tmp_path / "out"), "--json", target]  # fmt: skip
    assert main(words) == 2
    output = capsys.readouterr()
    assert "The ONNX file cannot be written." in output.err
    found = json.loads(Path(target).read_text() if to_file else output.out)
    assert found["pruned"]["num_params"] < found["dense"]["num_params"]
    assert found["files"] == []
    assert to_file == ("accuracy" in output.out.splitlines()[0])
