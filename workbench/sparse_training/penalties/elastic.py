"""Elastic net: L1 and L2 together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import Shrinking

    return Shrinking(ground, settings, l1=settings.mix, l2=1 - settings.mix)


METHOD = SparseMethod(
    name="elastic",
    title="Elastic net",
    summary="L1 and L2 penalties in a chosen mixture: zeros, and survivors of similar size.",
    explanation="The penalty is a mixture of the sum of absolute weights and the sum of squares. "
    "The L1 part makes exact zeros; the L2 part holds the large weights down and lets weights "
    "that do the same work share it, where L1 alone would pick one of them by chance. In every "
    "step the weights first move towards zero by the L1 part and then shrink by the L2 part, "
    "which together is the exact proximal step of the mixture. A mixture of 1 is L1, of 0 is L2. "
    "Reach for it where L1 gives different zeros for every seed.",
    formula=r"\min_w \; L(w) + \lambda \left( a \sum_i |w_i| + \tfrac{1-a}{2} \sum_i w_i^2 \right)",
    paper='Zou and Hastie 2005, "Regularization and variable selection via the elastic net"',
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "mix", "from_scratch"),
    strengths="Steadier than L1 where weights are alike.",
    limits="Two numbers to choose; the L2 part slows the zeros down.",
    kind="penalty",
    granularities=("weight",),
    strength=5e-4,
    strength_help="Of the mixture: what a weight of size 1 adds to the loss, about.",
    addition=_addition,
)
