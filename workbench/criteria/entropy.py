"""Ranking by the entropy of a unit's activations: the most informative stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import heard

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def entropy_unit_scores(look: Look, group: Group) -> Tensor:
    """Entropy of the histogram of each unit's activations, ``(num_units,)``, in nats.

    Averaged over the layers that read it; from 0 to ln 32.

    Reference:
        Luo and Wu 2017, "An Entropy-based Pruning Method for CNN Compression", section 3.2.
    """
    import torch

    return torch.stack([*heard(look, group, "entropy")]).mean(0)


METHOD = Criterion(
    name="entropy",
    title="Entropy (most informative stay)",
    summary="Prunes the units whose activations vary least: those of lowest entropy.",
    explanation=(
        "A unit that always says the same tells nothing, however loud it is. The activations that "
        "the next layers read are sorted into 32 bins of equal width, between the lowest and the "
        "highest activation of the layer, over 512 unlabelled calibration images and all places "
        "in them. The entropy of this histogram, in nats, says how much there is to learn from "
        "the unit: 0 if it stays in one bin, ln 32 if it uses all alike. Units of low entropy go "
        "first, so the most informative stay. Entropy needs no scaling between groups. What the "
        "information is good for is not asked."
    ),
    formula=r"s_c = -\sum_{b=1}^{32} p_{c,b} \ln p_{c,b}",
    paper='Luo and Wu 2017, "An Entropy-based Pruning Method for CNN Compression", section 3.2',
    needs=("images",),
    gathers="activations",
    strengths="Tells a constant from a signal, which mean activation cannot; no labels.",
    limits=(
        "Ranks whole units only; two units that say the same have the same entropy and both stay. "
        "The bins follow the loudest unit of the layer."
    ),
    units=entropy_unit_scores,
)
