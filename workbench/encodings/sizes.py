"""What a network takes in each encoding, beside the dense one."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import safetensors.torch
import torch
import zstandard
from torch import Tensor

from workbench.encodings.catalogue import Encoding, encodings_for
from workbench.encodings.layouts import Cost, Layout, Shape, num_nonzero
from workbench.granularity import Granularity

Tensors = Mapping[str, Tensor]
GZIP_LEVEL, ZSTD_LEVEL = 6, 3
_PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, GZIP_LEVEL, mtime=0),
    "zstd": lambda content: zstandard.compress(content, ZSTD_LEVEL),
}


@dataclass(frozen=True)
class EncodedSize:
    """A whole network in one encoding.

    Attributes:
        name: Of the encoding.
        num_bytes: Of everything in the network's state, what is not weights stored densely.
        break_even: Sparsity from which the encoding is smaller than 32-bit dense weights, where
            all pruned tensors have the same; 0 where it always is, None where it never is.
        applies: Whether the weights have what the encoding lives on: N:M groups that hold, blocks,
            removed channels.
    """

    name: str
    num_bytes: int
    break_even: float | None
    applies: bool = True


@dataclass(frozen=True)
class EncodedSizes:
    """A pruned network in all encodings.

    Attributes:
        granularity: Name of the plan's granularity.
        sizes: One entry an encoding, in the order of a table; the first is the dense network.
        sparsity: Zeros among the weights of the pruned network: its tensors of two or more
            dimensions.
        removed: Fraction of the dense network's numbers that are no longer there at all.
        file_bytes: The weights file (safetensors) as written to disk.
        dense_file_bytes: That of the dense network.
        dense_zipped_bytes: The dense network's file in the better of gzip and zstd.
    """

    granularity: str
    sizes: tuple[EncodedSize, ...]
    sparsity: float
    removed: float
    file_bytes: int
    dense_file_bytes: int
    dense_zipped_bytes: int

    @cached_property
    def by_name(self) -> Mapping[str, EncodedSize]:
        """The sizes by the name of the encoding."""
        return {size.name: size for size in self.sizes}

    @property
    def dense_bytes(self) -> int:
        """The dense network, 32 bits a number."""
        return self.sizes[0].num_bytes

    @property
    def zipped_bytes(self) -> int:
        """The file in the better of gzip and zstd."""
        return min(self.by_name[name].num_bytes for name in _PACKERS)

    def to_dict(self) -> dict[str, object]:
        """Plain values; the sizes by name."""
        sizes = {size.name: asdict(size) | {"bytes": size.num_bytes} for size in self.sizes}
        for size in sizes.values():
            del size["name"], size["num_bytes"]
        return {
            "granularity": self.granularity, "sparsity": self.sparsity, "removed": self.removed,
            "file_bytes": self.file_bytes, "dense_file_bytes": self.dense_file_bytes,
            "dense_zipped_bytes": self.dense_zipped_bytes, "encodings": sizes,
        }  # fmt: skip


def measure_encodings(dense: Tensors, tensors: Tensors, granularity: Granularity) -> EncodedSizes:
    """What a pruned network takes in each encoding, and its file on disk.

    A weight tensor without a zero stays dense in every encoding that leaves out zeros; one that
    has some is encoded even where that makes it larger. Normalisation, biases and counters are
    stored as they are; in 16 and 8 bits they take 16 bits.

    Args:
        dense: State of the dense network.
        tensors: State of the pruned network: zeros among the same shapes, or smaller shapes.
        granularity: Of the plan.
    """
    dense_bytes, own_bytes = _num_bytes(dense.values()), _num_bytes(tensors.values())
    thinner = own_bytes < dense_bytes
    content, dense_content = _file(tensors), _file(dense)
    dense_packed = {name: len(pack(dense_content)) for name, pack in _PACKERS.items()}
    sizes = []
    for name, encoding in encodings_for(granularity).items():
        if name == "fp32":
            size = EncodedSize(name, dense_bytes, 0.0)
        elif name == "removed":
            size = EncodedSize(name, own_bytes, 0.0, thinner)
        elif name in _PACKERS:
            # There is no closed form, but where the dense file shrinks every other does, too.
            always = dense_packed[name] < len(dense_content)
            packed = len(_PACKERS[name](content))
            size = EncodedSize(name, packed, 0.0 if always else None)
        else:
            size = _encoded(encoding, tensors)
        sizes.append(size)
    weights = [tensor for tensor in tensors.values() if _is_weight(tensor)]
    count = sum(weight.numel() for weight in weights)
    zeros = count - sum(num_nonzero(weight) for weight in weights)
    return EncodedSizes(
        granularity.name, tuple(sizes), zeros / max(1, count),
        1 - _num_numbers(tensors.values()) / max(1, _num_numbers(dense.values())),
        on_disk(content), on_disk(dense_content), min(dense_packed.values()),
    )  # fmt: skip


def on_disk(content: bytes) -> int:
    """Bytes of a file with that content, written and looked at."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(content)
        return path.stat().st_size


def break_even(layout: Layout, shapes: Iterable[Shape]) -> float | None:
    """Sparsity from which a layout is smaller than 32-bit dense weights; None if never.

    The size of every layout is a straight line over the density, so this is a closed form: where
    the sum of the lines over all tensors meets four bytes a weight.

    Args:
        layout: How tensors are written.
        shapes: Of the tensors, all with the same sparsity.
    """
    costs: list[Cost] = []
    dense = 0
    for shape in shapes:
        costs.append(layout.cost(shape))
        dense += 4 * torch.Size(shape).numel()
    fixed, full = sum(cost.fixed for cost in costs), sum(cost.full for cost in costs)
    if fixed >= dense:
        return None
    return max(0.0, 1 - (dense - fixed) / full) if full else 0.0


def _encoded(encoding: Encoding, tensors: Tensors) -> EncodedSize:
    layout = encoding.layout
    assert layout is not None
    total, used = 0, []
    for tensor in tensors.values():
        if not _is_weight(tensor):
            total += _rest_bytes(tensor, narrow=not layout.lossless)
        elif layout.lossless and (num_nonzero(tensor) == tensor.numel() or not layout.fits(tensor)):
            total += 4 * tensor.numel()
        else:
            total += layout.num_bytes(tensor)
            used.append(tensor.shape)
    shapes = used or [tensor.shape for tensor in tensors.values() if _is_weight(tensor)]
    return EncodedSize(encoding.name, total, break_even(layout, shapes), bool(used))


def _file(tensors: Tensors) -> bytes:
    """The weights file, as an export writes it but for the record of what it is."""
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    content: bytes = safetensors.torch.save(own, {"format": "pt"})
    return content


def _is_weight(tensor: Tensor) -> bool:
    return tensor.ndim >= 2 and tensor.is_floating_point()


def _rest_bytes(tensor: Tensor, *, narrow: bool) -> int:
    width = 2 if narrow and tensor.is_floating_point() else _width(tensor)
    return tensor.numel() * width


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * _width(tensor) for tensor in tensors)


def _num_numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _width(tensor: Tensor) -> int:
    """Bytes of one entry, floating-point numbers as 32 bits."""
    return 4 if tensor.is_floating_point() else tensor.element_size()
