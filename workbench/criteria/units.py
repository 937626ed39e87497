"""Ranking of whole channels, neurons and heads by all the weights that go with them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.criteria.ranking import Criterion, score_layer
from workbench.groups import Group


def score_units(
    criterion: Criterion, tensors: Mapping[str, Tensor], group: Group, seed: int
) -> Tensor:
    """Score the units of a coupled group.

    Args:
        criterion: How single weights are ranked.
        tensors: State dict of the dense network.
        group: Coupled channels.
        seed: Seed of the plan.

    Returns:
        ``(num_units,)`` in double precision, on the CPU.

    Raises:
        PlanError: If a weight of the group cannot be scored.
    """
    total = torch.zeros(group.num_units, dtype=torch.float64)
    for part in group.slices:
        tensor = tensors[part.parameter]
        if tensor.dim() < 2:
            continue
        scores = score_layer(criterion, tensor, seed, part.parameter).double().cpu()
        along = scores.movedim(part.dim, 0).flatten(1).sum(1)
        units = along[part.indices].sum(1)
        total += units / units.mean().clamp_min(1e-300)
    return total
