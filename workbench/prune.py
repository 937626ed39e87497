"""Pruning: from a plan to masks, and from masks to a model with zeros."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.criteria import get_criterion, score_layer
from workbench.errors import PlanError
from workbench.layers import Inspection, inspect
from workbench.model import Model
from workbench.patterns import lowest_pruned
from workbench.plan import PruningPlan, num_pruned

Masks = Mapping[str, Tensor]
"""Parameter name to a boolean tensor of its shape; True marks a kept weight."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned model with what made it.

    Attributes:
        model: The model; its masked weights are exactly zero.
        masks: Parameter name to mask, for every layer the plan names.
        plan: What was asked for.
    """

    model: Model
    masks: Masks
    plan: PruningPlan


def prune(model: Model, plan: PruningPlan) -> Pruned:
    """Set the lowest-scoring weights of a copy of the model to zero.

    Raises:
        PlanError: If the plan names an unknown layer, one that cannot be pruned, or a criterion
            that does not exist or cannot rank a layer.
    """
    masks = build_masks(model, plan)
    module = model.copy_module()
    apply_masks_(module, masks)
    return Pruned(model.with_module(module), masks, plan)


def build_masks(
    model: Model, plan: PruningPlan, inspection: Inspection | None = None
) -> dict[str, Tensor]:
    """The masks that a plan asks for; the model stays as it is.

    Args:
        model: The dense model.
        plan: Which layers, how sparse and by which criterion.
        inspection: What ``inspect(model)`` returned, to spare a second look.

    Returns:
        Parameter name to mask, with exactly ``num_pruned(sparsity, numel)`` False entries each.

    Raises:
        PlanError: If the plan names an unknown layer, one that cannot be pruned, or a criterion
            that does not exist or cannot rank a layer.
    """
    inspection = inspection or inspect(model)
    criterion = get_criterion(plan.criterion)
    masks = {}
    for name, sparsity in plan.sparsities.items():
        key = inspection.layer(name).parameter_name
        weight = model.module.get_parameter(key)
        count = num_pruned(sparsity, weight.numel())
        if count in (0, weight.numel()):
            masks[key] = torch.full_like(weight, count == 0, dtype=torch.bool)
        else:
            masks[key] = lowest_pruned(score_layer(criterion, weight, plan.seed, name), count)
    return masks


@torch.no_grad()
def apply_masks_(module: nn.Module, masks: Masks) -> None:
    """Set the masked weights of a module to exactly zero, in place."""
    for key, mask in masks.items():
        weight = module.get_parameter(key)
        weight.masked_fill_(~mask.to(weight.device), 0)


def restore_pruned(model: Model, plan: PruningPlan, module: nn.Module) -> Pruned:
    """Put stored weights of a pruned model together again with their masks.

    Args:
        model: The dense model the plan was applied to; it decides the masks.
        plan: The plan.
        module: The pruned, and perhaps fine-tuned, network.

    Raises:
        PlanError: If a weight that the plan prunes is not zero in ``module``.
    """
    masks = build_masks(model, plan)
    for key, mask in masks.items():
        alive = int((module.get_parameter(key).detach()[~mask] != 0).sum())
        if alive:
            raise PlanError(
                f"{key} has {alive} non-zero weights that the plan prunes.",
                "Prune the dense model again: these weights belong to another plan.",
            )
    return Pruned(model.with_module(module), masks, plan)
