"""Exported files give the scores of the model in memory, hold its zeros, and appear whole."""

import errno
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

import workbench
from workbench.architectures import ARCHITECTURES
from workbench.data import Data
from workbench.errors import DataError, ExportError, StorageError
from workbench.export import (
    FORMATS,
    Exported,
    check_folder,
    check_target,
    export_file,
    export_model,
    model_source,
    verify_export,
    zip_export,
)
from workbench.export.folder import write_whole
from workbench.export.formats import count_zeros
from workbench.export.page import report_page
from workbench.layers import inspect
from workbench.loading import load_data, load_model, load_uploaded_model
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan
from workbench.progress import Progress
from workbench.prune import prune

FAMILIES = {
    "mlp": ({"input_shape": [1, 8, 8], "hidden": [9, 7], "num_classes": 3}, (1, 8, 8)),
    "lenet5": (
        {"in_channels": 1, "image_size": 16, "widths": [2, 3, 4], "num_classes": 3},
        (1, 16, 16),
    ),
    "resnet": (
        {"in_channels": 3, "widths": [4, 8], "blocks": [1, 1], "num_classes": 3},
        (3, 8, 8),
    ),
    "mobilenet": (
        {"in_channels": 1, "stem": 4, "widths": [4, 6], "blocks": [2, 1], "expansion": 2,
         "head": 8, "num_classes": 3},
        (1, 8, 8),
    ),
    "vit": (
        {"in_channels": 1, "image_size": 8, "patch": 4, "width": 16, "depth": 1, "heads": 2,
         "mlp": 12, "num_classes": 3},
        (1, 8, 8),
    ),
    "recursive": (
        {"in_channels": 1, "width": 4, "wide": 6, "passes": 2, "num_classes": 3}, (1, 8, 8)
    ),
    "gru": ({"row": 8, "hidden": 5, "layers": 2, "num_classes": 3}, (1, 8, 8)),
}  # fmt: skip
NUM_TEST = 20


def make_data(shape):
    """Images of 0..255 with a normalisation, so that a file that forgets it is found out."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, *shape), dtype=np.uint8)
    labels = np.arange(60) % 3
    return Data(
        "noise", images[NUM_TEST:], labels[NUM_TEST:], images[:NUM_TEST], labels[:NUM_TEST],
        mean=(0.3,), std=(0.4,), class_names=("ant", 'b"ee', "cat"),
    )  # fmt: skip


def make_pruned(family="mlp"):
    """A pruned model of one family with BatchNorm statistics that are not the defaults."""
    arguments, shape = FAMILIES[family]
    torch.manual_seed(1)
    module = ARCHITECTURES[family].build(**arguments).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight)
    model = Model(f"tiny-{family}", module, shape, 3, family, arguments)
    layers = inspect(model).prunable
    return prune(model, PruningPlan({layer.layer_name: 0.5 for layer in layers}, seed=3))


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    """(pruned model, data, export) of each family in turn."""
    pruned = make_pruned(request.param)
    data = make_data(pruned.model.input_shape)
    folder = tmp_path_factory.mktemp("exports") / request.param
    exported = export_model(
        pruned.model, data, pruned.plan, folder, accuracy=True, fresh_process=False
    )
    return pruned, data, exported


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An export of the perceptron without the slow formats."""
    pruned = make_pruned()
    folder = tmp_path_factory.mktemp("small") / "export"
    data = make_data((1, 8, 8))
    exported = export_model(
        pruned.model, data, pruned.plan, folder, formats=["safetensors"], fresh_process=False
    )
    return pruned, data, exported


def scores_in_memory(pruned, images):
    with torch.no_grad():
        return pruned.model.module(images)


# --- every family, every format ---


def test_onnx_gives_the_scores_of_the_model_for_any_number_of_images(made):
    pruned, data, exported = made
    path = exported.folder / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = data.split("test").images
    for count in (1, 2, 7):
        (scores,) = session.run(["scores"], {"images": images[:count].numpy()})
        expected = scores_in_memory(pruned, images[:count]).numpy()
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert session.get_inputs()[0].shape == ["batch", *pruned.model.input_shape]


