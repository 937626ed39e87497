"""Ranking by what is lost after the best compensation: the Optimal Brain Surgeon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def obs_scores(look: Look, parameter: str) -> Tensor:
    """Half of w^2 over the diagonal of the inputs' inverse covariance, times the output's worth.

    In nats, of the weight's shape.

    Reference:
        Hassibi and Stork 1993, "Second Order Derivatives for Network Pruning: Optimal Brain
        Surgeon", section 2; Frantar and Alistarh 2023, "SparseGPT", section 3.1.
    """
    from workbench.surgery import weight_losses

    return weight_losses(look, parameter)


def obs_unit_scores(look: Look, group: Group) -> Tensor:
    """Loss after the best compensation when a unit goes after all lower ones, ``(num_units,)``.

    In nats.

    Reference:
        Kurtic et al. 2023, "ZipLM: Inference-Aware Structured Pruning of Language Models",
        section 3.1 (whole columns, one after the other).
    """
    from workbench.surgery import order_units

    return order_units(look, group)


METHOD = Criterion(
    name="obs",
    title="OBS (Optimal Brain Surgeon)",
    summary="Prunes what costs least after the weights that stay have made up for it as well as "
    "they can.",
    explanation=(
        "Other criteria ask what is lost if a weight goes and all others stay as they are. But "
        "the rest can be adjusted: what goes may be said in other words. Optimal Brain Surgeon "
        "computes the loss after the best adjustment, from the covariance of the inputs of each "
        "layer, on 512 unlabelled calibration images, weighed by how much the loss hangs on each "
        "output. Channels, neurons and heads are taken out one after the other, the cheapest "
        "first, each with the readers adjusted to all that went before, so that of two units that "
        "say the same one stays. It fits the full repair, which makes just this adjustment."
    ),
    formula=r"s_{oi} = \frac{G_{oo} \, w_{oi}^2}{2 \, [H^{-1}]_{ii}}, \qquad "
    r"s_{\text{unit}} = \tfrac{1}{2} \operatorname{tr}\!\left( G \, W_u \, "
    r"\big( [H^{-1}]_{uu} \big)^{-1} W_u^{\top} \right), \quad "
    r"H = \operatorname{Cov}(x)",
    paper=(
        'Hassibi and Stork 1993, "Second Order Derivatives for Network Pruning: Optimal Brain '
        'Surgeon", section 2; units: Kurtic et al. 2023, "ZipLM: Inference-Aware Structured '
        'Pruning of Language Models", section 3.1'
    ),
    needs=("images",),
    gathers="grams",
    strengths="The best for channels before a full repair, and needs no labels.",
    limits=(
        "Seconds to a minute of matrix algebra; without a repair that adjusts the weights "
        "its advantage shrinks. The inputs of a layer with more than 4,608 are taken to be "
        "independent."
    ),
    weights=obs_scores,
    units=obs_unit_scores,
)
