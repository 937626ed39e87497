"""L2 penalty on weights, then a cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import Shrinking

    return Shrinking(ground, settings, l1=0.0, l2=1.0)


METHOD = SparseMethod(
    name="l2",
    title="L2 penalty",
    summary="Shrinks every weight by the same share in each step, then cuts the smallest.",
    explanation="The loss is given the sum of the squared weights. Its pull is in proportion to "
    "the weight, so large weights shrink fast and small ones hardly move: nothing ever becomes "
    "exactly zero. The penalty only makes many weights so small that little is lost when the "
    "smallest are cut to the target before the last fifth of the training, which is what happens "
    "here and is recorded as a cut. It is the penalty of ordinary weight decay, stronger, and the "
    "one that Han et al. found to work best where pruning is followed by another training. It "
    "stands here mainly as the companion that shows what L1 does differently.",
    formula=r"\min_w \; L(w) + \tfrac{\lambda}{2} \sum_i w_i^2, \qquad "
    r"w \leftarrow \frac{w}{1 + \eta \lambda}",
    paper='Han et al. 2015, "Learning both Weights and Connections", section 3.1',
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "from_scratch"),
    strengths="Smooth and forgiving; the weights that stay are spread evenly.",
    limits="Makes no zeros of its own: the target is reached by a cut at the end.",
    kind="penalty",
    granularities=("weight",),
    strength=3e-3,
    strength_help="Twice what a weight of size 1 adds to the loss.",
    target=0.8,
    addition=_addition,
)