def test_pruned_zeros_survive_in_onnx(made):
    pruned, _, exported = made
    num_pruned = sum(int((~mask).sum()) for mask in pruned.masks.values())
    assert num_pruned > 0
    assert count_zeros((exported.folder / "model.onnx").read_bytes()) >= num_pruned


def test_onnx_tells_how_to_prepare_images(made):
    pruned, _, exported = made
    proto = onnx.load(exported.folder / "model.onnx")
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(facts["mean"]) == [0.3]
    assert json.loads(facts["class_names"]) == ["ant", 'b"ee', "cat"]
    assert facts["digest"] == pruned.model.digest


def test_pt2_gives_the_scores_of_the_model_for_any_number_of_images(made):
    pruned, data, exported = made
    network = torch.export.load(exported.folder / "model.pt2").module()
    for count in (1, 5):
        images = data.split("test", count).images
        torch.testing.assert_close(
            network(images), scores_in_memory(pruned, images), atol=1e-6, rtol=0
        )


def test_weights_are_those_of_the_model_and_open_in_the_workbench_again(made):
    pruned, _, exported = made
    content = (exported.folder / "weights.safetensors").read_bytes()
    again = load_uploaded_model("weights.safetensors", content)
    assert again.architecture == pruned.model.architecture
    assert dict(again.arguments) == dict(pruned.model.arguments)
    for name, tensor in pruned.model.module.state_dict().items():
        assert torch.equal(again.module.state_dict()[name], tensor), name


def test_the_difference_reported_is_the_largest_and_small(made):
    _, _, exported = made
    assert [check.file for check in exported.checks] == ["model.onnx", "model.pt2", "model.py"]
    assert exported.max_abs_diff == max(check.max_abs_diff for check in exported.checks) < 1e-5
    assert exported.agreement == 1
    assert all(check.samples == NUM_TEST for check in exported.checks)


def test_accuracy_of_the_onnx_file_is_that_of_the_model(made):
    pruned, data, exported = made
    split = data.split("test")
    correct = scores_in_memory(pruned, split.images).argmax(1) == split.labels
    assert exported.accuracy == int(correct.sum()) / NUM_TEST


def test_files_say_nothing_about_this_machine(made):
    _, _, exported = made
    here = str(Path(workbench.__file__).resolve().parents[1]).encode()
    site = str(Path(torch.__file__).resolve().parents[1]).encode()
    for path in exported.folder.iterdir():
        parts = [path.read_bytes()]
        if path.suffix == ".pt2":
            with zipfile.ZipFile(path) as archive:
                parts = [archive.read(name) for name in archive.namelist()]
        assert not any(place in part for part in parts for place in (here, site)), path.name


ALONE = """
import importlib.util, json, sys
from pathlib import Path
import torch

results = {}
for folder in map(Path, sys.argv[1:]):
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = module.read_safetensors(folder / "check.safetensors")
    with torch.no_grad():
        scores = module.load()(known["images"])
    results[folder.name] = {
        "diff": float((scores - known["scores"]).abs().max()),
        "about": module.describe(module.load()),
        "mean": module.MEAN,
    }
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"workbench", "safetensors", "onnx", "onnxruntime"}, loaded
print(json.dumps(results))
"""


def test_model_py_rebuilds_every_family_with_torch_alone(tmp_path):
    folders = []
    for family in FAMILIES:
        pruned = make_pruned(family)
        data = make_data(pruned.model.input_shape)
        exported = export_model(
            pruned.model, data, None, tmp_path / family, formats=["safetensors"],
            fresh_process=False,
        )  # fmt: skip
        folders.append(str(exported.folder))
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", ALONE, *folders],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert set(results) == set(FAMILIES)
    for family, result in results.items():
        assert result["diff"] <= 1e-6, family
        assert result["mean"] == [0.3]
        assert "% zero" in result["about"]


# --- model.py ---


