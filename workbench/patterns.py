"""Patterns: masks of single weights, N:M groups, blocks and whole kernels, from scores.

Axis 0 of a weight counts its outputs, axis 1 the inputs of each, and what follows is the kernel:
``(out, in)`` for Linear and recurrent layers, ``(out, in / groups, kh, kw)`` for convolutions
(transposed ones keep the two axes the other way round and are cut as they are stored). A
granularity cuts a weight into *units* that are kept or pruned as one:

``weight``
    Each entry by itself.
``nm:N:M``
    M neighbouring inputs of one output at one place of the kernel, the layout of sparse tensor
    cores (a convolution is read as ``(out, kh, kw, in)``). Each group keeps its N highest scores,
    so a layer is either dense or thinned everywhere. Where the inputs are no multiple of M the
    last group is completed by zeros, as hardware does: of its R entries the highest min(N, R)
    stay. A layer with N inputs or fewer has nothing to thin out.
``block:RxC``
    Rectangles of the matrix ``(out, in * kh * kw)``: R outputs by C neighbouring columns. With
    ``block:RxC:kernel`` the rectangles lie inside each kernel, R x C of its ``(kh, kw)`` places.
    Blocks at the edges are smaller; a block's score is the mean of its weights, so that a small
    one is not favoured.
``subblock:RxC``
    Parts of R x C of each kernel, overlapping or with ``:disjoint`` side by side; see
    ``workbench.subblocks``. What a unit is to other granularities a weight is here.
``kernel``
    All weights between one input channel and one output channel. A kernel of one weight is no
    kernel: Linear layers and 1 x 1 convolutions are not cut at this granularity.

References:
    Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", section 3 (N:M).
    Mao et al. 2017, "Exploring the Granularity of Sparsity in Convolutional Neural Networks".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from workbench.granularity import Granularity
from workbench.plan import num_pruned
from workbench.subblocks import (
    num_pruned_at,
    subblock_mask,
    weight_scores,
    why_not_cut,
)


@dataclass(frozen=True)
class _Grid:
    """A weight seen as ``count`` matrices of ``rows x columns``, each cut into tiles.

    Attributes:
        count: How many matrices; 1 where the whole weight is one.
        rows: Rows of each.
        columns: Columns of each.
        tile_rows: Rows of a tile; the last tiles may be smaller.
        tile_columns: Columns of a tile.
        inputs_last: Whether the inputs are moved behind the kernel before the weight is cut.
    """

    count: int
    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    inputs_last: bool = False

    @property
    def down(self) -> int:
        """Tiles one below the other."""
        return -(-self.rows // self.tile_rows)

    @property
    def across(self) -> int:
        """Tiles side by side."""
        return -(-self.columns // self.tile_columns)

    @property
    def num_tiles(self) -> int:
        """Tiles in all matrices."""
        return self.count * self.down * self.across

    def matrices(self, weight: Tensor) -> Tensor:
        """The weight as ``(count, rows, columns)``."""
        if self.inputs_last:
            weight = weight.movedim(1, -1)
        return weight.reshape(self.count, self.rows, self.columns)

    def weight(self, matrices: Tensor, shape: Sequence[int]) -> Tensor:
        """The reverse of ``matrices``."""
        if not self.inputs_last:
            return matrices.reshape(tuple(shape))
        return matrices.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1).contiguous()

    def tile_sizes(self) -> Tensor:
        """Entries of each tile of one matrix, ``(down, across)``."""
        heights = _tile_lengths(self.rows, self.tile_rows)
        return heights[:, None] * _tile_lengths(self.columns, self.tile_columns)[None, :]

    def tile_means(self, matrices: Tensor) -> Tensor:
        """Mean of each tile, ``(count, down, across)``."""
        if self.tile_rows == self.tile_columns == 1:
            return matrices
        below = self.down * self.tile_rows - self.rows
        beside = self.across * self.tile_columns - self.columns
        padded = torch.nn.functional.pad(matrices, (0, beside, 0, below))
        tiles = padded.view(
            self.count, self.down, self.tile_rows, self.across, self.tile_columns
        )  # fmt: skip
        return tiles.sum((2, 4)) / self.tile_sizes().to(matrices)

    def spread(self, tiles: Tensor) -> Tensor:
        """Give every entry of the matrices the value of its tile, ``(count, down, across)``."""
        tall = tiles.repeat_interleave(self.tile_rows, 1)[:, : self.rows]
        return tall.repeat_interleave(self.tile_columns, 2)[:, :, : self.columns]


def _tile_lengths(total: int, tile: int) -> Tensor:
    starts = torch.arange(0, total, tile)
    return torch.clamp(total - starts, max=tile)


def _grid(shape: Sequence[int], granularity: Granularity) -> _Grid:
    outputs, inputs, kernel = shape[0], shape[1], tuple(shape[2:])
    if granularity.kind in ("weight", "subblock"):
        return _Grid(1, 1, prod(shape), 1, 1)
    if granularity.kind == "nm":
        return _Grid(1, outputs * prod(kernel), inputs, 1, granularity.m, inputs_last=True)
    if granularity.kind == "kernel":
        return _Grid(1, outputs * inputs, prod(kernel), 1, prod(kernel))
    if granularity.kind != "block":
        raise ValueError(f"granularity {granularity.name} is not made of masks")
    rows, columns = granularity.rows, granularity.columns
    if not granularity.inside_kernels:
        return _Grid(1, outputs, prod(shape[1:]), rows, columns)
    height, width = prod(kernel[:-1]), kernel[-1] if kernel else 1
    return _Grid(outputs * inputs, height, width, rows, columns)


def why_not(shape: Sequence[int], granularity: Granularity) -> str:
    """Why a weight cannot be cut at a granularity; empty where it can.

    Args:
        shape: Of the weight, e.g. ``(out, in, kh, kw)``.
        granularity: Any kind but ``channel``.
    """
    kernel = tuple(shape[2:])
    if granularity.kind == "subblock":
        return why_not_cut(shape, granularity)
    if granularity.kind == "nm" and shape[1] <= granularity.n:
        inputs = "1 input" if shape[1] == 1 else f"{shape[1]} inputs"
        return (
            f"Each of its outputs has {inputs}; {granularity.n}:{granularity.m} keeps "
            f"{granularity.n} of every {granularity.m}, so nothing would go."
        )
    inside = granularity.kind == "kernel" or granularity.inside_kernels
    if inside and prod(kernel) == 1:
        size = " x ".join(map(str, kernel))
        return f"Its kernel is {size}: a single weight." if kernel else "It has no kernels."
    if granularity.kind != "nm" and _grid(shape, granularity).num_tiles == 1:
        return f"It is a single {granularity.unit}, and a layer keeps at least one."
    return ""


def num_units(shape: Sequence[int], granularity: Granularity) -> int:
    """How many units a weight is made of; for N:M the groups, the incomplete ones among them.

    Sub-blocks may overlap: the weights are counted.

    Args:
        shape: Of the weight, e.g. ``(out, in, kh, kw)``.
        granularity: Any kind but ``channel``.
    """
    return _grid(shape, granularity).num_tiles


def unit_scores(scores: Tensor, granularity: Granularity) -> Tensor:
    """The mean score of each unit.

    Args:
        scores: Of single weights, of the weight's shape; higher is kept.
        granularity: Any kind but ``channel``.

    Returns:
        ``(num_units,)``, in the order of the matrix of the granularity (see above), by rows; of
        sub-blocks for every weight the score that it goes with.
    """
    if granularity.kind == "subblock":
        return weight_scores(scores, granularity).reshape(-1)
    grid = _grid(scores.shape, granularity)
    return grid.tile_means(grid.matrices(scores)).reshape(-1)


def expand(units: Tensor, shape: Sequence[int], granularity: Granularity) -> Tensor:
    """Give every weight the value of its unit.

    Args:
        units: ``(num_units,)``, such as True for each kept unit.
        shape: Of the weight.
        granularity: Any kind but ``channel``.

    Returns:
        Tensor of the weight's shape.
    """
    grid = _grid(shape, granularity)
    tiles = units.reshape(grid.count, grid.down, grid.across)
    return grid.weight(grid.spread(tiles), shape)


def num_pruned_weights(shape: Sequence[int], granularity: Granularity, sparsity: float) -> int:
    """How many weights go at a sparsity; where edge blocks are smaller, on average.

    Of sub-blocks fewer than their size may go beyond that, see ``workbench.subblocks``.

    Args:
        shape: Of the weight.
        granularity: Any kind but ``channel``.
        sparsity: Fraction of its units (N:M: of its weights) to prune.
    """
    total = prod(shape)
    if granularity.kind == "subblock":
        return num_pruned_at(shape, granularity, sparsity)
    if granularity.kind == "nm":
        return round(nearest_sparsity(shape, granularity, sparsity) * total)
    units = num_units(shape, granularity)
    return num_pruned(sparsity, units) * total // units


def nearest_sparsity(shape: Sequence[int], granularity: Granularity, sparsity: float) -> float:
    """The allowed sparsity that is nearest, as the quotient of two counts.

    A layer at N:M allows 0 and what the pattern leaves out: 1 - N/M where its inputs are a
    multiple of M. Other layers allow any whole number of units but all of them.

    Args:
        shape: Of the weight.
        granularity: Any kind but ``channel``.
        sparsity: Fraction of its units (N:M: of its weights) to prune, 0 <= sparsity < 1.
    """
    if granularity.kind == "subblock":
        return num_pruned_at(shape, granularity, sparsity) / prod(shape)
    if granularity.kind != "nm":
        units = num_units(shape, granularity)
        return num_pruned(sparsity, units) / units
    full, rest = divmod(shape[1], granularity.m)
    gone = full * (granularity.m - granularity.n) + max(0, rest - granularity.n)
    thinned = gone / shape[1]
    return thinned if thinned and sparsity >= thinned / 2 else 0.0


def pattern_mask(scores: Tensor, granularity: Granularity, sparsity: float) -> Tensor:
    """Keep the highest-scoring units of one weight.

    Exactly the nearest allowed number of units goes, the first in position among equals, and
    at least one unit stays. Sub-blocks go until at least the asked number of weights is gone.

    Args:
        scores: Of single weights, of the weight's shape; higher is kept.
        granularity: Any kind but ``channel``.
        sparsity: Fraction of the units (N:M: of the weights) to prune, 0 <= sparsity < 1.

    Returns:
        Boolean mask of the shape of ``scores``; True marks a kept weight.
    """
    if granularity.kind == "subblock":
        return subblock_mask(scores, granularity, sparsity)
    if granularity.kind == "nm":
        if not nearest_sparsity(scores.shape, granularity, sparsity):
            return torch.ones_like(scores, dtype=torch.bool)
        return _nm_mask(scores, granularity)
    count = num_pruned(sparsity, num_units(scores.shape, granularity))
    kept = lowest_pruned(unit_scores(scores, granularity), count)
    return expand(kept, scores.shape, granularity)


def _nm_mask(scores: Tensor, granularity: Granularity) -> Tensor:
    """Keep the N highest of every M neighbouring inputs, the last in position among equals."""
    grid = _grid(scores.shape, granularity)
    matrix = grid.matrices(scores)[0]
    whole = grid.columns // granularity.m * granularity.m
    groups = matrix[:, :whole].reshape(grid.rows, -1, granularity.m)
    parts = [_highest(groups, granularity.n).reshape(grid.rows, whole)]
    parts.append(_highest(matrix[:, whole:], granularity.n))
    return grid.weight(torch.cat(parts, 1)[None], scores.shape)


def _highest(groups: Tensor, count: int) -> Tensor:
    """Mask of the ``count`` highest along the last axis; all of them where it is no longer."""
    drop = max(0, groups.shape[-1] - count)
    order = groups.argsort(dim=-1, stable=True)
    mask = torch.ones_like(groups, dtype=torch.bool)
    return mask.scatter_(-1, order[..., :drop], False)


def lowest_pruned(scores: Tensor, count: int) -> Tensor:
    """Mask that drops the ``count`` lowest scores, the first in position among equals.

    Linear in the number of scores; exact however many of them are equal.

    Args:
        scores: Any shape, finite or infinite but not NaN.
        count: How many to drop, 0 <= count <= scores.numel().

    Returns:
        Boolean mask of the shape of ``scores`` with exactly ``count`` False entries.
    """
    flat = scores.reshape(-1)
    if count == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = flat.kthvalue(count).values
    mask = flat >= threshold
    num_below = len(flat) - int(mask.sum())
    tied = (flat == threshold).nonzero().view(-1)
    mask[tied[: count - num_below]] = False
    return mask.view(scores.shape)


def split_counts(scores: Sequence[Tensor], count: int) -> list[int]:
    """How many of the ``count`` lowest scores of a pool fall to each of its tensors.

    Equal scores go in the order of the tensors, then by position, so that dropping that many of
    each tensor's own lowest scores drops the same entries.
    """
    mask = lowest_pruned(torch.cat([tensor.reshape(-1) for tensor in scores]), count)
    parts = torch.split(mask, [tensor.numel() for tensor in scores])
    return [part.numel() - int(part.sum()) for part in parts]
