"""Ways to write one weight tensor as bytes, each with its reader and its size by arithmetic.

Shapes: weights are ``(out, in, *kernel)``. What a reader needs besides the bytes, the shape and the
layout's own settings, stands in the header of any real file and is not counted here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
Shape = Sequence[int]
VALUE_BYTES = 4
INDEX_BYTES = 4


@dataclass(frozen=True)
class Cost:
    """Bytes of one tensor as a straight line over its density.

    Attributes:
        fixed: Bytes that are there whatever is kept.
        full: Bytes on top where everything is kept; half of them where half is kept.
    """

    fixed: float
    full: float


class Layout(ABC):
    """One way to write a float32 weight tensor of two or more dimensions."""

    @property
    def lossless(self) -> bool:
        """Whether every float32 comes back as it was."""
        return True

    @abstractmethod
    def encode(self, weight: Tensor) -> bytes:
        """The tensor's bytes."""

    @abstractmethod
    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """The tensor that ``encode`` wrote."""

    @abstractmethod
    def num_bytes(self, weight: Tensor) -> int:
        """Length of ``encode(weight)`` by arithmetic."""

    @abstractmethod
    def cost(self, shape: Shape) -> Cost:
        """How the size of a tensor of that shape goes with its density."""

    def fits(self, weight: Tensor) -> bool:  # noqa: ARG002  some look at it
        """Whether the tensor can be written this way without losing a weight."""
        return True


