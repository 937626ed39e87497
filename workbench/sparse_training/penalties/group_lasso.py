"""Group lasso on coupled channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings


def _addition(ground: Ground, settings: SparseTrainingSettings) -> SparseAddition:
    from workbench.sparse_training.shrinking import GroupShrinking

    return GroupShrinking(ground, settings)


METHOD = SparseMethod(
    name="group_lasso",
    title="Group lasso on channels",
    summary="Pulls all weights of a channel towards zero together, so that whole channels go.",
    explanation="The weights that make one channel, with its bias and normalisation, form a group; "
    "where a skip connection ties layers together, the channel has its weights in all of them. "
    "The penalty is the sum of the groups' lengths (roots of sums of squares), each times the "
    "root of the group's size. In every step a group's length is made shorter by the same "
    "amount; a group that would pass zero becomes zero altogether. That is the exact proximal "
    "step. Channels of zeros are then removed and the network becomes really smaller, with the "
    "same outputs as before the removal.",
    formula=r"\min_w \; L(w) + \lambda \sum_g \sqrt{p_g} \, \lVert w_g \rVert_2, \qquad "
    r"w_g \leftarrow w_g \max\!\left(0, 1 - \frac{\eta \lambda \sqrt{p_g}}{\lVert w_g \rVert_2}"
    r"\right)",
    paper='Yuan and Lin 2006, "Model selection and estimation in regression with grouped '
    'variables"; Wen et al. 2016, "Learning Structured Sparsity in Deep Neural Networks", '
    "section 3",
    needs=("weights", "labels", "gradients", "training"),
    options=("strength", "from_scratch"),
    strengths="Chooses widths by itself; removing the zero channels changes nothing.",
    limits="Wide layers lose channels first. Survivors are shrunk and want a fine-tuning.",
    kind="penalty",
    granularities=("channel",),
    strength=1e-3,
    strength_help="What a weight adds to the loss in a channel whose weights all have size 1.",
    addition=_addition,
)
