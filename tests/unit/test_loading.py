"""Models from samples, files, uploads and factories."""

import contextlib
import io
import json
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file
from torch import nn

from tests.guards import no_files
from workbench.architectures import ARCHITECTURES
from workbench.data import Data
from workbench.errors import LoadError, WorkbenchError
from workbench.loading import (
    load_model,
    load_uploaded_data,
    load_uploaded_model,
    sample_card,
    sample_folder,
    sample_names,
)
from workbench.loading.kinds import recognise
from workbench.model import Model
from workbench.shared import second_names

SMALL = {
    "mlp": {"input_shape": [1, 4, 4], "hidden": [5, 4], "num_classes": 3},
    "lenet5": {"in_channels": 3, "image_size": 20, "widths": [2, 3, 4], "num_classes": 5},
    "resnet": {"in_channels": 3, "widths": [2, 4], "blocks": [1, 2], "num_classes": 4},
    "mobilenet": {
        "in_channels": 1, "stem": 2, "widths": [2, 3], "blocks": [2, 1], "expansion": 2, "head": 4,
        "num_classes": 3,
    },
    "vit": {
        "in_channels": 1, "image_size": 8, "patch": 4, "width": 16, "depth": 2, "heads": 1,
        "mlp": 6, "num_classes": 3,
    },
    "recursive": {"in_channels": 2, "width": 4, "wide": 5, "passes": 2, "num_classes": 3},
    "gru": {"row": 28, "hidden": 3, "layers": 2, "num_classes": 4},
}  # fmt: skip


def network(family="resnet", **arguments):
    torch.manual_seed(0)
    return ARCHITECTURES[family].build(**SMALL[family] | arguments)


def torch_bytes(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def prefixed(tensors, prefix):
    return {f"{prefix}{key}": value for key, value in tensors.items()}


WRAPPINGS = {
    "bare": lambda tensors: torch_bytes(tensors),
    "legacy": lambda tensors: torch_bytes(tensors, _use_new_zipfile_serialization=False),
    "safetensors": lambda tensors: save({key: value.clone() for key, value in tensors.items()}),
    "checkpoint": lambda tensors: torch_bytes({"epoch": 3, "state_dict": tensors, "lr": 0.1}),
    "parameters": lambda tensors: torch_bytes(
        {k: nn.Parameter(v, False) for k, v in tensors.items()}
    ),
    "data parallel": lambda tensors: torch_bytes({"model": prefixed(tensors, "module.")}),
    "compiled": lambda tensors: torch_bytes(prefixed(tensors, "_orig_mod.")),
    "both": lambda tensors: torch_bytes({"net": prefixed(tensors, "module._orig_mod.")}),
    "deep": lambda tensors: torch_bytes({"model": {"state_dict": tensors}}),
    "averaged": lambda tensors: torch_bytes(
        {"ema": prefixed(tensors, "module.") | {"n_averaged": torch.tensor(7)}}
    ),
}


def same_state(module, other):
    one, two = module.state_dict(), other.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_bottlenecks_are_told_from_basic_blocks_by_their_weights():
    original = network(blocks=[2, 1], bottleneck=True).eval()
    model = load_uploaded_model("weights.safetensors", save(dict(original.state_dict())))
    assert same_state(model.module, original)
    assert model.arguments == SMALL["resnet"] | {"blocks": [2, 1], "bottleneck": True}


@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_family_comes_back_from_every_wrapping(family, wrapping):
    original = network(family).eval()
    model = load_uploaded_model("weights.pt", WRAPPINGS[wrapping](original.state_dict()))
    assert same_state(model.module, original)
    assert (model.architecture, model.arguments) == (family, SMALL[family])
    assert model.num_classes == SMALL[family]["num_classes"]
    assert not model.module.training
    assert all(parameter.requires_grad for parameter in model.module.parameters())
    images = torch.rand(2, *model.input_shape)
    assert torch.equal(model.module(images), original(images))


@pytest.mark.parametrize("name", sample_names())
def test_samples_hold_what_their_file_holds(name):
    model = load_model(name)
    tensors = load_file(sample_folder() / "weights" / f"{name}.safetensors")
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, tensors[second_names(model.module).get(key, key)])
    assert (model.name, model.num_classes) == (name, 10)
    assert model.data_name in ("digits", "fashion-mnist")
    assert "notes" not in model.card
    assert sample_card(name).items() <= dict(model.card).items()


