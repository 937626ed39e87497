"""Sub-blocks: parts of convolution kernels that overlap or lie side by side.

A kernel of ``(kh, kw)`` weights holds overlapping sub-blocks of R x C at each of its
``(kh - R + 1) (kw - C + 1)`` places, or disjoint ones side by side, smaller at the far edges. A
sub-block's score is the mean of its weights' scores. Sub-blocks go from the lowest score upwards,
the first in position among equals; a weight goes with the last sub-block that covers it. So the
kept weights of a layer are always a union of whole sub-blocks.

A sparsity counts the layer's weights. As sub-blocks go as a whole, not every number of weights
can: the smallest that is no less than asked for does, which is fewer than R C weights more. At
least one sub-block of a layer stays.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.granularity import Granularity
from workbench.plan import num_pruned


def why_not_cut(shape: Sequence[int], granularity: Granularity) -> str:
    """Why a weight has no sub-blocks of this size; empty where it has.

    Args:
        shape: Of the weight, ``(out, in / groups, *kernel)``.
        granularity: Of kind ``subblock``.
    """
    kernel = tuple(shape[2:])
    if not kernel:
        return "It has no kernels."
    if prod(kernel) == 1:
        return f"Its kernel is {_by(kernel)}: a single weight."
    if len(kernel) > 2:
        return f"Its kernel is {_by(kernel)}; sub-blocks have rows and columns."
    height, width = _sides(shape)
    rows, columns = granularity.rows, granularity.columns
    if rows > height or columns > width:
        return f"Its kernel is {_by(kernel)}, smaller than a sub-block of {rows} x {columns}."
    if shape[0] * shape[1] * _num_places(shape, granularity) == 1:
        return "It is a single sub-block, and a layer keeps at least one."
    return ""


def most_pruned(shape: Sequence[int], granularity: Granularity) -> int:
    """Weights that may go from a layer: all but those of one whole sub-block."""
    return prod(shape) - granularity.rows * granularity.columns


def num_pruned_at(shape: Sequence[int], granularity: Granularity, sparsity: float) -> int:
    """How many weights a sparsity asks for; fewer than R x C more go, so that sub-blocks go whole.

    Args:
        shape: Of the weight.
        granularity: Of kind ``subblock``.
        sparsity: Fraction of the weights, 0 <= sparsity < 1.
    """
    return min(num_pruned(sparsity, prod(shape)), most_pruned(shape, granularity))


def weight_scores(scores: Tensor, granularity: Granularity) -> Tensor:
    """For every weight the score of the last sub-block that covers it: the order in which they go.

    Args:
        scores: Of single weights, ``(out, in / groups, *kernel)``; higher is kept.
        granularity: Of kind ``subblock``.

    Returns:
        Of the shape and the precision of ``scores``.
    """
    found = _highest_over(_means(scores, granularity), scores.shape, granularity)
    return found.to(scores.dtype)


def subblock_mask(scores: Tensor, granularity: Granularity, sparsity: float) -> Tensor:
    """Keep a union of the highest-scoring sub-blocks of one weight.

    Args:
        scores: Of single weights, ``(out, in / groups, *kernel)``; higher is kept.
        granularity: Of kind ``subblock``.
        sparsity: Fraction of the weights to prune, 0 <= sparsity < 1.

    Returns:
        Boolean mask of the shape of ``scores``; True marks a kept weight.
    """
    count = num_pruned_at(scores.shape, granularity, sparsity)
    if not count:
        return torch.ones_like(scores, dtype=torch.bool)
    means = _means(scores, granularity)
    order = means.flatten().argsort(stable=True)
    ranks = torch.empty_like(means).flatten()
    ranks[order] = torch.arange(len(order), dtype=ranks.dtype, device=ranks.device)
    last = _highest_over(ranks.view_as(means), scores.shape, granularity)
    threshold = float(last.flatten().kthvalue(count).values)
    return last > min(threshold, len(order) - 2)


def _means(scores: Tensor, granularity: Granularity) -> Tensor:
    """Mean score of every sub-block, ``(kernels, 1, down, across)``, in double precision."""
    height, width = _sides(scores.shape)
    kernels = scores.double().reshape(-1, 1, height, width)
    sides = (granularity.rows, granularity.columns)
    if granularity.overlapping:
        return F.avg_pool2d(kernels, sides, stride=1)
    return F.avg_pool2d(kernels, sides, ceil_mode=True, count_include_pad=False)


def _highest_over(values: Tensor, shape: Sequence[int], granularity: Granularity) -> Tensor:
    """The highest value among the sub-blocks that cover each weight, of the weight's shape."""
    rows, columns = granularity.rows, granularity.columns
    height, width = _sides(shape)
    if granularity.overlapping:
        around = (columns - 1, columns - 1, rows - 1, rows - 1)
        spread = F.max_pool2d(F.pad(values, around, value=-torch.inf), (rows, columns), stride=1)
    else:
        tall = values.repeat_interleave(rows, 2)[:, :, :height]
        spread = tall.repeat_interleave(columns, 3)[..., :width]
    return spread.reshape(tuple(shape))


def _num_places(shape: Sequence[int], granularity: Granularity) -> int:
    """Sub-blocks of one kernel."""
    height, width = _sides(shape)
    if granularity.overlapping:
        return (height - granularity.rows + 1) * (width - granularity.columns + 1)
    return -(-height // granularity.rows) * -(-width // granularity.columns)


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a kernel; one row where it has a single axis."""
    return (shape[2] if len(shape) > 3 else 1), shape[-1]


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