@dataclass(frozen=True)
class Dense(Layout):
    """Every value, zero or not, in ``bits`` bits."""

    bits: int = 32

    @property
    def lossless(self) -> bool:
        """Only with all 32 bits."""
        return self.bits == 32

    def encode(self, weight: Tensor) -> bytes:
        """The values in order."""
        return array_of(weight).astype(f"<f{self.bits // 8}").tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """The values as float32."""
        values = np.frombuffer(content, f"<f{self.bits // 8}").astype(np.float32)
        return torch.from_numpy(values.reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """A value's bytes for each."""
        return weight.numel() * self.bits // 8

    def cost(self, shape: Shape) -> Cost:
        """The same at every density."""
        return Cost(prod(shape) * self.bits / 8, 0)


@dataclass(frozen=True)
class Int8(Layout):
    """One signed byte a weight and one float32 scale an output channel, symmetric."""

    @property
    def lossless(self) -> bool:
        """It rounds."""
        return False

    def encode(self, weight: Tensor) -> bytes:
        """Scales, then rounded weights; the largest of a channel becomes 127."""
        rows = array_of(weight).reshape(len(weight), -1)
        scales = np.abs(rows).max(axis=1, initial=0).astype("<f4") / np.float32(127)
        divisors = np.where(scales > 0, scales, np.float32(1))
        return scales.tobytes() + np.rint(rows / divisors[:, None]).astype(np.int8).tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """The weights to within half a scale."""
        scales = np.frombuffer(content, "<f4", shape[0])
        values = np.frombuffer(content, np.int8, offset=VALUE_BYTES * shape[0])
        rows = values.reshape(shape[0], -1).astype(np.float32) * scales[:, None]
        return torch.from_numpy(rows.reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """A byte a weight and a scale an output channel."""
        return weight.numel() + VALUE_BYTES * len(weight)

    def cost(self, shape: Shape) -> Cost:
        """The same at every density."""
        return Cost(prod(shape) + VALUE_BYTES * shape[0], 0)


@dataclass(frozen=True)
class Bitmask(Layout):
    """One bit for every place and the values that are not zero."""

    def encode(self, weight: Tensor) -> bytes:
        """The bits, eight a byte, then the values."""
        flat = array_of(weight).reshape(-1)
        return np.packbits(flat != 0).tobytes() + flat[flat != 0].tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """Values where a bit is set, zeros elsewhere."""
        count = prod(shape)
        num_mask = ceil(count / 8)
        bits = np.unpackbits(np.frombuffer(content, np.uint8, num_mask), count=count)
        flat = np.zeros(count, np.float32)
        flat[bits.astype(bool)] = np.frombuffer(content, "<f4", offset=num_mask)
        return torch.from_numpy(flat.reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """A bit a place, four bytes a kept value."""
        return ceil(weight.numel() / 8) + VALUE_BYTES * num_nonzero(weight)

    def cost(self, shape: Shape) -> Cost:
        """Breaks even where one value in 32 is zero."""
        return Cost(ceil(prod(shape) / 8), VALUE_BYTES * prod(shape))


@dataclass(frozen=True)
class Csr(Layout):
    """Compressed sparse rows of the matrix (out, in * kernel): pointers, columns, values.

    Attributes:
        narrow: Use the fewest whole bytes (1, 2 or 4) that columns and pointers of the shape need;
            otherwise 32 bits, which sparse libraries expect.
    """

    narrow: bool = False

    def encode(self, weight: Tensor) -> bytes:
        """Row pointers, column indices, values."""
        matrix = array_of(weight).reshape(len(weight), -1)
        pointers = np.concatenate([[0], np.cumsum((matrix != 0).sum(axis=1))])
        columns = np.nonzero(matrix)[1]
        wide_pointer, wide_column = self._widths(weight.shape)
        return (
            pointers.astype(f"<u{wide_pointer}").tobytes()
            + columns.astype(f"<u{wide_column}").tobytes()
            + matrix[matrix != 0].tobytes()
        )

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """Each row's values in their columns."""
        wide_pointer, wide_column = self._widths(shape)
        pointers = np.frombuffer(content, f"<u{wide_pointer}", shape[0] + 1).astype(np.int64)
        start, count = wide_pointer * len(pointers), int(pointers[-1])
        columns = np.frombuffer(content, f"<u{wide_column}", count, start)
        values = np.frombuffer(content, "<f4", count, start + wide_column * count)
        matrix = np.zeros((shape[0], prod(shape[1:])), np.float32)
        matrix[np.repeat(np.arange(shape[0]), np.diff(pointers)), columns] = values
        return torch.from_numpy(matrix.reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """A pointer a row and one more, a column and a value for each kept weight."""
        wide_pointer, wide_column = self._widths(weight.shape)
        kept = num_nonzero(weight)
        return wide_pointer * (len(weight) + 1) + (wide_column + VALUE_BYTES) * kept

    def cost(self, shape: Shape) -> Cost:
        """With 32-bit indices it breaks even at about half the weights."""
        wide_pointer, wide_column = self._widths(shape)
        return Cost(wide_pointer * (shape[0] + 1), (wide_column + VALUE_BYTES) * prod(shape))

    def _widths(self, shape: Shape) -> tuple[int, int]:
        if not self.narrow:
            return INDEX_BYTES, INDEX_BYTES
        return _width(prod(shape)), _width(prod(shape[1:]) - 1)


@dataclass(frozen=True)
class Coo(Layout):
    """Row, column and value of every kept weight of the matrix (out, in * kernel), 32 bits each."""

    def encode(self, weight: Tensor) -> bytes:
        """Rows, columns, values."""
        matrix = array_of(weight).reshape(len(weight), -1)
        rows, columns = np.nonzero(matrix)
        indices = rows.astype("<u4").tobytes() + columns.astype("<u4").tobytes()
        return indices + matrix[rows, columns].tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """Each value in its place."""
        count = len(content) // (2 * INDEX_BYTES + VALUE_BYTES)
        rows, columns = np.frombuffer(content, "<u4", 2 * count).reshape(2, count)
        matrix = np.zeros((shape[0], prod(shape[1:])), np.float32)
        matrix[rows, columns] = np.frombuffer(content, "<f4", offset=2 * INDEX_BYTES * count)
        return torch.from_numpy(matrix.reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """Twelve bytes a kept weight."""
        return (2 * INDEX_BYTES + VALUE_BYTES) * num_nonzero(weight)

    def cost(self, shape: Shape) -> Cost:
        """Breaks even where two weights of three are zero."""
        return Cost(0, (2 * INDEX_BYTES + VALUE_BYTES) * prod(shape))


@dataclass(frozen=True)
class NmPacked(Layout):
    """Of every ``m`` weights along the inputs ``n`` values and where each stands.

    A place takes ``ceil(log2 m)`` bits: two for 2:4. The inputs of one output and one kernel
    position are taken together, with zeros behind the last so that they fill whole groups.

    Attributes:
        n: Values kept of a group.
        m: Weights of a group.

    Reference:
        Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", section 2.
    """

    n: int
    m: int

    @property
    def bits(self) -> int:
        """Bits that tell a value's place in its group."""
        return (self.m - 1).bit_length()

    def fits(self, weight: Tensor) -> bool:
        """Whether no group holds more than ``n`` weights; with few inputs that means nothing."""
        return weight.shape[1] > self.n and bool(
            ((self._groups(weight) != 0).sum(axis=1) <= self.n).all()
        )

    def encode(self, weight: Tensor) -> bytes:
        """Values group by group, then their places, packed."""
        groups = self._groups(weight)
        first = np.argsort(groups == 0, axis=1, kind="stable")[:, : self.n]
        places = np.sort(first, axis=1)
        values = np.take_along_axis(groups, places, axis=1)
        bits = (places.reshape(-1, 1) >> np.arange(self.bits)) & 1
        return values.tobytes() + np.packbits(bits.astype(np.uint8)).tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """Each group's values in their places."""
        outputs, inputs, rest = _inputs_last(shape)
        num_groups = outputs * rest * ceil(inputs / self.m)
        kept = num_groups * self.n
        values = np.frombuffer(content, "<f4", kept).reshape(num_groups, self.n)
        packed = np.frombuffer(content, np.uint8, offset=VALUE_BYTES * kept)
        bits = np.unpackbits(packed, count=kept * self.bits).reshape(-1, self.bits)
        places = (bits.astype(np.int64) << np.arange(self.bits)).sum(axis=1)
        groups = np.zeros((num_groups, self.m), np.float32)
        np.put_along_axis(groups, places.reshape(num_groups, self.n), values, axis=1)
        lines = groups.reshape(outputs, rest, -1)[:, :, :inputs]
        return torch.from_numpy(np.ascontiguousarray(lines.transpose(0, 2, 1)).reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """The same whatever the values are."""
        kept = self._num_groups(weight.shape) * self.n
        return VALUE_BYTES * kept + ceil(kept * self.bits / 8)

    def cost(self, shape: Shape) -> Cost:
        """Straight in n / m: it breaks even where ``bits`` of ``32 + bits`` are zero."""
        places = self._num_groups(shape) * self.m
        return Cost(0, places * (VALUE_BYTES + self.bits / 8))

    def _num_groups(self, shape: Shape) -> int:
        outputs, inputs, rest = _inputs_last(shape)
        return outputs * rest * ceil(inputs / self.m)

    def _groups(self, weight: Tensor) -> Array:
        """All groups, (num_groups, m)."""
        outputs, inputs, rest = _inputs_last(weight.shape)
        lines = array_of(weight).reshape(outputs, inputs, rest).transpose(0, 2, 1)
        filled = np.pad(lines, ((0, 0), (0, 0), (0, -inputs % self.m)))
        return filled.reshape(-1, self.m)


def _inputs_last(shape: Shape) -> tuple[int, int, int]:
    """Outputs, inputs, kernel positions."""
    return shape[0], shape[1], prod(shape[2:])


def array_of(weight: Tensor) -> Array:
    """The weight's values, little-endian float32."""
    return weight.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4", copy=False)


def num_nonzero(weight: Tensor) -> int:
    """How many entries of a tensor are not zero."""
    return int(np.count_nonzero(array_of(weight)))


def _width(largest: int) -> int:
    """Bytes of the narrowest unsigned integer that holds a number."""
    return next(width for width in (1, 2, 4) if largest < 256**width)
