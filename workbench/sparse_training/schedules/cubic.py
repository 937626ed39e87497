"""The gradual cubic schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.gradual import Gradual

    return Gradual(ground, settings)


METHOD = SparseMethod(
    name="cubic",
    title="Gradual, cubic schedule",
    summary="Cuts a little every few steps while training goes on: fast at first, then slower.",
    explanation="Instead of cutting everything at once, the sparsity rises while the network "
    "trains. It rises along a cubic curve: fast in the beginning, when there is much that nobody "
    "misses, and ever slower towards the target, when every further cut hurts. At every stair the "
    "smallest of what is left, over all layers, become zero and stay zero, and the training "
    "between two stairs repairs the damage. After the ramp the network trains on with its final "
    "zeros. It has no strength to tune, reaches its target exactly and is hard to beat, which "
    "makes it the baseline for every other method here.",
    formula=r"s(t) = s_f + (s_0 - s_f) \left(1 - \frac{t - t_0}{n \, \Delta t}\right)^{3}",
    paper='Zhu and Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for '
    'model compression", section 3',
    needs=("weights", "labels", "gradients", "training"),
    options=("ramp", "from_scratch"),
    strengths="No strength to tune, exact target, strong results.",
    limits="What was cut early never comes back.",
    kind="schedule",
    target=0.9,
    addition=_addition,
)
