"""Models that are refused."""

import argparse
import collections
import gzip
import json
import os
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.golden.refusals.table import Makers
from workbench.architectures import ARCHITECTURES
from workbench.loading import load_model, load_uploaded_model

MAKERS = Makers()


def state_dict(family="mlp", **arguments):
    torch.manual_seed(0)
    return ARCHITECTURES[family].build(**arguments).state_dict()


def small():
    return state_dict(input_shape=(1, 4, 4), hidden=(8,), num_classes=3)


def written(folder, name, content):
    path = Path(folder) / name
    path.write_bytes(content)
    return path


def saved(folder, content, name="weights.pt", **options):
    path = Path(folder) / name
    torch.save(content, path, **options)
    return path


def with_tensor(folder, key, change, family="mlp"):
    tensors = small() if family == "mlp" else state_dict(family)
    tensors[key] = change(tensors[key])
    return saved(folder, tensors)


def zipped(folder, name, members, packing=zipfile.ZIP_STORED):
    path = Path(folder) / name
    with zipfile.ZipFile(path, "w", packing) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


class Payload:
    """Unpickles by running a command that creates ``marker``."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (eval, (f"open({str(self.marker)!r}, 'w')",))


class Network(nn.Sequential):
    """A class of the user's own, for pickling whole."""


# What a file really is


@MAKERS
def model_empty(folder):
    """A file of 0 bytes."""
    load_model(written(folder, "weights.pt", b""))


@MAKERS
def model_zeros(folder):
    """300 MB of zeros."""
    path = folder / "weights.safetensors"
    with path.open("wb") as file:
        file.truncate(300_000_000)
    load_model(path)


@MAKERS
def model_too_large(folder):
    """A file of 3 GB."""
    path = written(folder, "weights.safetensors", struct.pack("<Q", 9) + b"{")
    with path.open("r+b") as file:
        file.truncate(3_000_000_000)
    load_model(path)


@MAKERS
def model_safetensors_cut(folder):
    """A .safetensors file without its last 100 bytes."""
    save_file(small(), folder / "whole.safetensors")
    whole = (folder / "whole.safetensors").read_bytes()
    load_model(written(folder, "weights.safetensors", whole[:-100]))


@MAKERS
def model_safetensors_cut_early(folder):
    """The first 20 bytes of a .safetensors file."""
    save_file(small(), folder / "whole.safetensors")
    whole = (folder / "whole.safetensors").read_bytes()
    load_model(written(folder, "weights.safetensors", whole[:20]))


@MAKERS
def model_safetensors_header_unreadable(folder):
    """A .safetensors file whose header is no JSON."""
    load_model(written(folder, "weights.safetensors", struct.pack("<Q", 8) + b"{'a': 1}"))


@MAKERS
def model_safetensors_header_huge(folder):
    """A .safetensors file that claims a header of 1 GB."""
    load_model(written(folder, "weights.safetensors", struct.pack("<Q", 10**9) + b"{}"))


@MAKERS
def model_safetensors_header_wrong(folder):
    """A .safetensors file whose header gives a shape that is not the length of the data."""
    entry = {"a.weight": {"dtype": "F32", "shape": [7], "data_offsets": [0, 8]}}
    header = json.dumps(entry).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(8)
    load_model(written(folder, "weights.safetensors", content))


