"""The block layout: whole rectangles of weights, kept or left out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import torch
from torch import Tensor

from workbench.encodings.layouts import (
    INDEX_BYTES,
    VALUE_BYTES,
    Array,
    Cost,
    Layout,
    Shape,
    array_of,
)


@dataclass(frozen=True)
class Blocks(Layout):
    """Block sparse rows: whole blocks with one 32-bit column each, and a pointer a row of blocks.

    Blocks lie in the matrix (out, in * kernel) as in ``workbench.patterns``. One with a single
    weight in it is stored whole; those at the edges are filled up with zeros.

    Attributes:
        rows: Rows of a block; 0 makes every kernel a block of its own.
        columns: Columns of a block.
        inside_kernels: Cut each kernel by itself, so that no block spans two of them.
    """

    rows: int = 0
    columns: int = 0
    inside_kernels: bool = False

    def encode(self, weight: Tensor) -> bytes:
        """Pointers, block columns, the kept blocks."""
        blocks = self._blocks(weight)
        kept = (blocks != 0).any(axis=2)
        pointers = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype("<u4")
        columns = np.nonzero(kept)[1].astype("<u4")
        return pointers.tobytes() + columns.tobytes() + blocks[kept].tobytes()

    def decode(self, content: bytes, shape: Shape) -> Tensor:
        """Each block in its place."""
        cut = self._cut(shape)
        pointers = np.frombuffer(content, "<u4", cut.down + 1).astype(np.int64)
        count = int(pointers[-1])
        columns = np.frombuffer(content, "<u4", count, INDEX_BYTES * len(pointers))
        values = np.frombuffer(content, "<f4", offset=INDEX_BYTES * (len(pointers) + count))
        blocks = np.zeros((cut.down, cut.across, cut.size), np.float32)
        where = np.repeat(np.arange(cut.down), np.diff(pointers))
        blocks[where, columns] = values.reshape(count, cut.size)
        return torch.from_numpy(cut.join(blocks).reshape(shape))

    def num_bytes(self, weight: Tensor) -> int:
        """A pointer a row of blocks and one more; index and values for each kept block."""
        kept = int((self._blocks(weight) != 0).any(axis=2).sum())
        cut = self._cut(weight.shape)
        return INDEX_BYTES * (cut.down + 1) + (INDEX_BYTES + VALUE_BYTES * cut.size) * kept

    def cost(self, shape: Shape) -> Cost:
        """Straight in the fraction of blocks that are kept."""
        cut = self._cut(shape)
        full = (INDEX_BYTES + VALUE_BYTES * cut.size) * cut.down * cut.across
        return Cost(INDEX_BYTES * (cut.down + 1), full)

    def _blocks(self, weight: Tensor) -> Array:
        return self._cut(weight.shape).split(array_of(weight))

    def _cut(self, shape: Shape) -> _Cut:
        """How a weight of that shape is cut."""
        if self.rows and not self.inside_kernels:
            return _Cut(1, shape[0], prod(shape[1:]), self.rows, self.columns)
        kernel = tuple(shape[2:])
        height, width = prod(kernel[:-1]), kernel[-1] if kernel else 1
        rows, columns = (self.rows, self.columns) if self.rows else (height, width)
        return _Cut(shape[0] * shape[1], height, width, rows, columns, outputs=shape[0])


@dataclass(frozen=True)
class _Cut:
    """``count`` matrices of ``height x width``, each cut into tiles of ``rows x columns``."""

    count: int
    height: int
    width: int
    rows: int
    columns: int
    outputs: int = 0

    @property
    def size(self) -> int:
        """Values of a block."""
        return self.rows * self.columns

    @property
    def down(self) -> int:
        """Rows of blocks: of the one matrix, or one for each output."""
        return self.outputs or ceil(self.height / self.rows)

    @property
    def across(self) -> int:
        """Blocks in a row of them."""
        return self._num_blocks // max(1, self.down)

    @property
    def _tiles(self) -> tuple[int, int]:
        return ceil(self.height / self.rows), ceil(self.width / self.columns)

    @property
    def _num_blocks(self) -> int:
        return self.count * prod(self._tiles)

    def split(self, values: Array) -> Array:
        """The weight as blocks, (down, across, size)."""
        matrices = values.reshape(self.count, self.height, self.width)
        edges = ((0, 0), (0, -self.height % self.rows), (0, -self.width % self.columns))
        down, across = self._tiles
        tiles = np.pad(matrices, edges).reshape(self.count, down, self.rows, across, self.columns)
        return tiles.transpose(0, 1, 3, 2, 4).reshape(self.down, self.across, self.size)

    def join(self, blocks: Array) -> Array:
        """The reverse of ``split``, (count, height, width)."""
        down, across = self._tiles
        tiles = blocks.reshape(self.count, down, across, self.rows, self.columns)
        whole = tiles.transpose(0, 1, 3, 2, 4)
        matrices = whole.reshape(self.count, down * self.rows, across * self.columns)
        return np.ascontiguousarray(matrices[:, : self.height, : self.width])
