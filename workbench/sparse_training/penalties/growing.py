"""Growing regularisation: the penalty of what is to go rises until it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import Growing

    return Growing(ground, settings)


METHOD = SparseMethod(
    name="growing",
    title="Growing regularisation",
    summary="Chooses what is to go at the start and shrinks only that, harder and harder.",
    explanation="The weights or channels of smallest magnitude are chosen at the beginning, as "
    "many as the target asks for. They are not cut at once: they get an L2 penalty that starts "
    "near nothing and rises in stairs, while everything else trains without a penalty. The "
    "network has time to move the work of the chosen ones elsewhere, and when the penalty is at "
    "its height they are almost zero; they are then set to zero for good and the rest of the "
    "training goes on without them. This is the first variant of the paper, GReg-1: the choice is "
    "that of a one-shot cut, only the leaving is gentle.",
    formula=r"\min_w \; L(w) + \tfrac{\lambda(t)}{2} \sum_{i \in \text{chosen}} w_i^2, \qquad "
    r"\lambda(t) \text{ rising in stairs}",
    paper='Wang et al. 2021, "Neural Pruning via Growing Regularization", section 3.1',
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "ramp", "from_scratch"),
    strengths="Reaches the target exactly and keeps more accuracy than the same cut at once.",
    limits="What is chosen at the start is never reconsidered.",
    kind="penalty",
    strength=1.0,
    strength_help="The penalty at its height: twice what a chosen weight of size 1 adds to the "
    "loss.",
    target=0.9,
    addition=_addition,
)
