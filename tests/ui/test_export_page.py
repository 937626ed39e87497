"""The export page: what to export, how it went, and the files."""

from dataclasses import replace

import pytest

from tests.ui import digits
from tests.ui.digits import add_run, button, captions, uniform
from workbench.errors import StorageError
from workbench.experiment import Run
from workbench.loading.samples import sample_weights
from workbench.plan import PruningPlan
from workbench.progress import StoppedError
from workbench.run_export import delete_export, export_folder, load_export
from workbench.tasks import TASKS
from workbench.ui import bench
from workbench.ui.theme import in_bytes


@pytest.fixture
def registry(monkeypatch):
    made = digits.Desk()
    monkeypatch.setattr(bench, "jobs", lambda: made)
    return made


@pytest.fixture(scope="module")
def exported():
    """A workspace with two runs, the first of them exported."""
    ws = digits.workspace(uniform(0.8))
    add_run(ws, uniform(0.8))
    add_run(ws, uniform(0.5))
    digits.do("export", ws, digits.arguments(run=1))
    return ws


def accuracy(ws: str, number: int) -> str:
    record = bench.store().run(ws, number).record
    return f"{100 * Run.from_dict(record).final.measurement.accuracy:.2f} %"


def downloads(app) -> list[str]:
    return [one.proto.label for one in app.get("download_button")]


def test_without_a_run_the_dense_model_can_be_exported(open_app, registry):
    ws = digits.workspace()
    app = open_app(ws=ws, page="export")
    assert app.selectbox[0].options == ["digits-mlp, dense"]
    assert "Every file is run and compared" in app.info[0].value
    button(app, "Export and verify").click().run()
    ((owner, kind, request),) = registry.requests
    assert (owner, kind, request["run"]) == (ws, "export", None)
    assert button(app, "Export and verify").disabled
    assert len(app.get("progress")) == 1
    assert not downloads(app)


def test_runs_are_offered_newest_first_with_their_accuracy(open_app, registry, exported):
    app = open_app(ws=exported, page="export")
    assert app.selectbox[0].options == [
        f"Run 2: pruned, {accuracy(exported, 2)}",
        f"Run 1: pruned, {accuracy(exported, 1)}",
        "digits-mlp, dense",
    ]
    assert not downloads(app), "the second run was not exported"
    app.selectbox[0].set_value(1)
    button(app, "Export and verify").click().run()
    assert registry.requests[0][2]["run"] == 1, "what the list says at the click"


def test_an_export_shows_its_checks_and_files(open_app, registry, exported):
    app = open_app(ws=exported, page="export")
    app.selectbox[0].set_value(1).run()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Accuracy in ONNX Runtime"] == accuracy(exported, 1)
    folder = export_folder(bench.store(), exported, digits.MODEL_REF, 1)
    files = app.dataframe[0].value
    assert set(files["file"]) == {path.name for path in folder.iterdir()}
    checked = files.set_index("file")
    assert checked.loc["model.onnx", "samples"] == "360"
    assert checked.loc["model.onnx", "agreement"] == "100.00 %"
    assert downloads(app) == ["Download model.onnx", "Download everything"]
    assert "zeros" in captions(app)
    assert not app.error


def test_the_end_of_an_export_is_told_beside_its_run_only(open_app, registry, exported):
    failed = {"state": "failed", "error": "The disk is full.", "hint": "Make room."}
    registry.submit(exported, "export", "Exporting Run 1", digits.arguments(run=1))
    registry.job = replace(registry.job, **failed)
    app = open_app(ws=exported, page="export")
    assert not app.error
    app.selectbox[0].set_value(1).run()
    assert "The disk is full." in app.error[0].value
    assert "Download model.onnx" in downloads(app), "the former export is still there"


def test_a_folder_that_cannot_be_written_is_named(exported):
    ws = digits.workspace()
    blocked = bench.store().folder / "exports" / ws
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match=r"dense-[0-9a-f]+ cannot be written"):
        digits.do("export", ws, digits.arguments(run=None))


def test_a_run_that_is_gone_is_told():
    ws = digits.workspace()
    with pytest.raises(StorageError, match=r"This workspace has no run 7\."):
        digits.do("export", ws, digits.arguments(run=7))


def test_a_stopped_export_leaves_nothing():
    ws, arguments = digits.workspace(), digits.arguments(run=None)
    with pytest.raises(StoppedError):  # a worker ends without a result
        TASKS["export"](bench.store(), ws, arguments, lambda progress: None, lambda: True)
    assert load_export(bench.store(), ws, digits.MODEL_REF, None) is None


def test_an_export_is_found_where_the_store_is_and_can_be_deleted(tmp_path):
    store, ws = bench.store(), digits.workspace()
    folder = export_folder(store, ws, digits.MODEL_REF, 3)
    folder.mkdir(parents=True)
    values = '{"folder": "/elsewhere", "files": [], "checks": [], "notes": [], "seconds": 1}'
    folder.with_suffix(".json").write_text(values)
    assert load_export(store, ws, digits.MODEL_REF, 3).folder == folder
    delete_export(store, ws, 3)
    assert not folder.exists()
    assert load_export(store, ws, digits.MODEL_REF, 3) is None
    delete_export(store, ws, 3)


CHANNELS = PruningPlan({"hidden.0": 0.5, "hidden.1": 0.25}, granularity="channel")


def delta(app, label: str) -> str:
    return next(one.proto.delta_description for one in app.metric if one.label == label)


def test_a_thin_model_is_a_smaller_file_and_says_nothing_of_zeros(open_app, registry):
    ws = digits.workspace(CHANNELS)
    add_run(ws, CHANNELS)
    digits.do("export", ws, digits.arguments(run=1))
    app = open_app(ws=ws, page="export")
    folder = export_folder(bench.store(), ws, digits.MODEL_REF, 1)
    small = (folder / "weights.safetensors").stat().st_size
    dense = sample_weights("digits-mlp").stat().st_size
    assert small < 0.5 * dense
    assert delta(app, "Weights file") == f"really {dense / small:.2f}× smaller"
    shown = {metric.label: metric for metric in app.metric}
    assert shown["Accuracy in ONNX Runtime"].value == accuracy(ws, 1)
    assert "really smaller" in shown["ONNX file"].help
    assert f"weights take {in_bytes(dense)}." in shown["ONNX file"].help
    assert "Zeros" not in captions(app)
    assert not app.error


def test_zeroed_weights_take_room_and_the_page_says_so(open_app, registry, exported):
    app = open_app(ws=exported, page="export")
    app.selectbox[0].set_value(1).run()
    assert delta(app, "Weights file") == "zeros take room"
    assert "Zeros are stored" in next(m for m in app.metric if m.label == "ONNX file").help
