"""Cutting: tensors without the removed units of coupled channels, or with zeros in their place."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.model import Model
from workbench.thin import thin_

if TYPE_CHECKING:
    from workbench.groups import Group

TOLERANCE = 1e-4


def try_cutting(model: Model, groups: Sequence["Group"]) -> str:
    """What goes wrong when units of the groups are removed; empty if nothing.

    Tried on different images with every other unit gone, the first half, and a random half: a
    reshape or shuffle of the network may by chance agree with one of them.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = {group.name: torch.randperm(group.num_units, generator=generator) for group in groups}
    for images, removed in (
        (torch.rand, {group.name: torch.arange(1, group.num_units, 2) for group in groups}),
        (torch.randn, {group.name: torch.arange(group.num_units // 2) for group in groups}),
        (torch.rand, {name: order[: len(order) // 2] for name, order in drawn.items()}),
    ):
        found = _try(model, groups, removed, images(2, *model.input_shape, generator=generator))
        if found:
            return found
    return ""


def _try(
    model: Model, groups: Sequence["Group"], removed: Mapping[str, Tensor], images: Tensor
) -> str:  # fmt: skip
    """What goes wrong when these units are removed; empty if nothing."""
    dense = model.module.state_dict()
    thin, zeroed = model.copy_module().eval(), model.copy_module().eval()
    try:
        thin_(thin, cut_tensors(dense, groups, removed))
        zeroed.load_state_dict(zeroed_tensors(dense, groups, removed))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = images.to(next(zeroed.parameters()).dtype)
            before, after = zeroed(images), thin(images)
    except Exception as error:  # the network's own forward may raise anything
        return f"the network then fails ({str(error).splitlines()[0][:100]})"
    if before.shape != after.shape:
        return "it changes the number of class scores"
    if not before.isfinite().all():
        return "the class scores are not finite"
    scale = float(before.abs().max()) + 1e-6
    if not torch.allclose(before, after, rtol=0, atol=TOLERANCE * scale):
        return "the other channels then give other numbers"
    return ""


def cut_tensors(
    tensors: Mapping[str, Tensor], groups: Sequence["Group"], removed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A state dict without the removed units.

    Args:
        tensors: State dict of the dense network.
        groups: Coupled channels.
        removed: Group name to the numbers of its removed units.
    """
    gone: dict[str, dict[int, list[Tensor]]] = {}
    for group in groups:
        for part in group.slices:
            places = part.indices[removed[group.name]].flatten()
            gone.setdefault(part.parameter, {}).setdefault(part.dim, []).append(places)
    cut = dict(tensors)
    for name, dims in gone.items():
        for dim, lists in dims.items():
            kept = torch.ones(cut[name].shape[dim], dtype=torch.bool)
            kept[torch.cat(lists)] = False
            cut[name] = cut[name].index_select(dim, kept.nonzero().view(-1).to(cut[name].device))
    return cut


def zeroed_tensors(
    tensors: Mapping[str, Tensor], groups: Sequence["Group"], removed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A state dict of the same shapes in which all that goes with the removed units is zero."""
    zeroed = dict(tensors)
    for name, mask in unit_masks(tensors, groups, removed).items():
        zeroed[name] = tensors[name].masked_fill(~mask.to(tensors[name].device), 0)
    return zeroed


def unit_masks(
    tensors: Mapping[str, Tensor], groups: Sequence["Group"], removed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Masks, True = kept, of every tensor that loses something with the removed units."""
    masks: dict[str, Tensor] = {}
    for group in groups:
        for part in group.slices:
            shape = tensors[part.parameter].shape
            mask = masks.setdefault(part.parameter, torch.ones(shape, dtype=torch.bool))
            mask.index_fill_(part.dim, part.indices[removed[group.name]].flatten(), False)
    return masks
