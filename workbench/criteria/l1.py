"""Ranking by the absolute value of a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.scoring import Look


def l1_scores(look: Look, parameter: str) -> Tensor:
    """Absolute value of each weight.

    Reference:
        Han et al. 2015, "Learning both Weights and Connections", section 3.
    """
    return look.tensor(parameter).abs()


METHOD = Criterion(
    name="l1",
    title="Magnitude (L1)",
    summary="Prunes the weights of smallest absolute value first.",
    explanation=(
        "A weight close to zero changes little when it becomes zero, so the smallest ones go "
        "first. For a whole channel the absolute values of everything that would go with it are "
        "added up, layer by layer, and each layer's sum is divided by the layer's mean so that "
        "large layers do not drown small ones. It looks at nothing but the weights, takes no time, "
        "and is surprisingly hard to beat once the network is repaired or fine-tuned. Begin with "
        "it, and measure every other criterion against it."
    ),
    formula=r"s_i = |w_i|",
    paper=(
        'Han et al. 2015, "Learning both Weights and Connections", section 3; channels: Li et al. '
        '2017, "Pruning Filters for Efficient ConvNets", section 3.1'
    ),
    strengths="Needs no data and no time; a strong baseline for single weights.",
    limits=(
        "Blind to what a weight is multiplied with: a small weight on a strong input may matter "
        "more than a large one on a weak input."
    ),
    weights=l1_scores,
)
