"""What several criteria ask about the units of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def unit_slopes(look: Look, group: Group) -> Tensor:
    """Derivative of each image's loss by a factor on each unit, ``(images, num_units)``, in nats.

    The factor stands on everything that the unit says to the layers that read it; at 0 the unit is
    gone. By the chain rule the derivative is the sum of weight times gradient over all places where
    the unit is read.
    """
    total = None
    for read in look.reads(group):
        along = look.about("gradients", f"along/{read.dim}", read.parameter).double()
        part = along[:, read.indices].sum(2)
        total = part if total is None else total + part
    assert total is not None
    return total


def input_squares(look: Look, parameter: str, weight: Tensor) -> Tensor:
    """Mean square of what each weight is multiplied with, to multiply ``weight`` with.

    Args:
        look: Who looks.
        parameter: Name of the weight.
        weight: The weight, for its shape: ``(out, in, ...)``, or of transposed convolutions
            ``(in, out, ...)``.
    """
    from torch.nn.modules.conv import _ConvTransposeNd

    products = look.about("grams", "inputs", parameter).double()
    squares = products.diagonal(dim1=-2, dim2=-1) if products.dim() == 3 else products
    layer = look.model.module.get_submodule(parameter.rpartition(".")[0])
    if isinstance(layer, _ConvTransposeNd):
        return squares.view(-1, *[1] * (weight.dim() - 1))
    return squares.repeat_interleave(len(weight) // len(squares), 0).view_as(weight)


def heard(look: Look, group: Group, what: str) -> Sequence[Tensor]:
    """What is known of the activations of each unit, once for every weight that reads them.

    Args:
        look: Who looks.
        group: Coupled channels.
        what: A name in the evidence of kind ``activations``.

    Returns:
        ``(num_units,)`` each: the mean over the places of a unit, such as the numbers of a head.
    """
    found = []
    for read in look.reads(group):
        values = look.about("activations", what, read.parameter)
        found.append(values[read.of_inputs(len(values))].mean(1))
    return found


def rows_of(look: Look, group: Group) -> Iterator[Tensor]:
    """The weights that make each unit, ``(num_units, weights)``, once for every producing layer."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

    for part in group.slices:
        path, _, own = part.parameter.rpartition(".")
        layer = look.model.module.get_submodule(path)
        out = 1 if isinstance(layer, _ConvTransposeNd) else 0
        recurrent = isinstance(layer, nn.RNNBase) and own.startswith("weight_")
        plain = isinstance(layer, _ConvNd | nn.Linear) and own == "weight"
        if path in group.layers and part.dim == out and (recurrent or plain):
            weight = look.tensor(part.parameter).double().cpu()
            yield weight.movedim(out, 0).flatten(1)[part.indices].flatten(1)
