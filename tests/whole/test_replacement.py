"""Whole replacements of real models, measured against ONNX Runtime and loops of our own."""

import json
import logging
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from workbench.allocation import allocate
from workbench.cli import main
from workbench.compression import load_compressed
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import Model
from workbench.prune import prune
from workbench.replacement import ReplacementSettings, parse_replacement
from workbench.replacing import Replaced, replace_weights


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def pruned() -> Model:
    dense = load_model("digits-mlp")
    return prune(dense, allocate(dense, "global", sparsity=0.7)).model


@pytest.fixture(scope="module")
def thin() -> Model:
    dense = load_model("digits-mlp")
    plan = allocate(dense, "uniform", sparsity=0.3, granularity="channel")
    return prune(dense, plan).model


def zeros(model: Model) -> int:
    return sum(int((w == 0).sum()) for w in model.module.parameters() if w.ndim >= 2)


@pytest.mark.parametrize("method", ["int8_static", "int8_dynamic"])
def test_8_bits_have_the_accuracy_that_onnx_runtime_gives_and_exact_zeros(
    method, pruned, data, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        found = replace_weights(pruned, data, ReplacementSettings(method), tmp_path)
    assert not caplog.records, "the quantiser keeps its advice to itself"
    path = tmp_path / found.file
    assert found.bytes == path.stat().st_size
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    test = data.split("test")
    scores = session.run(None, {session.get_inputs()[0].name: test.images.numpy()})[0]
    assert found.accuracy == (scores.argmax(1) == test.labels.numpy()).mean()
    proto = onnx.load(path)
    arrays = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    held = 0
    for name, weight in pruned.module.named_parameters():
        if weight.ndim >= 2:
            numbers = arrays[f"{name}_quantized"]
            assert numbers.dtype == np.int8
            if numbers.shape != tuple(weight.shape):
                numbers = numbers.T
            points = arrays[f"{name}_zero_point"]
            assert not points.any()
            assert points.size == weight.shape[0], "one scale an output channel"
            assert not numbers[(weight == 0).numpy()].any()
            held += int((weight == 0).sum())
    assert sum(proof.zeros_kept for proof in found.proof) == held == zeros(pruned)
    assert found.survived
    assert found.latency.dense.runs >= 20
    assert Replaced.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_static_scales_come_from_calibration_images_without_labels(pruned, data, tmp_path):
    """Other labels change nothing: not a byte of the file."""
    settings = ReplacementSettings("int8_static", samples=100)
    first = replace_weights(pruned, data, settings, tmp_path, timed=False)
    turned = replace(data, y_train=(data.y_train + 1) % 10)
    second = replace_weights(pruned, turned, settings, tmp_path, timed=False)
    other = replace_weights(pruned, data, replace(settings, samples=20), tmp_path, timed=False)
    assert first.sha256 == second.sha256 != other.sha256


def test_a_clustered_file_is_what_was_measured(pruned, data, tmp_path):
    settings = parse_replacement("cluster:3", tune_epochs=2)
    found = replace_weights(pruned, data, settings, tmp_path, timed=False)
    model = load_compressed(tmp_path / found.file)
    assert score(model.module, data.split("test")).accuracy == found.accuracy
    for name, weight in pruned.module.named_parameters():
        restored = model.module.get_parameter(name)
        if weight.ndim >= 2:
            assert torch.equal(restored == 0, weight == 0)
            assert len(restored.unique()) <= 8
    assert found.survived
    assert found.restored
    assert found.bytes < 0.09 * 4 * sum(p.numel() for p in pruned.module.parameters())
    again = replace_weights(pruned, data, settings, tmp_path, timed=False)
    assert again.sha256 == found.sha256, "the same seed gives the same file"


def test_tuning_never_lowers_the_validation_accuracy(pruned, data, tmp_path):
    plain, tuned = (
        replace_weights(
            pruned, data, parse_replacement("cluster:2", tune_epochs=epochs), tmp_path, timed=False
        )
        for epochs in (0, 4)
    )
    assert tuned.validation > plain.validation


@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_n_of_m_holds_in_every_group_and_zeros_stay(pattern, pruned, data, tmp_path):
    n, m = map(int, pattern.split(":"))
    settings = ReplacementSettings("nm", pattern=pattern)
    found = replace_weights(pruned, data, settings, tmp_path, timed=False)
    model = load_model(tmp_path / found.file)
    for name in ("hidden.0.weight", "hidden.1.weight"):
        groups = model.module.get_parameter(name).detach().reshape(-1, m)
        assert int((groups != 0).sum(1).max()) <= n
    for name, weight in pruned.module.named_parameters():
        if weight.ndim >= 2:
            assert not model.module.get_parameter(name)[weight == 0].any()
    assert found.survived
    assert found.restored


def test_channels_become_multiples(thin, data, tmp_path):
    settings = ReplacementSettings("channel_multiple", multiple=16)
    found = replace_weights(thin, data, settings, tmp_path, timed=False)
    model = load_model(tmp_path / found.file)
    before = [thin.module.get_parameter(f"hidden.{i}.weight").shape[0] for i in range(2)]
    after = [model.module.get_parameter(f"hidden.{i}.weight").shape[0] for i in range(2)]
    assert after == [width - width % 16 for width in before]
    assert before != after
    assert score(model.module, data.split("test")).accuracy == found.accuracy


def test_removed_channels_stay_removed_in_a_clustered_file(thin, data, tmp_path):
    settings = ReplacementSettings(bits=4, tune_epochs=0)
    found = replace_weights(thin, data, settings, tmp_path, timed=False)
    model = load_compressed(tmp_path / found.file)
    assert [tuple(p.shape) for p in model.module.parameters()] == [
        tuple(p.shape) for p in thin.module.parameters()
    ]
    assert found.restored


@pytest.mark.parametrize("name", ["fashion-gru", "fashion-vit"])
def test_other_families_are_replaced_as_well(name, tmp_path):
    model, whole = load_model(name), load_data("fashion-mnist")
    few = replace(
        whole, x_test=whole.x_test[:200], y_test=whole.y_test[:200], num_validation=0,
        x_train=whole.x_train[:500], y_train=whole.y_train[:500],
    )  # fmt: skip
    settings = ReplacementSettings(bits=6, tune_epochs=0)
    found = replace_weights(model, few, settings, tmp_path, timed=False)
    assert found.restored
    assert found.accuracy > 0.8
    settings = ReplacementSettings("int8_static", samples=64)
    static = replace_weights(model, few, settings, tmp_path, timed=False)
    assert static.survived
    assert static.accuracy > 0.8
    assert any("GRU" in note for note in static.notes) == (name == "fashion-gru")


@pytest.mark.parametrize("method", ["int8_static", "int8_dynamic", "cluster", "nm"])
def test_a_stop_ends_without_a_result(method, pruned, data, tmp_path):
    settings = ReplacementSettings(method)
    assert replace_weights(pruned, data, settings, tmp_path, should_stop=lambda: True) is None


def test_quantise_and_restore_from_the_command_line(capsys, tmp_path):
    words = ["quantise", "digits-mlp", "--method", "int8_dynamic,cluster", "--bits", "3",
             "--tune-epochs", "0", "--no-time", "--out", str(tmp_path), "--json", "-"]  # fmt: skip
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    assert [one["key"] for one in values["results"]] == ["int8_dynamic", "cluster:3"]
    for one, path in zip(values["results"], values["files"], strict=True):
        size = (tmp_path / one["file"]).stat().st_size
        assert (one["bytes"], path) == (size, str(tmp_path / one["file"]))
        assert one["compression_ratio"] == values["before"]["bytes"] / size
        assert one["survived"]
        assert one["restored"]
    weights = tmp_path / "restored.safetensors"
    words = ["restore", str(tmp_path / "cluster-3.pwc"), "--data", "digits", "--out", str(weights),
             "--json", "-"]  # fmt: skip
    assert main(words) == 0
    restored = json.loads(capsys.readouterr().out)
    assert restored["accuracy"] == values["results"][1]["accuracy"]
    assert load_model(weights).digest == restored["model"]["digest"]
    words = ["quantise", str(weights), "--data", "digits", "--method", "cluster:3",
             "--tune-epochs", "0", "--no-time", "--out", str(tmp_path / "again")]  # fmt: skip
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "reads back bit for bit" in text
    assert "cluster:3" in text


def test_what_was_made_before_a_refusal_is_told(capsys, tmp_path):
    words = ["quantise", "digits-mlp", "--method", "cluster:2,channel_multiple:64",
             "--tune-epochs", "0", "--no-time", "--out", str(tmp_path), "--json", "-"]  # fmt: skip
    assert main(words) == 2
    found = capsys.readouterr()
    assert [one["key"] for one in json.loads(found.out)["results"]] == ["cluster:2"]
    assert "Every width of digits-mlp" in found.err


def test_pruning_can_end_with_a_compressed_file(capsys, tmp_path):
    out = tmp_path / "out"
    words = ["prune", "digits-mlp", "--method", "global", "--sparsity", "0.6", "--repair", "none",
             "--out", str(out), "--quantise", "cluster:4", "--json", "-"]  # fmt: skip
    assert main(words) == 0
    values = json.loads(capsys.readouterr().out)
    (made,) = values["quantised"]["results"]
    model = load_compressed(tmp_path / "out-quantised" / made["file"])
    pruned = load_model(out / "weights.safetensors")
    for name, weight in pruned.module.named_parameters():
        if weight.ndim >= 2:
            assert torch.equal(model.module.get_parameter(name) == 0, weight == 0)
    assert values["quantised"]["before"]["accuracy"] == values["pruned"]["accuracy"]
