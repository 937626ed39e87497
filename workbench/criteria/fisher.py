"""Ranking by the diagonal of the Fisher information: the loss to second order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import unit_slopes

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def fisher_scores(look: Look, parameter: str) -> Tensor:
    """Half of w^2 times the mean squared gradient of an image, in nats, of the parameter's shape.

    Reference:
        LeCun et al. 1989, "Optimal Brain Damage", section 2.2, with the empirical Fisher
        information for the Hessian.
    """
    squares = look.about("gradients", "square", parameter).double()
    return look.tensor(parameter).double().square() * squares / 2


def fisher_unit_scores(look: Look, group: Group) -> Tensor:
    """Half of the mean squared sum of w g over images, ``(num_units,)``, in nats.

    Reference:
        Theis et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning",
        section 2; Liu et al. 2021, "Group Fisher Pruning for Practical Network Compression",
        section 3.2.
    """
    return unit_slopes(look, group).square().mean(0) / 2


METHOD = Criterion(
    name="fisher",
    title="Diagonal Fisher (OBD)",
    summary="Prunes what changes the loss least to second order, by the diagonal of the Fisher "
    "information.",
    explanation=(
        "At the end of training the gradient is nearly zero, and what pruning costs is decided by "
        "how sharply the loss bends. Optimal Brain Damage takes the bend of each weight by itself: "
        "half its square times the second derivative. The mean square of the gradients of single "
        "images, the Fisher information, stands in for that derivative; it is measured image by "
        "image on 512 training images. For a channel the products of weight and gradient are first "
        "added up within an image, over everything that reads the channel, then squared. Scores "
        "are estimates of the loss increase, in nats, so layers can be compared."
    ),
    formula=r"s_i = \frac{w_i^2}{2 N} \sum_{n=1}^{N} g_{n,i}^2, \qquad "
    r"s_{\text{unit}} = \frac{1}{2 N} \sum_n \Big( \sum_{i \in \text{unit}} w_i g_{n,i} \Big)^2",
    paper=(
        'LeCun et al. 1989, "Optimal Brain Damage", section 2.2; units: Liu et al. 2021, "Group '
        'Fisher Pruning for Practical Network Compression", section 3.2'
    ),
    needs=("gradients",),
    gathers="gradients",
    strengths="An estimate of the loss increase in nats; strong for channels in one shot.",
    limits=(
        "Takes every weight or unit to act alone: of two that say the same it keeps both, where "
        "either could stand in for the other."
    ),
    weights=fisher_scores,
    units=fisher_unit_scores,
)
