"""Ranking by how loud a unit is on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import heard

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def mean_activation_unit_scores(look: Look, group: Group) -> Tensor:
    """Mean absolute activation of each unit relative to the group's mean, ``(num_units,)``.

    Averaged over the layers that read it; 1 is average.

    Reference:
        Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient
        Inference", section 2.2 (mean activation).
    """
    import torch

    return torch.stack([mean / (mean.mean() or 1) for mean in heard(look, group, "mean")]).mean(0)


METHOD = Criterion(
    name="mean_activation",
    title="Mean activation",
    summary="Prunes the units whose activations are smallest on average.",
    explanation=(
        "If what a unit says is small for nearly every image, taking it away changes little for "
        "those who listen. The absolute activations that the next layers read are averaged over "
        "512 unlabelled calibration images and all places in them, and the units with the "
        "smallest mean go first. Each layer's means are divided by their own average, so that 1 "
        "is an average unit and groups can be compared. It is the simplest of the criteria that "
        "look at activations. How strongly the next layer weighs the unit does not count, and a "
        "constant, which a bias could replace, counts as much as a signal."
    ),
    formula=r"s_c = \frac{1}{N} \sum_{n} |a_{n,c}|",
    paper=(
        'Molchanov et al. 2017, "Pruning Convolutional Neural Networks for Resource Efficient '
        'Inference", section 2.2'
    ),
    needs=("images",),
    gathers="activations",
    strengths="Simple, needs no labels, works behind any activation.",
    limits="Ranks whole units only; blind to what the readers make of a unit, and to constants.",
    units=mean_activation_unit_scores,
)
