"""Ranking by LAMP scores: magnitude that can be compared between layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def lamp_scores(look: Look, parameter: str) -> Tensor:
    """Square of each weight over the sum of all squares of the layer that are not smaller.

    Of the parameter's shape; the largest weight scores 1.

    Reference:
        Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", section 3.1.
    """
    weight = look.tensor(parameter)
    return _lamp(weight.double().square().flatten()).view_as(weight)


def lamp_unit_scores(look: Look, group: Group) -> Tensor:
    """The same for units, whose magnitude is that of criterion ``l2``, ``(num_units,)``."""
    from workbench.criteria.l2 import METHOD as L2
    from workbench.scoring import score_units

    return _lamp(score_units(L2, look.model, group, look.seed).square())


def _lamp(squares: Tensor) -> Tensor:
    """Each over the sum of itself and all that come after it, in rising order; ties by place."""
    import torch

    values, order = squares.sort(stable=True)
    rest = values.flip(0).cumsum(0).flip(0)
    scores = torch.empty_like(values)
    scores[order] = torch.where(rest > 0, values / rest, torch.zeros_like(values))
    return scores


METHOD = Criterion(
    name="lamp",
    title="LAMP score",
    summary="Prunes by magnitude relative to what would be left of the layer, which makes layers "
    "comparable.",
    explanation=(
        "One small weight matters more in a layer that has only few others. The LAMP score of a "
        "weight is its square divided by the sum of the squares of all weights in the layer that "
        "are at least as large: the part of what is left that would go with it. Within a layer the "
        "order is that of magnitude, and the largest weight scores exactly 1. The point is between "
        "layers: with the global allocation these scores may be ranked in one list, and no layer "
        "is emptied before the others. For channels the same is done with their norms over the "
        "coupled group."
    ),
    formula=r"s_i = \frac{w_i^2}{\sum_{j : |w_j| \ge |w_i|} w_j^2}",
    paper=(
        'Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", section 3.1'
    ),
    strengths="Makes a global ranking by magnitude safe; needs no data.",
    limits="With a given sparsity for each layer it prunes exactly what l2 prunes.",
    weights=lamp_scores,
    units=lamp_unit_scores,
)
