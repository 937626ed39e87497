"""Exports of networks that channels were removed from: thin files that say what they were."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.whole.test_export import ALONE, FAMILIES, make_data
from workbench.architectures import ARCHITECTURES
from workbench.export import export_model, model_source
from workbench.export.page import report_page
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.loading import load_uploaded_model
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan
from workbench.prune import prune

HALVES = {"vit": {"width": 32, "heads": 2}}


def make_thin(family, granularity="channel"):
    """A model of one family, half of every group pruned."""
    arguments, shape = FAMILIES[family]
    arguments = arguments | HALVES.get(family, {})
    torch.manual_seed(1)
    module = ARCHITECTURES[family].build(**arguments).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    model = Model(f"tiny-{family}", module, shape, 3, family, arguments)
    groups = find_groups(model, granularity)
    cut = {group.name: 0.5 for group in groups.prunable if not group.protected}
    assert cut
    return prune(model, PruningPlan(cut, granularity=granularity, seed=3), groups)


def exported_thin(pruned, folder, formats=("safetensors",), **more):
    data = make_data(pruned.model.input_shape)
    return export_model(
        pruned.model, data, pruned.plan, folder, formats=formats, fresh_process=False, **more
    )


def num_params(model):
    return sum(p.numel() for p in model.module.parameters())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Family to its pruned model and its exported folder."""
    made = {}
    for family in FAMILIES:
        pruned = make_thin(family)
        folder = tmp_path_factory.mktemp("thin") / family
        exported_thin(pruned, folder)
        made[family] = (pruned, folder)
    return made