def test_path_and_upload_are_the_same_model(tmp_path):
    save_file(network().state_dict(), tmp_path / "mine.safetensors")
    model = load_model(str(tmp_path / "mine.safetensors"), architecture="resnet")
    content = (tmp_path / "mine.safetensors").read_bytes()
    with no_files():
        upload = load_uploaded_model("../../etc/mine.safetensors", content, "resnet")
    assert (upload.name, upload.digest) == (model.name, model.digest) == ("mine", model.digest)
    assert load_model(tmp_path / "mine.safetensors", name="other").name == "other"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_becomes_float32_and_says_so(kind):
    tensors = network("mlp").state_dict()
    narrow = {key: value.to(kind) for key, value in tensors.items()}
    model = load_uploaded_model("weights.pt", torch_bytes(narrow))
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, narrow[key].float())
    assert any(str(kind).removeprefix("torch.") in note for note in model.card["notes"])


def test_tensors_that_share_memory_in_the_file_do_not_share_it_here():
    shared = torch.randn(4, 4)
    tensors = network("mlp", hidden=[4], input_shape=[1, 2, 2], num_classes=4).state_dict()
    tensors |= {"hidden.0.weight": shared, "classifier.weight": shared.T}
    module = load_uploaded_model("weights.pt", torch_bytes(tensors)).module
    with torch.no_grad():
        module.hidden[0].weight.zero_()
    assert torch.equal(module.classifier.weight, shared.T)
    assert module.classifier.weight.is_contiguous()


def test_missing_batch_counters_are_zero():
    tensors = {k: v for k, v in network().state_dict().items() if "num_batches" not in k}
    model = load_uploaded_model("weights.pt", torch_bytes(tensors))
    assert model.module.bn.num_batches_tracked == 0


def test_masks_of_torch_prune_are_applied():
    from torch.nn.utils import prune

    original = network("lenet5")
    prune.l1_unstructured(original.conv2, "weight", amount=0.5)
    model = load_uploaded_model("weights.pt", torch_bytes(original.state_dict()))
    assert torch.equal(model.module.conv2.weight, original.conv2.weight)
    assert (model.module.conv2.weight == 0).float().mean() == 0.5


def test_masked_entries_that_are_not_finite_are_zero():
    tensors = network("mlp").state_dict()
    weight = tensors.pop("classifier.weight")
    mask = torch.ones_like(weight)
    mask[0, 0], weight[0, 0] = 0, torch.inf
    tensors |= {"classifier.weight_orig": weight, "classifier.weight_mask": mask}
    model = load_uploaded_model("weights.pt", torch_bytes(tensors))
    assert model.module.classifier.weight[0, 0] == 0


def test_what_weights_do_not_tell_is_taken_from_the_record():
    tensors = network("vit", width=32, heads=8).state_dict()
    record = {"architecture": "vit", "arguments": {"heads": 8}}
    told = load_uploaded_model("v", save(tensors, {"training": json.dumps(record)}))
    untold = load_uploaded_model("v", save(tensors))
    assert (told.arguments["heads"], untold.arguments["heads"]) == (8, 2)
    assert "notes" not in told.card
    assert any("2 attention heads" in note for note in untold.card["notes"])


