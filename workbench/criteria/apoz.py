"""Ranking by how often a unit says something: the average percentage of zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import heard

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def apoz_unit_scores(look: Look, group: Group) -> Tensor:
    """1 less the part of a unit's activations that are zero, ``(num_units,)``, from 0 to 1.

    Averaged over the layers that read it.

    Reference:
        Hu et al. 2016, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient
        Deep Architectures", section 3.1.
    """
    import torch

    return 1 - torch.stack([*heard(look, group, "zeros")]).mean(0)


METHOD = Criterion(
    name="apoz",
    title="APoZ (average percentage of zeros)",
    summary="Prunes the units that are silent most of the time.",
    explanation=(
        "Behind a ReLU many activations are exactly zero. A unit that is zero for nearly every "
        "image and place cannot tell its readers much, so the units with the highest percentage "
        "of zeros go first. The activations are those that the next layers read, on 512 "
        "unlabelled calibration images, at every place. Zero means within one percent of the "
        "layer's root mean square, so that smooth activations, which are small and never quite "
        "zero, can be counted too. Scores are parts of 1 and need no scaling between groups. A "
        "rare signal may still be the one that tells two classes apart."
    ),
    formula=r"s_c = 1 - \frac{1}{N} \sum_{n} \mathbf{1}\left[a_{n,c} = 0\right]",
    paper=(
        'Hu et al. 2016, "Network Trimming: A Data-Driven Neuron Pruning Approach towards '
        'Efficient Deep Architectures", section 3.1'
    ),
    needs=("images",),
    gathers="activations",
    strengths="Finds dead units for certain; no labels, one look at 512 images.",
    limits=(
        "Ranks whole units only. Without ReLU hardly anything is zero and the order says little; a "
        "unit that is always on and never changes is kept although its readers could do without."
    ),
    units=apoz_unit_scores,
)