def test_model_py_rebuilds_every_thin_family_with_torch_alone(folders, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", ALONE, *(str(folder) for _, folder in folders.values())],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for family, (pruned, _) in folders.items():
        left, dense = num_params(pruned.model), num_params(pruned.dense)
        assert left < dense
        about = results[family]["about"]
        assert results[family]["diff"] == 0, family
        assert f"{left:,} parameters, " in about
        removed = f"channels were removed: {left / dense:.1%} of {dense:,} parameters are left"
        assert removed in about.splitlines()
    (line,) = [line for line in results["lenet5"]["about"].splitlines() if "conv2.weight" in line]
    assert " ".join(line.split()).endswith("1 x 1 x 5 x 5 0.0% zero was 3 x 2 x 5 x 5")


def test_model_py_holds_the_thinning_only_where_it_is_needed(tmp_path):
    pruned = make_thin("resnet")
    data = make_data(pruned.model.input_shape)
    assert "def thin_(" in model_source(pruned.model, data)
    assert "thin_" not in model_source(pruned.dense, data)
    for family in FAMILIES:
        model = make_thin(family).model
        (tmp_path / f"{family}.py").write_text(model_source(model, data), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length=100",
         "--select=E,F,I,W,ANN", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_exported_weights_are_the_same_model_in_the_workbench_again(folders):
    for pruned, folder in folders.values():
        content = (folder / "weights.safetensors").read_bytes()
        again = load_uploaded_model("weights.safetensors", content)
        assert again.digest == pruned.model.digest
        images = make_data(pruned.model.input_shape).split("test").images
        assert torch.equal(again.module(images), pruned.model.module(images))


def test_the_report_counts_what_is_really_there(folders):
    for pruned, folder in folders.values():
        report = json.loads((folder / "report.json").read_bytes())
        size, dense, now = report["size"], inspect(pruned.dense), inspect(pruned.model)
        assert (size["num_params"], size["macs"]) == (now.num_params, now.macs)
        assert (size["dense_num_params"], size["dense_macs"]) == (dense.num_params, dense.macs)
        assert size["compression_ratio"] == pytest.approx(dense.num_params / now.num_params)
        assert size["theoretical_speedup"] == pytest.approx(dense.macs / now.macs)
        shapes = {row["layer_name"]: (row["dense_shape"], row["shape"]) for row in report["layers"]}
        for row in dense.layers:
            name = row.parameter_name
            if name:
                thin = list(pruned.model.module.get_parameter(name).shape)
                assert shapes[row.layer_name] == (list(row.shape), thin)
        assert any("Whole channels" in note for note in report["notes"])
        assert not any("zeros inside tensors" in note for note in report["notes"])


def test_the_page_shows_widths_before_and_now(folders):
    _, folder = folders["lenet5"]
    page = (folder / "report.html").read_text("utf-8")
    assert "<td>3 x 2 x 5 x 5</td><td>1 x 1 x 5 x 5</td>" in page
    assert "Shape before" in page
    assert "theoretical MACs" not in page
    assert "channel pruning ratios" in page


def test_the_plan_comes_back(folders):
    for pruned, folder in folders.values():
        assert read_plan(folder / "plan.yaml") == pruned.plan


def test_the_report_compares_with_the_model_that_was_pruned(tmp_path):
    first = make_thin("mlp")
    groups = find_groups(first.model, "channel")
    plan = PruningPlan({groups.prunable[0].name: 0.5}, granularity="channel")
    second = prune(first.model, plan, groups)
    exported = exported_thin(second, tmp_path / "e", dense=second.dense)
    report = json.loads((exported.folder / "report.json").read_bytes())
    assert report["size"]["dense_num_params"] == num_params(first.model)
    again = load_uploaded_model("w", (exported.folder / "weights.safetensors").read_bytes())
    assert again.digest == second.model.digest


def test_onnx_and_pt2_of_thin_networks(tmp_path):
    pruned = make_thin("vit")
    exported = exported_thin(pruned, tmp_path / "e", formats=["onnx", "pt2"])
    assert exported.max_abs_diff < 1e-5
    images = make_data(pruned.model.input_shape).split("test", 3).images
    session = onnxruntime.InferenceSession(tmp_path / "e" / "model.onnx")
    (scores,) = session.run(["scores"], {"images": images.numpy()})
    with torch.no_grad():
        expected = pruned.model.module(images).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    proto = onnx.load(tmp_path / "e" / "model.onnx")
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    assert facts["granularity"] == "channel"
    assert int(facts["num_params"]) == num_params(pruned.model)
    assert int(facts["dense_num_params"]) == num_params(pruned.dense)
    held = sum(np.prod(tensor.dims) for tensor in proto.graph.initializer)
    assert held < num_params(pruned.dense)


@pytest.mark.parametrize(
    ("granularity", "formats"),
    [
        ("nm:1:2", ["onnx", "safetensors"]),
        ("block:2x2", ["safetensors"]),
        ("kernel", ["safetensors"]),
    ],
)
def test_patterns_of_zeros_are_kept(granularity, formats, tmp_path):
    pruned = make_thin("resnet", granularity)
    exported = exported_thin(pruned, tmp_path / "e", formats=formats)
    content = (exported.folder / "weights.safetensors").read_bytes()
    tensors = load_uploaded_model("weights.safetensors", content).module.state_dict()
    gone = 0
    for name, mask in pruned.masks.items():
        assert not tensors[name][~mask].any()
        gone += int((~mask).sum())
    assert gone > 0
    if "onnx" in formats:
        proto = onnx.load(exported.folder / "model.onnx")
        arrays = [onnx.numpy_helper.to_array(t) for t in proto.graph.initializer if len(t.dims) > 1]
        assert sum(int((array == 0).sum()) for array in arrays) >= gone
    page = (exported.folder / "report.html").read_text("utf-8")
    assert "Shape before" not in page
    assert "theoretical MACs" in page


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "solved for what the dense model gives"),
        ({"chosen": "bn"}, "measuring the BatchNorm statistics again"),
    ],
)
def test_the_page_tells_the_repair_that_was_taken(record, words, folders):
    _, folder = folders["mlp"]
    report = json.loads((folder / "report.json").read_bytes())
    stage = {"name": "repaired", "training": None, "repair": record}
    page = report_page(report | {"run": {"stages": [stage], "repair": "full"}})
    assert words in page
