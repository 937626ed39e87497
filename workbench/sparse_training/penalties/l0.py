"""L0 penalty by hard concrete gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.gates import Gates

    return Gates(ground, settings)


METHOD = SparseMethod(
    name="l0",
    title="L0 by hard concrete gates",
    summary="Gives every weight or channel a random gate and learns how often it is open.",
    explanation="What one wants to make small is the number of weights that are not zero, but a "
    "count has no gradient. So every weight (or channel) is multiplied by a random gate between 0 "
    "and 1 that is exactly 0 with a probability that can be computed and differentiated. The loss "
    "is given the expected fraction of open gates, and the gates learn together with the weights. "
    "The noise of the gates tries many thinned networks during training. At the end every gate "
    "takes its noiseless value; closed ones are zeros, the others are multiplied into their "
    "weights. Unlike L1 it does not shrink the weights that stay.",
    formula=r"s = \sigma\!\left(\tfrac{\log u - \log(1-u) + \log\alpha}{\beta}\right),\; "
    r"z = \min(1, \max(0, s(\zeta - \gamma) + \gamma)),\; "
    r"P(z \neq 0) = \sigma\!\left(\log\alpha - \beta \log\tfrac{-\gamma}{\zeta}\right)",
    paper='Louizos, Welling and Kingma 2018, "Learning Sparse Neural Networks through L0 '
    'Regularization", section 2.2',
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "from_scratch"),
    strengths="Aims at the count itself and leaves the size of the survivors alone.",
    limits="Noisy: wants more epochs than L1. One more number to learn for every weight.",
    kind="penalty",
    strength=10.0,
    strength_help="What it adds to the loss to leave all gates open.",
    addition=_addition,
)
