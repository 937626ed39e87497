"""Ranking of whole channels, neurons and heads by all the weights that go with them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.criteria.ranking import Criterion, layer_generator, score_layer
from workbench.groups import Group


def score_units(
    criterion: Criterion, tensors: Mapping[str, Tensor], group: Group, seed: int
) -> Tensor:
    """Score the units of a coupled group.

    A unit is judged by everything that would go with it: its rows in the layers of the group and
    its columns in those that read from them. Each of these contributes the norm of the unit's
    weights, divided by the mean norm of all units there, so that large layers do not drown small
    ones; the score is the average. Its mean over the group is therefore 1, and the scores of
    different groups can be ranked together. Biases and normalisations do not count.

    Args:
        criterion: How single weights are ranked.
        tensors: State dict of the dense network.
        group: Coupled channels.
        seed: Seed of the plan.

    Returns:
        ``(num_units,)`` in double precision, on the CPU; higher is kept.

    Raises:
        PlanError: If a weight of the group cannot be scored.

    References:
        Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1 (norms of filters).
        Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.3 (norms over a
        group, normalised by their mean).
    """
    if not criterion.weighs:
        return torch.rand(
            group.num_units, generator=layer_generator(seed, group.name), dtype=torch.float64
        )
    norms = [*_member_norms(criterion, tensors, group, seed)]
    if not norms:
        return torch.ones(group.num_units, dtype=torch.float64)
    means = [norm.mean() for norm in norms]
    shares = [norm / mean if mean else norm for norm, mean in zip(norms, means, strict=True)]
    return torch.stack(shares).mean(0)


def _member_norms(
    criterion: Criterion, tensors: Mapping[str, Tensor], group: Group, seed: int
) -> list[Tensor]:
    """The norm of each unit, ``(num_units,)``, in every weight that it has a part of."""
    members = tuple(f"{path}." for path in (*group.layers, *group.consumers))
    norms = []
    for part in group.slices:
        weight = tensors[part.parameter]
        if weight.dim() < 2 or not part.parameter.startswith(members):
            continue
        scores = score_layer(criterion, weight, seed, part.parameter).double().cpu()
        along = scores.movedim(part.dim, 0).flatten(1).sum(1)
        summed = along[part.indices].sum(1)
        norms.append(summed.sqrt() if criterion.squares else summed)
    return norms