def test_model_py_says_what_it_is(small):
    _, _, exported = small
    done = subprocess.run(
        [sys.executable, "-I", "-B", exported.folder / "model.py"],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second, third, *layers = done.stdout.splitlines()
    assert first == "tiny-mlp (MLP)"
    assert second == "images 1 x 8 x 8, 3 classes"
    assert third.startswith("679 parameters, 348 of them not zero")
    assert "50.0% zero" in layers[0]


def test_model_py_is_tidy(tmp_path):
    for family in FAMILIES:
        model = make_pruned(family).model
        text = model_source(model, make_data(model.input_shape))
        assert "infer_arguments" not in text
        (tmp_path / f"{family}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length=100",
         "--select=E,F,I,W,ANN", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def imported(source, folder):
    """The text as a module."""
    path = folder / "generated.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("generated", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_model_py_survives_any_name(tmp_path):
    name = 'a\n"""; raise SystemExit(1) #\\'
    model = replace(make_pruned().model, name=name)
    assert name == imported(model_source(model), tmp_path).NAME


def test_model_py_refuses_a_damaged_weights_file(small, tmp_path):
    pruned, _, exported = small
    module = imported(model_source(pruned.model), tmp_path)
    content = (exported.folder / "weights.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    for damaged in (b"", content[:5], content[:20], content[: 8 + length + 3]):
        path = tmp_path / "weights.safetensors"
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"weights\.safetensors"):
            module.load(path)


def test_normalise_does_what_the_data_do(small, tmp_path):
    pruned, data, _ = small
    module = imported(model_source(pruned.model, data), tmp_path)
    prepared = module.normalise(torch.from_numpy(data.x_test))
    assert torch.equal(prepared, data.split("test").images)


def test_numbers_that_are_taken_as_they_are_get_no_normalisation(tmp_path):
    pruned, data = make_pruned(), make_data((1, 8, 8))
    data = replace(
        data, x_train=data.x_train.astype(np.float32), x_test=data.x_test.astype(np.float32),
        mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    exported = export_model(
        pruned.model, data, None, tmp_path / "e", formats=["safetensors"], fresh_process=False
    )
    assert not hasattr(imported(model_source(pruned.model, data), tmp_path), "normalise")
    assert "scaled to 0..1" not in (exported.folder / "report.html").read_text("utf-8")


def test_a_network_without_known_architecture_gets_no_source(tmp_path):
    model = replace(make_pruned().model, architecture="")
    exported = export_model(
        model, None, None, tmp_path / "e", formats=["safetensors", "pt2"], fresh_process=False
    )
    assert not (exported.folder / "model.py").exists()
    assert any("no model.py" in note for note in exported.notes)
    assert any("random images" in note for note in exported.notes)
    assert [check.file for check in exported.checks] == ["model.pt2"]


# --- the report ---


def test_the_report_holds_what_is_true(small):
    pruned, data, exported = small
    report = json.loads((exported.folder / "report.json").read_bytes())
    zeros = {name: int((~mask).sum()) for name, mask in pruned.masks.items()}
    listed = {row["parameter_name"]: row["num_zeros"] for row in report["layers"]}
    assert zeros.items() <= listed.items()
    assert report["plan"] == pruned.plan.to_dict()
    assert report["model"]["digest"] == pruned.model.digest
    assert report["data"]["digest"] == data.digest
    assert report["size"]["num_nonzero"] == 679 - sum(zeros.values())
    assert report["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert any("latency" in note for note in report["notes"])
    for file in report["files"]:
        content = (exported.folder / file["name"]).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_plan_comes_back(small):
    pruned, _, exported = small
    assert read_plan(exported.folder / "plan.yaml") == pruned.plan


def test_the_page_needs_no_network_and_escapes_names(small):
    _, _, exported = small
    report = json.loads((exported.folder / "report.json").read_bytes())
    report["model"]["name"] = "<script>alert(1)</script>"
    page = report_page(report)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert not any(word in page for word in ("http://", "https://", "url(", "src=", "@import"))
    assert (exported.folder / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_exported_survives_json(small):
    _, _, exported = small
    assert Exported.from_dict(json.loads(json.dumps(exported.to_dict()))) == exported


# --- checking ---


def test_a_fresh_process_finds_what_this_one_found(small):
    _, _, exported = small
    assert verify_export(exported.folder) == check_folder(exported.folder)


def test_a_changed_weight_is_found(small, tmp_path):
    _, _, exported = small
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in exported.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    weights["classifier.bias"][0] += 0.25
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    (check,) = check_folder(folder)
    assert check.max_abs_diff == pytest.approx(0.25, abs=1e-6)


def test_a_file_that_cannot_be_run_is_named(tmp_path, small):
    _, _, exported = small
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    reference = exported.folder / "check.safetensors"
    with pytest.raises(ExportError, match=r"^model\.onnx cannot be run"):
        verify_export(tmp_path, reference)


def test_a_folder_without_reference_is_refused(tmp_path):
    with pytest.raises(ExportError, match="holds no check"):
        check_folder(tmp_path)


class Restless(nn.Module):
    """Gives other scores on every call, so that no file can agree with it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x):
        return self.layer(F.dropout(x.flatten(1), 0.5, training=True))


def test_scores_that_differ_are_refused_and_nothing_is_left(tmp_path):
    model = Model("restless", Restless().eval(), (1, 8, 8), 3)
    with pytest.raises(ExportError, match=r"The scores of model\.pt2 differ"):
        export_model(
            model, make_data((1, 8, 8)), None, tmp_path / "e", formats=["pt2"],
            fresh_process=False,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_nan_scores_are_refused(tmp_path):
    pruned = make_pruned()
    module = pruned.model.copy_module()
    nn.init.constant_(module.classifier.bias, float("nan"))
    with pytest.raises(ExportError, match="NaN or infinite"):
        export_model(
            pruned.model.with_module(module), None, None, tmp_path / "e",
            formats=["safetensors"], fresh_process=False,
        )  # fmt: skip


class Branching(nn.Module):
    """Decides by its values, which no recording can hold."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x):
        return self.layer(x.flatten(1)) * (2 if x.sum() > 0 else 1)


def test_a_network_that_cannot_be_recorded_says_so_in_one_line(tmp_path):
    model = Model("branching", Branching().eval(), (1, 8, 8), 3)
    with pytest.raises(ExportError, match="What Branching computes cannot be recorded") as refusal:
        export_model(model, None, None, tmp_path / "e", formats=["onnx"], fresh_process=False)
    assert "\n" not in refusal.value.message
    assert not list(tmp_path.iterdir())


# --- folders ---


def quick(folder, **more):
    pruned = make_pruned()
    return export_model(
        pruned.model, make_data((1, 8, 8)), pruned.plan, folder, formats=["safetensors"],
        fresh_process=False, **more,
    )  # fmt: skip


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "e"
    quick(folder)
    (folder / "model.onnx").write_bytes(b"old")
    (folder / "__pycache__").mkdir()
    quick(folder)
    assert not (folder / "model.onnx").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_an_empty_folder_is_filled_where_it_is(tmp_path):
    folder = tmp_path / "e"
    folder.mkdir()
    before = folder.stat().st_ino
    quick(folder)
    assert folder.stat().st_ino == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_folder_with_other_things_is_refused_and_stays(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="is not empty"):
        quick(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_export_beside_other_things_is_not_replaced(tmp_path):
    folder = tmp_path / "e"
    quick(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="more than an earlier export"):
        check_target(folder)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "e").write_text("a file")
    with pytest.raises(ExportError, match="is a file"):
        quick(tmp_path / "e")
    with pytest.raises(StorageError, match="cannot be written"):
        check_target(tmp_path / "e" / "inside")


def test_a_full_disk_is_told_and_leaves_the_earlier_export(tmp_path, monkeypatch):
    folder = tmp_path / "e"
    quick(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_bytes = Path.write_bytes

    def write_until_full(path, content):
        if path.name == "report.html":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(StorageError, match="The disk is full"):
        quick(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_stopping_leaves_nothing(tmp_path):
    steps: list[Progress] = []
    with pytest.raises(ExportError, match="stopped"):
        quick(tmp_path / "e", report=steps.append, should_stop=lambda: len(steps) == 2)
    assert not list(tmp_path.iterdir())


def test_steps_are_counted_to_the_end(tmp_path):
    steps: list[Progress] = []
    quick(tmp_path / "e", report=steps.append)
    assert [step.done for step in steps] == list(range(len(steps)))
    assert steps[-1].done + 1 == steps[-1].total


def test_the_model_stays_as_it_is(tmp_path):
    pruned = make_pruned("resnet")
    module = pruned.model.module.to(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    export_model(
        pruned.model, None, None, tmp_path / "e", formats=["safetensors"], fresh_process=False
    )
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert module.stem.weight.is_contiguous(memory_format=torch.channels_last)


def test_data_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match="takes images of shape 1 x 8 x 8"):
        export_model(make_pruned().model, make_data((3, 8, 8)), None, tmp_path / "e")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["onx"], "There is no export format 'onx'. Did you mean 'onnx'?"),
        ([], "No export format is chosen."),
    ],
)
def test_formats_are_checked(names, message, tmp_path):
    with pytest.raises(ExportError) as refusal:
        export_model(make_pruned().model, None, None, tmp_path / "e", formats=names)
    assert str(refusal.value).startswith(message)


# --- single files and archives ---


def test_one_file_holds_what_the_folder_holds(tmp_path):
    pruned = make_pruned()
    target = tmp_path / "sub" / "tiny.onnx"
    exported = export_file(pruned.model, make_data((1, 8, 8)), target, "onnx", fresh_process=False)
    assert [path.name for path in target.parent.iterdir()] == ["tiny.onnx"]
    assert exported.files[0].bytes == target.stat().st_size
    assert exported.max_abs_diff < 1e-5
    session = onnxruntime.InferenceSession(target)
    assert session.get_outputs()[0].shape == ["batch", 3]


def test_a_file_on_a_read_only_disk_is_refused(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match=r"a\.onnx cannot be written: Read-only file system"):
        write_whole(tmp_path / "a.onnx", b"1")


def test_the_archive_holds_the_folder(small):
    _, _, exported = small
    content = zip_export(exported.folder)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        inside = {Path(name).name: archive.read(name) for name in archive.namelist()}
    assert inside == {path.name: path.read_bytes() for path in exported.folder.iterdir()}
    assert zip_export(exported.folder) == content
    with pytest.raises(ExportError, match="is not an exported folder"):
        zip_export(exported.folder.parent)


def test_every_format_has_its_file():
    assert {entry.file for entry in FORMATS.values()} == {
        "model.onnx", "model.pt2", "weights.safetensors",
    }  # fmt: skip


# --- shared weights ---


def test_every_format_keeps_a_shared_weight_as_one(tmp_path):
    model = load_model("digits-shared")
    pruned = prune(model, PruningPlan({"near": 0.5, "block.first": 0.5}))
    exported = export_model(
        pruned.model, load_data("digits"), pruned.plan, tmp_path / "out", fresh_process=False
    )
    stored = safetensors.torch.load_file(exported.folder / "weights.safetensors")
    assert "near.weight" in stored
    assert "far.weight" not in stored
    held = onnx.load(exported.folder / "model.onnx").graph.initializer
    large = [tuple(one.dims) for one in held if len(one.dims) == 4]
    assert sorted(large) == sorted([(24, 1, 3, 3), (24, 24, 3, 3), (24, 24, 3, 3), (32, 24, 3, 3)])
    again = load_model(exported.folder / "weights.safetensors")
    assert again.module.far.weight is again.module.near.weight
    assert again.digest == pruned.model.digest
    source = (exported.folder / "model.py").read_text("utf-8")
    assert 'SHARED = {"far.weight": "near.weight"}' in source
