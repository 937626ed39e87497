"""Ranking by weight times gradient: the loss to first order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import unit_slopes

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look

BATCH = 32


def taylor_scores(look: Look, parameter: str) -> Tensor:
    """|w g| with the absolute gradient averaged over batches, of the parameter's shape.

    Reference:
        Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity",
        section 4.1.
    """
    return look.tensor(parameter).abs() * look.about("gradients", "size", parameter)


def taylor_unit_scores(look: Look, group: Group) -> Tensor:
    """Root mean square over batches of the unit's sum of w g, ``(num_units,)``, in nats.

    The sum runs over the weights that read the unit; it is the derivative of the loss by a factor
    on everything that the unit says.

    Reference:
        Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", section 3.1.
    """
    import torch

    batches = [part.mean(0) for part in unit_slopes(look, group).split(BATCH)]
    return torch.stack(batches).square().mean(0).sqrt()


METHOD = Criterion(
    name="taylor",
    title="Taylor, SNIP (weight x gradient)",
    summary="Prunes what changes the loss least to first order: the smallest weight x gradient.",
    explanation=(
        "Setting a weight to zero moves it by its whole value. To first order the loss then "
        "changes by the weight times its gradient, so the smallest products go first. Gradients "
        "are taken on 512 training images in batches of 32. For a channel, a neuron or a head the "
        "products of all weights that read it are added before the absolute value is taken: that "
        "is exactly how the loss changes when the unit is turned down a little. Their mean square "
        "over the batches ranks the units, in nats, so that different layers can be compared. "
        "Cheap and usually well above magnitude for channels."
    ),
    formula=r"s_i = \frac{1}{B} \sum_b |w_i \, g_{b,i}|, \qquad "
    r"s_{\text{unit}} = \sqrt{\frac{1}{B} \sum_b \Big( \sum_{i \in \text{unit}} "
    r"w_i \, g_{b,i} \Big)^2}",
    paper=(
        'Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", '
        'section 4.1; units: Molchanov et al. 2019, "Importance Estimation for Neural Network '
        'Pruning", section 3.1'
    ),
    needs=("gradients",),
    gathers="gradients",
    strengths="Cheap, knows the loss, and its scores can be compared between layers.",
    limits=(
        "A first-order view of a step that is not small: good for the first units that go, less "
        "so at high sparsity."
    ),
    weights=taylor_scores,
    units=taylor_unit_scores,
)
