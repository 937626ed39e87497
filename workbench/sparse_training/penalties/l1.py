"""L1 penalty on weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import Shrinking

    return Shrinking(ground, settings, l1=1.0, l2=0.0)


METHOD = SparseMethod(
    name="l1",
    title="L1 penalty",
    summary="Moves every weight towards zero by the same amount in each step; small ones stay "
    "there.",
    explanation="The loss is given a second term: the sum of the absolute weights. Its pull is the "
    "same on large and small weights, so a weight survives only where the data pull harder than "
    "the penalty. After every step of the optimiser all weights move towards zero by the learning "
    "rate times the strength, and those that would pass zero stop there. This step is the exact "
    "answer to the penalty (a proximal step), so the zeros are real and need no threshold. Every "
    "layer finds its own sparsity. What survives is too small by then: in the last fifth of the "
    "training the zeros are held and the penalty is off, so that the survivors recover.",
    formula=r"\min_w \; L(w) + \lambda \sum_i |w_i|, \qquad "
    r"w \leftarrow \operatorname{sign}(w) \max(0, |w| - \eta \lambda)",
    paper='Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso"; Parikh and Boyd '
    '2014, "Proximal Algorithms", section 6.5.2',
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "from_scratch"),
    strengths="Simple, steady, exact zeros; one number moves the whole trade-off.",
    limits="The strength for a wanted sparsity has to be found by trying. The surviving weights "
    "shrink as well, which costs accuracy until they are trained without the penalty.",
    kind="penalty",
    granularities=("weight",),
    strength=3e-4,
    strength_help="What a weight of size 1 adds to the loss.",
    addition=_addition,
)
