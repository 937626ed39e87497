"""Ranking by the size of the gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.scoring import Look


def gradient_scores(look: Look, parameter: str) -> Tensor:
    """Absolute gradient of a batch, averaged over batches, of the parameter's shape.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7.2.
    """
    return look.about("gradients", "size", parameter)


METHOD = Criterion(
    name="gradient",
    title="Gradient magnitude",
    summary="Prunes the weights on which the loss hangs least: those of smallest gradient.",
    explanation=(
        "The gradient says how fast the loss changes when a weight is moved a little. Weights "
        "that the loss hardly notices are taken first. The loss is looked at on 512 training "
        "images, in batches of 32; the absolute gradient of each batch is averaged, because in a "
        "trained network the batches pull in opposite directions and would cancel out. For a "
        "channel the gradients of all its weights are added up. It does not ask how large the "
        "weight is, so how far it would be moved by pruning: that is what the Taylor criterion "
        "adds."
    ),
    formula=r"s_i = \frac{1}{B} \sum_{b=1}^{B} "
    r"\left| \frac{\partial \mathcal{L}_b}{\partial w_i} \right|",
    paper=(
        'Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7.2 (as a '
        "baseline)"
    ),
    needs=("gradients",),
    gathers="gradients",
    strengths="Sees what the loss hangs on; one pass over 512 images serves the whole network.",
    limits=(
        "Takes no notice of the weight's size: a large weight with a small gradient goes, although "
        "moving it all the way to zero is not a small step."
    ),
    weights=gradient_scores,
)