@MAKERS
def model_torch_cut(folder):
    """The first half of a .pt file."""
    whole = saved(folder, small(), "whole.pt").read_bytes()
    load_model(written(folder, "weights.pt", whole[: len(whole) // 2]))


@MAKERS
def model_torch_cut_legacy(folder):
    """The first half of a .pt file of the format before PyTorch 1.6."""
    whole = saved(folder, small(), "whole.pt", _use_new_zipfile_serialization=False).read_bytes()
    load_model(written(folder, "weights.pt", whole[: len(whole) // 2]))


@MAKERS
def model_torch_longer(folder):
    """A .pt file with a line of text behind its end."""
    whole = saved(folder, small(), "whole.pt").read_bytes()
    load_model(written(folder, "weights.pt", whole + b"and more of it, on and on\n"))


@MAKERS
def model_pickle_runs_code(folder):
    """A .pt file that would run code when it is unpickled."""
    load_model(saved(folder, {"fc.weight": Payload(folder / "marker")}))


@MAKERS
def model_pickle_runs_code_legacy(folder):
    """The same in the format before PyTorch 1.6."""
    payload = {"fc.weight": Payload(folder / "marker")}
    load_model(saved(folder, payload, _use_new_zipfile_serialization=False))


@MAKERS
def model_pickle_runs_code_uploaded(folder):
    """The same as an upload from a browser."""
    path = saved(folder, {"fc.weight": Payload(folder / "marker")})
    load_uploaded_model("weights.pt", path.read_bytes())


@MAKERS
def model_plain_pickle_runs_code(folder):
    """A pickle that torch.save did not write and that would run code."""
    import pickle

    load_model(written(folder, "weights.pkl", pickle.dumps(Payload(folder / "marker"))))


@MAKERS
def model_plain_pickle(folder):
    """A harmless pickle that torch.save did not write."""
    import pickle

    load_model(written(folder, "weights.pkl", pickle.dumps({"fc.weight": [[1.0, 2.0]]})))


@MAKERS
def model_whole_module(folder):
    """torch.save(model) in place of torch.save(model.state_dict())."""
    load_model(saved(folder, Network(nn.Linear(16, 3))))


@MAKERS
def model_whole_module_in_checkpoint(folder):
    """A checkpoint with the pickled module in it."""
    load_model(saved(folder, {"epoch": 3, "model": nn.Sequential(nn.Linear(16, 3))}))


@MAKERS
def model_other_objects(folder):
    """A checkpoint that also holds the command line's arguments."""
    load_model(saved(folder, {"args": argparse.Namespace(lr=0.1), "model": small()}))


@MAKERS
def model_keras_hdf5(folder):
    """A Keras .h5 file under the name of a .pt file."""
    load_model(written(folder, "model.pt", b"\x89HDF\r\n\x1a\n" + bytes(range(256))))


@MAKERS
def model_keras_zip(folder):
    """A Keras 3 .keras file."""
    members = {"metadata.json": "{}", "config.json": "{}", "model.weights.h5": b"\x89HDF"}
    load_model(zipped(folder, "model.keras", members))


@MAKERS
def model_tensorflow_savedmodel(folder):
    """The saved_model.pb of a TensorFlow SavedModel."""
    load_model(written(folder, "saved_model.pb", b"\x08\x01\x12\xa4\x1f\x0a\x05serve" + b"x" * 99))


@MAKERS
def model_tensorflow_folder(folder):
    """The folder of a TensorFlow SavedModel."""
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    load_model(folder / "model")


@MAKERS
def model_tensorflow_graph(folder):
    """A frozen TensorFlow graph."""
    load_model(
        written(folder, "frozen.pb", b"\n\x2a\n\x05input\x12\x0bPlaceholder*\x0b\n\x05dtype")
    )


@MAKERS
def model_tensorflow_lite(folder):
    """A TensorFlow Lite file."""
    load_model(written(folder, "model.tflite", b"\x1c\0\0\0TFL3\x14\0\x20\0" + bytes(64)))


@MAKERS
def model_onnx(folder):
    """An ONNX file."""
    load_model(written(folder, "model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + b"x" * 99))


@MAKERS
def model_torchscript(folder):
    """A TorchScript file."""
    members = {"m/data.pkl": "", "m/constants.pkl": "", "m/code/__torch__.py": "", "m/version": "3"}
    load_model(zipped(folder, "model.pt", members))


@MAKERS
def model_exported_program(folder):
    """An exported program, as torch.export.save writes it."""
    members = {"m/archive_format": "pt2", "m/models/model.json": "{}", "m/data/weights/w0": ""}
    load_model(zipped(folder, "model.pt2", members))


@MAKERS
def model_other_zip(folder):
    """A zip archive of something else."""
    load_model(zipped(folder, "model.pt", {"word/document.xml": "<w/>"}))


@MAKERS
def model_numpy_arrays(folder):
    """An .npz file as the model."""
    np.savez(folder / "weights.npz", weight=np.zeros((2, 3)))
    load_model(folder / "weights.npz")


@MAKERS
def model_numpy_array(folder):
    """An .npy file as the model."""
    np.save(folder / "weights.npy", np.ones((2, 3)))
    load_model(folder / "weights.npy")


@MAKERS
def model_gzip(folder):
    """A .pt file packed with gzip."""
    load_model(written(folder, "weights.pt.gz", gzip.compress(b"weights")))


@MAKERS
def model_picture(folder):
    """A PNG picture."""
    load_model(written(folder, "weights.pt", b"\x89PNG\r\n\x1a\n" + b"x" * 99))


@MAKERS
def model_web_page(folder):
    """The page of a download under the name of the file."""
    load_model(written(folder, "weights.pt", b"\n<!DOCTYPE html><html><title>Sign in</title>"))


@MAKERS
def model_lfs_pointer(folder):
    """A Git LFS pointer in place of the file."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    load_model(written(folder, "weights.safetensors", pointer))


@MAKERS
def model_text(folder):
    """A text file."""
    load_model(written(folder, "weights.pt", b"Trained on Monday, 91 % accuracy.\n"))


@MAKERS
def model_unknown_bytes(folder):
    """Bytes of no known kind of file."""
    load_model(written(folder, "weights.bin", b"\xfe\xdc\xba\x98\x76" * 20))


# Archives that unpack to more than they are


@MAKERS
def model_zip_bomb(folder):
    """A .pt file of 100 kB that unpacks to 100 MB of zeros."""
    members = {"m/data.pkl": bytes(100_000_000), "m/version": "3"}
    load_model(zipped(folder, "weights.pt", members, zipfile.ZIP_DEFLATED))


@MAKERS
def model_zip_bomb_overlapping(folder):
    """A .pt file whose table of contents names the same 100 MB of zeros sixty times."""
    path = zipped(folder, "weights.pt", {"m/data.pkl": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    repeat_member(path, 60)
    load_model(path)


def repeat_member(path, times, suffix=""):
    """List the first member of a zip archive so many times more, under other names."""
    import copy

    with zipfile.ZipFile(path, "a") as archive:
        for index in range(times):
            again = copy.copy(archive.filelist[0])
            again.filename = f"m/data/{index}{suffix}"
            archive.filelist.append(again)
        archive._didModify = True


@MAKERS
def model_many_members(folder):
    """A .pt file with 20,001 members."""
    path = zipped(folder, "weights.pt", {"m/data.pkl": b""})
    repeat_member(path, 20_000)
    load_model(path)


@MAKERS
def model_encrypted(folder):
    """A zip archive with a password."""
    path = zipped(folder, "weights.pt", {"m/data.pkl": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    load_model(path)


@MAKERS
def model_claims_too_much(folder):
    """A .pt file of 1 kB with a tensor of 10 million million entries."""
    load_model(saved(folder, {"conv1.weight": torch.zeros(1).expand(10**13)}))


# Weights


@MAKERS
def model_nan(folder):
    """A column of weights is NaN."""

    def spoil(weight):
        return weight.index_fill(1, torch.tensor(0), torch.nan)

    load_model(with_tensor(folder, "hidden.0.weight", spoil))


@MAKERS
def model_infinite(folder):
    """One weight is infinite."""

    def spoil(bias):
        return bias.index_fill(0, torch.tensor(1), -torch.inf)

    load_model(with_tensor(folder, "classifier.bias", spoil))


@MAKERS
def model_nan_batchnorm(folder):
    """A running mean of BatchNorm is NaN."""
    load_model(with_tensor(folder, "bn.running_mean", lambda x: x * torch.nan, "resnet"))


@MAKERS
def model_negative_variance(folder):
    """The running variances of BatchNorm are negative."""
    load_model(with_tensor(folder, "bn.running_var", lambda x: x - 2, "resnet"))


@MAKERS
def model_beyond_float32(folder):
    """float64 weights too large for float32."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: w.double() * 1e300))


@MAKERS
def model_integer(folder):
    """int8 weights."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: (w * 100).to(torch.int8)))


@MAKERS
def model_boolean(folder):
    """A mask in place of the weight."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: w > 0))


@MAKERS
def model_complex(folder):
    """Complex weights."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: w.to(torch.complex64)))


@MAKERS
def model_float8(folder):
    """float8 weights in a .safetensors file."""
    tensors = {key: value.to(torch.float8_e4m3fn) for key, value in small().items()}
    save_file(tensors, folder / "weights.safetensors")
    load_model(folder / "weights.safetensors")


@MAKERS
def model_sparse_layout(folder):
    """A weight in PyTorch's sparse layout."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: w.to_sparse()))


@MAKERS
def model_counter_fractional(folder):
    """BatchNorm's count of batches is a fraction."""
    load_model(with_tensor(folder, "bn.num_batches_tracked", lambda x: x + 0.5, "resnet"))


# Names and shapes


@MAKERS
def model_missing_tensor(folder):
    """A state dict without the classifier's bias."""
    tensors = small()
    del tensors["classifier.bias"]
    load_model(saved(folder, tensors))


@MAKERS
def model_missing_tensors(folder):
    """A ResNet-20 without all its biases of BatchNorm."""
    tensors = {k: v for k, v in state_dict("resnet").items() if not k.endswith("bias")}
    load_model(saved(folder, tensors), architecture="resnet")


@MAKERS
def model_missing_telltale(folder):
    """A ResNet-20 without its stem."""
    tensors = state_dict("resnet")
    del tensors["stem.weight"]
    load_model(saved(folder, tensors), architecture="resnet")


@MAKERS
def model_extra_tensor(folder):
    """A state dict with a second head."""
    load_model(saved(folder, small() | {"auxiliary.weight": torch.ones(3, 8)}))


@MAKERS
def model_renamed_tensor(folder):
    """A state dict in which the classifier's bias has another name."""
    tensors = small()
    tensors["classifier.offset"] = tensors.pop("classifier.bias")
    load_model(saved(folder, tensors))


@MAKERS
def model_wrong_shape(folder):
    """Two tensors that do not fit the others."""
    tensors = state_dict("lenet5") | {"conv2.bias": torch.ones(7), "fc2.bias": torch.ones(11)}
    load_model(saved(folder, tensors))


@MAKERS
def model_wrong_rank(folder):
    """A convolution's weight flattened to a matrix."""
    load_model(with_tensor(folder, "conv1.weight", lambda w: w.flatten(1), "lenet5"))


@MAKERS
def model_empty_tensor(folder):
    """A weight without entries."""
    load_model(with_tensor(folder, "hidden.0.weight", lambda w: w[:, :0]))


@MAKERS
def model_sizes_disagree(folder):
    """A vision transformer whose width is no multiple of its heads."""
    load_model(saved(folder, state_dict("vit", width=56, heads=4, depth=1)))


@MAKERS
def model_forged_depth(folder):
    """A tensor's name that claims a billion blocks."""
    tensors = state_dict("resnet") | {"stages.0.999999999.conv1.weight": torch.ones(1, 1, 1, 1)}
    load_model(saved(folder, tensors), architecture="resnet")


@MAKERS
def model_unknown_network(folder):
    """The state dict of a network of no known family."""
    tensors = {f"encoder.{i}.kernel": torch.ones(3, 3) for i in range(5)}
    load_model(saved(folder, tensors))


@MAKERS
def model_hostile_names(folder):
    """Tensor names with markup that a page could render."""
    names = ("![x](https://example.org/a.png)", "<script>alert(1)</script>", "a\nb", "w" * 500)
    load_model(saved(folder, {name: torch.ones(2, 2) for name in names}))


@MAKERS
def model_unknown_architecture(folder):
    """An architecture that is nearly the name of one."""
    load_model(saved(folder, small()), architecture="resnett")


@MAKERS
def model_other_architecture(folder):
    """The weights of a perceptron opened as a LeNet-5."""
    load_model(saved(folder, small()), architecture="lenet5")


@MAKERS
def model_one_class(folder):
    """A network with a single output."""
    load_model(saved(folder, state_dict(input_shape=(1, 4, 4), hidden=(8,), num_classes=1)))


@MAKERS
def model_wrong_input_shape(folder):
    """A perceptron for 4 x 4 pixels opened for 28 x 28."""
    load_model(saved(folder, small()), input_shape=(1, 28, 28))


@MAKERS
def model_wrong_channels(folder):
    """A ResNet for grey images opened for colour images."""
    load_model(saved(folder, state_dict("resnet")), input_shape=(3, 32, 32))


@MAKERS
def model_input_shape_of_two(folder):
    """An input shape without channels."""
    load_model(saved(folder, small()), input_shape=(4, 4))


@MAKERS
def model_huge_images(folder):
    """A ResNet opened for images of 100,000 x 100,000 pixels."""
    load_model(saved(folder, state_dict("resnet")), input_shape=(1, 100_000, 100_000))


# What is in the file


@MAKERS
def model_empty_state_dict(folder):
    """An empty state dict."""
    load_model(saved(folder, collections.OrderedDict()))


@MAKERS
def model_empty_safetensors(folder):
    """A .safetensors file without tensors."""
    save_file({}, folder / "weights.safetensors")
    load_model(folder / "weights.safetensors")


@MAKERS
def model_checkpoint_without_weights(folder):
    """A checkpoint without a state dict."""
    load_model(saved(folder, {"epoch": 3, "loss": 0.25, "history": [1, 2]}))


@MAKERS
def model_optimizer(folder):
    """The state of an optimizer."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)
    load_model(saved(folder, optimizer.state_dict()))


@MAKERS
def model_single_tensor(folder):
    """A single tensor."""
    load_model(saved(folder, torch.ones(2, 3)))


@MAKERS
def model_list(folder):
    """The list of the parameters, without names."""
    load_model(saved(folder, [torch.ones(2, 3), torch.ones(2)]))


@MAKERS
def model_mixed(folder):
    """Tensors and a number side by side."""
    load_model(saved(folder, small() | {"accuracy": 0.93}))


# Names of sources


@MAKERS
def model_unknown_sample(folder):
    """A sample's name with a letter missing."""
    load_model("fashion-resnet2")


@MAKERS
def model_no_name(folder):
    """An empty name."""
    load_model("")


@MAKERS
def model_missing_file(folder):
    """A path with a letter missing."""
    saved(folder, small())
    load_model(folder / "weight.pt")


@MAKERS
def model_folder(folder):
    """A folder."""
    (folder / "model").mkdir()
    load_model(folder / "model")


@MAKERS
def model_unreadable(folder):
    """A file that may not be read."""
    path = saved(folder, small())

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        load_model(path)


@MAKERS
def model_pipe(folder):
    """A named pipe, which would never end."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(folder / "weights.pt")
    load_model(folder / "weights.pt")


# The user's own code


def from_factory(factory, **arguments):
    """Call ``load_model`` on a factory that lives in a module made for the occasion."""
    module = types.ModuleType("mynetworks")
    module.factory = factory
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mynetworks", module)
        load_model("mynetworks:factory", allow_factory=True, **arguments)


@MAKERS
def factory_not_allowed(folder):
    """A factory where code may not be run."""
    load_model("mynetworks:factory")


@MAKERS
def factory_no_module(folder):
    """A factory in a module that does not exist."""
    load_model("no_such_networks:build", allow_factory=True)


@MAKERS
def factory_no_attribute(folder):
    """A factory whose name has a letter missing."""
    module = types.ModuleType("mynetworks")
    module.build_resnet = nn.Identity
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mynetworks", module)
        load_model("mynetworks:build_resne", allow_factory=True)


@MAKERS
def factory_not_callable(folder):
    """A factory that is a number."""
    from_factory(3)


@MAKERS
def factory_raises(folder):
    """A factory that fails."""

    def factory():
        raise FileNotFoundError("no checkpoint in ./runs")

    from_factory(factory)


@MAKERS
def factory_wants_arguments(folder):
    """A factory that cannot be called without arguments."""
    from_factory(nn.Linear)


@MAKERS
def factory_returns_dict(folder):
    """A factory that returns the state dict and not the network."""
    from_factory(dict)


@MAKERS
def factory_without_input_shape(folder):
    """A factory whose network does not say what it takes."""
    from_factory(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))


@MAKERS
def factory_wrong_input_shape(folder):
    """A factory whose network does not run on the images."""
    from_factory(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), input_shape=(1, 5, 5))


@MAKERS
def factory_output_not_scores(folder):
    """A factory whose network returns images."""
    from_factory(lambda: nn.Conv2d(1, 3, 1), input_shape=(1, 5, 5))


@MAKERS
def factory_output_tuple(folder):
    """A factory whose network returns a tuple."""

    class Pair(nn.Flatten):
        def forward(self, x):
            return x, x

    from_factory(Pair, input_shape=(1, 5, 5))


@MAKERS
def factory_nan(folder):
    """A factory whose network has a NaN weight."""

    def factory():
        network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        nn.init.constant_(network[1].bias, torch.nan)
        return network

    from_factory(factory, input_shape=(1, 4, 4))
