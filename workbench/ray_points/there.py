"""What a task does on a worker of a Ray cluster."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch

from workbench import __version__
from workbench.architectures import ARCHITECTURES
from workbench.curves import SensitivityPoint, SensitivitySettings
from workbench.data import Data
from workbench.errors import JobError, LoadError
from workbench.groups import Groups, find_groups
from workbench.loading.factory import call_factory
from workbench.loading.skeleton import rebuild
from workbench.model import Model, with_data
from workbench.sensitivity import measure_points

_Named = TypeVar("_Named", Model, Data)


def measure(order: str, shelf: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    """Build or recall the network and measure some places.

    Args:
        order: Version, digests, settings, places and points already known, as JSON.
        shelf: Where weights and arrays lie in the cluster, by digest.

    Raises:
        JobError: If the worker has another version, or builds another network.
        LoadError: If the network's factory is not there.
    """
    asked = json.loads(order)
    if asked["version"] != __version__:
        raise JobError(
            f"A worker of Ray has version {__version__} of the workbench, this machine "
            f"{asked['version']}.",
            "Install the same version on every machine of the cluster.",
        )
    torch.set_num_threads(1)
    settings = SensitivitySettings.from_dict(asked["settings"])
    model = _model_there(json.dumps(asked["model"]), shelf[asked["model"]["digest"]])
    data = _data_there(json.dumps(asked["data"]), shelf[asked["data"]["digest"]])
    model = _together_there(model, data)
    groups = _groups_there(model, settings.granularity)
    places = [(str(group), float(level)) for group, level in asked["places"]]
    known = [SensitivityPoint.from_dict(values) for values in asked["known"]]
    for point in measure_points(model, data, settings, places, groups=groups, known=known):
        yield point.to_dict()


@lru_cache(maxsize=1)
def _model_there(recipe: str, reference: Any) -> Model:
    import ray

    asked = json.loads(recipe)
    packed = safetensors.torch.load(ray.get(reference))
    # Where numbers lie decides in what order they are added up: copies are aligned as elsewhere
    tensors = {name: tensor.clone() for name, tensor in packed.items()}
    if asked["architecture"]:
        module = rebuild(ARCHITECTURES[asked["architecture"]], asked["arguments"], tensors)
    else:
        module = call_factory(asked["factory"])
        try:
            module.load_state_dict(tensors)
        except RuntimeError as error:
            raise LoadError(
                f"{asked['factory']} builds another network on a worker of Ray than here.",
                "Let every machine of the cluster have the same source code.",
            ) from error
    channels, height, width = asked["input_shape"]
    model = Model(
        asked["name"], module.eval(), (channels, height, width), asked["num_classes"],
        asked["architecture"], asked["arguments"],
    )  # fmt: skip
    return _same(model, asked["digest"])


@lru_cache(maxsize=1)
def _data_there(description: str, reference: Any) -> Data:
    import ray

    asked = json.loads(description)
    arrays: dict[str, Any] = {
        name: _laid_out(array, asked["strides"][name]) for name, array in ray.get(reference).items()
    }
    data = Data(
        asked["name"], **arrays, mean=tuple(asked["mean"]), std=tuple(asked["std"]),
        class_names=tuple(asked["class_names"]), num_validation=asked["num_validation"],
    )  # fmt: skip
    return _same(data, asked["digest"])


def _laid_out(array: np.ndarray, strides: Sequence[int]) -> np.ndarray:
    """The array with the strides that its axes of length 1 had before its journey.

    They mean nothing, but PyTorch chooses by them how to compute.
    """
    both = zip(array.shape, strides, array.strides, strict=True)
    restored = [before if length == 1 else now for length, before, now in both]
    return np.lib.stride_tricks.as_strided(array, array.shape, restored, writeable=False)


@lru_cache(maxsize=1)
def _together_there(model: Model, data: Data) -> Model:
    """The model with its data; what criteria gather from them is gathered once."""
    return with_data(model, data)


@lru_cache(maxsize=4)
def _groups_there(model: Model, granularity: str) -> Groups:
    return find_groups(model, granularity)


def _same(found: _Named, digest: str) -> _Named:
    """What was rebuilt, if it is what was asked for.

    Raises:
        JobError: If it is not.
    """
    if found.digest != digest:
        raise JobError(
            f"{found.name} has digest {found.digest} on a worker of Ray, {digest} here.",
            "Install the same versions of the workbench, of PyTorch and of your own code on "
            "every machine of the cluster.",
        )
    return found