@pytest.mark.parametrize(
    "record",
    [
        {"architecture": "no such"},
        {"architecture": ["vit"], "arguments": 3},
        {"architecture": "vit", "arguments": {"heads": "many"}},
        {"architecture": "vit", "arguments": {"heads": True}},
        {"architecture": "vit", "arguments": {"depth": 10**9}},
        [],
    ],
)
def test_false_records_do_no_harm(record):
    content = save(network("vit").state_dict(), {"training": json.dumps(record)})
    assert load_uploaded_model("v", content).arguments == SMALL["vit"]


@pytest.mark.parametrize("arguments", [{"heads": 0}, {"heads": 3}, {"image_size": 10**9}])
def test_records_that_contradict_the_weights_are_refused(arguments):
    record = {"architecture": "vit", "arguments": arguments}
    content = save(network("vit").state_dict(), {"training": json.dumps(record)})
    with pytest.raises(LoadError, match=r"attention heads|position in v has shape"):
        load_uploaded_model("v", content)


def test_image_shape_can_be_given_where_weights_leave_it_open():
    content = torch_bytes(network("mlp", input_shape=[3, 2, 8]).state_dict())
    assert load_uploaded_model("w", content).input_shape == (1, 1, 48)
    model = load_uploaded_model("w", content, input_shape=(3, 2, 8))
    assert model.input_shape == tuple(model.arguments["input_shape"]) == (3, 2, 8)
    convolutional = torch_bytes(network().state_dict())
    assert load_uploaded_model("w", convolutional, input_shape=[3, 9, 7]).input_shape == (3, 9, 7)


def test_checkpoint_with_averages_says_what_was_taken():
    tensors = network("mlp").state_dict()
    checkpoint = {"model": tensors, "ema": {k: v + 1 for k, v in tensors.items()}}
    model = load_uploaded_model("weights.pt", torch_bytes(checkpoint))
    assert torch.equal(model.module.classifier.bias, tensors["classifier.bias"])
    assert any("ema" in note for note in model.card["notes"])


# Factories


class Striped(nn.Sequential):
    """A network of the user's own."""

    input_shape = (2, 3, 3)

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(18, 4).double())

    def forward(self, x):
        return super().forward(x.to(self[2].weight.dtype))


@pytest.fixture
def own_module(monkeypatch):
    module = types.ModuleType("own_networks")
    module.Striped = Striped
    module.inner = types.SimpleNamespace(build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 2)))
    monkeypatch.setitem(sys.modules, "own_networks", module)


def test_factory_gives_a_model(own_module):
    model = load_model("own_networks:Striped", allow_factory=True)
    assert (model.name, model.input_shape) == ("own_networks:Striped", (2, 3, 3))
    assert (model.num_classes, model.architecture) == (4, "")
    assert model.module[2].weight.dtype == torch.float32
    assert not model.module.training


def test_factory_can_be_an_attribute_of_an_attribute(own_module):
    model = load_model(
        "own_networks:inner.build", allow_factory=True, input_shape=(1, 3, 3), name="mine"
    )
    assert (model.name, model.num_classes) == ("mine", 2)


def test_factory_is_not_even_imported_where_it_is_not_allowed(tmp_path, monkeypatch):
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    for call in (load_model, lambda text: load_uploaded_model(text, b"x")):
        with pytest.raises(LoadError):
            call("trap:build")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "text", ["import missing_dependency", "raise SystemExit(3)", "1/0", "def ("]
)
def test_faults_of_own_code_are_named(tmp_path, monkeypatch, text):
    (tmp_path / "broken_networks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_networks", raising=False)
    with pytest.raises(
        LoadError, match=r"missing_dependency|SystemExit: 3|ZeroDivision|SyntaxError"
    ):
        load_model("broken_networks:build", allow_factory=True)


# What files really are


def test_real_files_of_other_tools_are_recognised(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value])
    for options in ({}, {"producer_name": "tool"}, {"ir_version": 10, "doc_string": "text"}):
        content = helper.make_model(graph, **options).SerializeToString()
        assert recognise(content).name == "onnx", options
    assert onnx.__version__
    assert recognise(pickle.dumps([1])).name == "pickle"
    assert recognise(save({"a": torch.ones(2)})).name == "safetensors"
    assert recognise("größer ".encode()[:-3]).name == "text"


