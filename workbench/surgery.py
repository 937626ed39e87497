"""What the Optimal Brain Surgeon computes: losses after the best compensation.

Shapes: g groups of a convolution (1 elsewhere), o outputs of a group, k inputs of an output
(kernel included), n units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd

if TYPE_CHECKING:
    from workbench.gathering.reads import Read
    from workbench.groups import Group
    from workbench.scoring import Look

DAMPING = 0.01
"""What is added to the diagonal of a matrix of inputs, as a part of its mean."""
WORTH_DAMPING = 0.5
"""The same for the worth of outputs: what the loss does not hang on today it may after the cut."""
STEPS = 128
"""Rounds in which the units of a group go; in larger groups several go at once."""


@dataclass(eq=False)
class Reader:
    """A layer that reads units, as the surgeon sees it.

    Attributes:
        weight: ``(g, o, k)``, outputs weighed by what the loss makes of them: its squared norm is
            in nats for inputs of second moment 1.
        inverse: Of the inputs' damped covariance, ``(g, k, k)``; ``(g, k)`` where the inputs are
            taken to be independent.
        units: ``(n, per_unit)``, the inputs of each unit.
    """

    weight: Tensor
    inverse: Tensor
    units: Tensor

    def losses(self, which: Tensor) -> Tensor:
        """What is lost if one of these units goes and the rest makes up for it, ``(len(which),)``.

        The squared distance of the weighed outputs: tr(W_u [H^-1]_uu^-1 W_u^T).
        """
        units = self.units[which]
        columns = self.weight[:, :, units].permute(0, 2, 3, 1)
        if self.inverse.dim() == 2:
            return (columns.square() / self.inverse[:, units][..., None]).sum((0, 2, 3))
        blocks = self.inverse[:, units[:, :, None], units[:, None, :]]
        found = torch.linalg.solve_triangular(_cholesky(blocks), columns, upper=False)
        return found.square().sum((0, 2, 3))

    def remove_(self, which: Tensor) -> None:
        """Take units away and adjust the weights of the others."""
        gone = self.units[which].flatten()
        if self.inverse.dim() == 3:
            block = self.inverse[:, gone[:, None], gone[None, :]]
            shift = torch.cholesky_solve(self.inverse[:, gone], _cholesky(block))
            self.weight -= self.weight[:, :, gone] @ shift
            self.inverse -= self.inverse[:, :, gone] @ shift
            self.inverse[:, gone] = 0
            self.inverse[:, :, gone] = 0
        self.weight[:, :, gone] = 0


def weight_losses(look: Look, parameter: str) -> Tensor:
    """Half of G_oo w^2 / [H^-1]_jj for every weight, of its shape, in nats.

    H is the covariance of the layer's inputs, G holds the second moments of the loss's gradients
    by its outputs, both damped.
    """
    weight = look.tensor(parameter)
    look.check()
    slopes = _worth(look, parameter).diagonal()
    inverse = _inverse(look, parameter)
    if inverse.dim() == 3:
        inverse = inverse.diagonal(dim1=-2, dim2=-1)
    matrix = _matrix(look, parameter)
    losses = matrix.square() * slopes.view(len(matrix), -1, 1) / inverse[:, None] / 2
    if _is_transposed(look, parameter):
        return losses.mT.reshape(weight.shape)
    return losses.reshape(weight.shape)


def order_units(look: Look, group: Group) -> Tensor:
    """Take the units of a group out one after the other, ``(num_units,)``.

    Returns:
        For each unit the loss, in nats, when it goes after all that cost less: rising in the order
        in which they go.
    """
    readers = [_reader(look, read) for read in look.reads(group)]
    count = group.num_units
    scores = torch.zeros(count, dtype=torch.float64)
    left, total = torch.arange(count), 0.0
    each = -(-count // STEPS)
    while len(left):
        look.check()
        losses = torch.stack([reader.losses(left) for reader in readers]).sum(0) / 2
        chosen = losses.argsort(stable=True)[: max(1, min(each, len(left) - 1))]
        for place in chosen.tolist():
            total += float(losses[place])
            scores[left[place]] = total
        for reader in readers:
            reader.remove_(left[chosen])
        left = left[~torch.isin(torch.arange(len(left)), chosen)]
    return scores


def _reader(look: Look, read: Read) -> Reader:
    look.check()
    matrix = _matrix(look, read.parameter)
    weighed = _weigh(_worth(look, read.parameter), matrix)
    taps = 1
    if not _is_transposed(look, read.parameter):
        taps = look.tensor(read.parameter)[0, 0].numel()
    units = (read.indices[:, :, None] * taps + torch.arange(taps)).flatten(1)
    return Reader(weighed, _inverse(look, read.parameter), units)


def _weigh(slopes: Tensor, matrix: Tensor) -> Tensor:
    """Outputs in coordinates in which the loss is their squared length, ``(g, o, k)``."""
    groups = len(matrix)
    outputs = len(slopes) // groups
    parts = slopes.view(groups, outputs, groups, outputs)
    own = torch.stack([parts[number, :, number] for number in range(groups)])
    values, vectors = torch.linalg.eigh(own)
    root = values.clamp_min(0).sqrt()[:, :, None] * vectors.mT
    return root @ matrix


def _worth(look: Look, parameter: str) -> Tensor:
    """What the loss makes of a layer's outputs, damped, ``(outputs, outputs)``."""
    slopes = look.about("grams", "slopes", parameter).double()
    level = slopes.diagonal().mean().clamp_min(1e-30)
    return slopes + WORTH_DAMPING * level * torch.eye(len(slopes), dtype=torch.float64)


def _inverse(look: Look, parameter: str) -> Tensor:
    """Of the damped covariance of what a weight is multiplied with.

    The mean does not count: a bias, or the BatchNorm behind, can make up for a constant.
    """
    products = look.about("grams", "inputs", parameter).double()
    means = look.about("grams", "means", parameter).double()
    if products.dim() == 2:
        spread = (products - means.square()).clamp_min(0)
        return 1 / (spread + DAMPING * spread.mean(1, keepdim=True)).clamp_min(1e-30)
    spread = products - means[:, :, None] * means[:, None, :]
    level = spread.diagonal(dim1=-2, dim2=-1).mean(1).clamp_min(1e-30)
    eye = torch.eye(spread.shape[1], dtype=torch.float64)
    return torch.cholesky_inverse(_cholesky(spread + DAMPING * level[:, None, None] * eye))


def _matrix(look: Look, parameter: str) -> Tensor:
    """A weight as ``(g, o, k)`` in double precision on the CPU; a copy."""
    weight = look.tensor(parameter).double().cpu()
    if _is_transposed(look, parameter):  # every output place of a kernel is an output
        return weight.flatten(1).mT[None].clone()
    layer = look.model.module.get_submodule(parameter.rpartition(".")[0])
    groups = getattr(layer, "groups", 1)
    return weight.reshape(groups, len(weight) // groups, -1).clone()


def _is_transposed(look: Look, parameter: str) -> bool:
    layer = look.model.module.get_submodule(parameter.rpartition(".")[0])
    return isinstance(layer, _ConvTransposeNd)


def _cholesky(matrices: Tensor) -> Tensor:
    """Lower factor of symmetric matrices, lifted a little where rounding made them singular."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if not failed.any():
        return factor
    level = matrices.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(1e-30)[..., None, None]
    eye = torch.eye(matrices.shape[-1], dtype=matrices.dtype)
    return torch.linalg.cholesky(matrices + 1e-6 * level * eye)
