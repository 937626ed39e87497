"""A network whose layers each have only a few different weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.compression.kmeans import assign, cluster_values
from workbench.errors import ExportError
from workbench.progress import ShouldStop, never, raise_if_stopped

_CLOSE = 2.0**-10
"""Largest relative error of a number that is kept in 16 bits."""


@dataclass(frozen=True, eq=False)
class ClusteredTensor:
    """A weight as codes and the values that they stand for.

    Attributes:
        codes: uint8, of the weight's shape; 0 is exactly zero, 1 the first value.
        values: float32 ``(num_values,)``, as they are kept: rounded to 16 bits where that is
            close enough.
    """

    codes: np.ndarray
    values: np.ndarray

    def tensor(self) -> Tensor:
        """The weight."""
        table = np.concatenate([np.zeros(1, np.float32), self.values])
        return torch.from_numpy(table[self.codes])


@dataclass(frozen=True, eq=False)
class Clustered:
    """The whole state of a clustered network.

    Attributes:
        clustered: Name to weight, for all that has two axes and more.
        others: Name to tensor, for biases, normalisation and counters, as they are kept.
        same: Name to the name of the tensor that it shares its numbers with.
        names: All names in the order of the state dict.
    """

    clustered: Mapping[str, ClusteredTensor]
    others: Mapping[str, Tensor]
    same: Mapping[str, str]
    names: tuple[str, ...]

    def tensors(self) -> dict[str, Tensor]:
        """The state dict; shared tensors are there under every name."""
        found = {name: entry.tensor() for name, entry in self.clustered.items()}
        found |= {name: tensor.clone() for name, tensor in self.others.items()}
        found |= {name: found[first].clone() for name, first in self.same.items()}
        return {name: found[name] for name in self.names}


def cluster_tensors(
    tensors: Mapping[str, Tensor], bits: int, should_stop: ShouldStop = never
) -> Clustered:
    """Give every weight tensor at most ``2**bits - 1`` different values besides zero.

    Zeros stay exactly zero, with a code of their own: pruning survives.

    Args:
        tensors: A state dict, float32 and whole numbers.
        bits: Of a code, 2 to 8.
        should_stop: Asked before every tensor and every round of its clustering.

    Raises:
        StoppedError: If it should stop.
        ExportError: If a tensor is neither float32 nor whole numbers, or not finite.
    """
    clustered, others, same = {}, {}, {}
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in tensors.items():
        raise_if_stopped(should_stop)
        _check_kind(name, tensor)
        place = (
            tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        )  # fmt: skip
        if tensor.numel() and place in first:
            same[name] = first[place]
            continue
        first[place] = name
        if tensor.is_floating_point() and tensor.ndim >= 2:
            clustered[name] = _cluster(tensor, 2**bits - 1, should_stop)
        else:
            others[name] = rounded(tensor.detach().cpu())
    return Clustered(clustered, others, same, tuple(tensors))


def with_values(clustered: Clustered, tensors: Mapping[str, Tensor]) -> Clustered:
    """The same codes with the values, and all other tensors, of a network that was tuned.

    Args:
        clustered: Gives the codes.
        tensors: A state dict in which all weights of a code are still equal.
    """
    found = {}
    for name, entry in clustered.clustered.items():
        weight = tensors[name].detach().cpu().numpy().ravel()
        codes = entry.codes.ravel()
        values = np.array(
            [weight[np.argmax(codes == code)] for code in range(1, len(entry.values) + 1)],
            dtype=np.float32,
        )
        found[name] = ClusteredTensor(entry.codes, _round_values(values))
    others = {name: rounded(tensors[name].detach().cpu()) for name in clustered.others}
    return Clustered(found, others, clustered.same, clustered.names)


def rounded(tensor: Tensor) -> Tensor:
    """A tensor as it is kept: float32 rounded to 16 bits where every number stays close."""
    if fits_in_half(tensor):
        return tensor.half().float()
    return tensor.clone()


def fits_in_half(tensor: Tensor) -> bool:
    """Whether 16 bits keep every number of a float32 tensor to about three digits."""
    if tensor.dtype != torch.float32:
        return False
    error = (tensor.half().float() - tensor).abs()
    return bool((error <= _CLOSE * tensor.abs()).all())


def _cluster(weight: Tensor, num_values: int, should_stop: ShouldStop) -> ClusteredTensor:
    numbers = weight.detach().cpu().contiguous().numpy()
    alive = numbers != 0
    book = cluster_values(numbers[alive], num_values, should_stop)
    values = np.unique(_round_values(book.centroids.astype(np.float32)))
    values = values[values != 0]
    codes = np.zeros(numbers.shape, dtype=np.uint8)
    if len(values):
        codes[alive] = assign(numbers[alive], values.astype(np.float64)) + 1
        used, compact = np.unique(codes[alive], return_inverse=True)
        codes[alive] = compact + 1
        values = values[used - 1]
    return ClusteredTensor(codes, values)


def _round_values(values: np.ndarray) -> np.ndarray:
    return rounded(torch.from_numpy(values)).numpy()


def _check_kind(name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point():
        if tensor.dtype != torch.float32:
            raise ExportError(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}, not float32.",
                "Convert the network with .float() first.",
            )
        if not torch.isfinite(tensor).all():
            raise ExportError(
                f"{name} has numbers that are NaN or infinite.",
                "Fine-tune again with a lower learning rate, or choose an earlier run.",
            )
    elif tensor.dtype != torch.int64:
        raise ExportError(
            f"{name} is {str(tensor.dtype).removeprefix('torch.')}, which is not kept.",
            "Only float32 and int64 tensors can be written.",
        )