def test_real_exported_program_is_recognised(tmp_path):
    program = torch.export.export(nn.Linear(2, 3), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(LoadError, match=r"exported program \(\.pt2\)"):
        load_model(tmp_path / "model.pt2")


# Damaged files


def npz_bytes():
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 3), dtype=np.uint8)
    labels = np.arange(12) % 2
    buffer = io.BytesIO()
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez_compressed(buffer, **arrays, mean=np.float32(0.5), class_names=np.array(["a", "b"]))
    return buffer.getvalue()


WHOLE = {
    "weights.safetensors": WRAPPINGS["safetensors"](network("mlp").state_dict()),
    "weights.pt": WRAPPINGS["checkpoint"](network("mlp").state_dict()),
    "legacy.pt": WRAPPINGS["legacy"](network("mlp").state_dict()),
    "images.npz": npz_bytes(),
}


def opens_or_refuses(filename, content):
    """Open a file as what it is; anything but a result or a refusal fails the test."""
    with contextlib.suppress(WorkbenchError):
        if filename.endswith(".npz"):
            assert isinstance(load_uploaded_data(filename, content), Data)
        else:
            assert isinstance(load_uploaded_model(filename, content, "mlp"), Model)


@pytest.mark.parametrize("filename", WHOLE)
@given(share=st.floats(0, 1))
def test_cut_files_are_refused(filename, share):
    whole = WHOLE[filename]
    cut = whole[: int(share * (len(whole) - 1))]
    opened = load_uploaded_data if filename.endswith(".npz") else load_uploaded_model
    with pytest.raises(WorkbenchError):
        opened(filename, cut)


@pytest.mark.parametrize("filename", WHOLE)
@given(
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6)
)
def test_files_with_wrong_bytes_open_or_are_refused(filename, places):
    content = bytearray(WHOLE[filename])
    for place, change in places:
        content[place % len(content)] ^= change
    opens_or_refuses(filename, bytes(content))


@pytest.mark.parametrize("filename", ["weights.pt", "legacy.pt"])
@given(
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_wrong_instructions_in_a_pickle_open_or_are_refused(filename, places):
    content = bytearray(WHOLE[filename])
    start, end = instructions(bytes(content))
    for place, value in places:
        content[start + place % (end - start)] = value
    opens_or_refuses(filename, bytes(content))


def instructions(content):
    """Where the pickled part of a PyTorch file begins and ends."""
    if content[:2] != b"PK":
        return 0, content.rindex(b"storage") + 100
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pickled = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    start = content.index(pickled)
    return start, start + len(pickled)


@settings(max_examples=30)
@given(header=st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["F32", "I64", "BF16"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["dtype", "shape", "data_offsets", "a.weight", "__metadata__"]), inner
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_header_of_safetensors_opens_or_is_refused(header):
    text = json.dumps({"hidden.0.weight": header}).encode()
    opens_or_refuses("weights.safetensors", len(text).to_bytes(8, "little") + text + bytes(64))


def test_a_billion_blocks_cost_nothing():
    tensors = network().state_dict() | {"stages.0.99999999999.conv1.weight": torch.ones(1, 1, 1, 1)}
    for architecture in ("resnet", ""):
        with pytest.raises(LoadError):
            load_uploaded_model("weights.pt", torch_bytes(tensors), architecture)


def test_sizes_that_would_fill_the_memory_are_refused_by_shape():
    tensors = network("vit").state_dict()
    tensors["patches.weight"] = torch.ones(40_000, 1, 4, 4)
    with pytest.raises(LoadError, match="shape"):
        load_uploaded_model("weights.pt", torch_bytes(tensors), "vit")
