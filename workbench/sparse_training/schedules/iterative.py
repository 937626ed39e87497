"""Iterative prune-and-tune, up to a floor of accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.curriculum import Curriculum, Trained


def _run(curriculum: Curriculum) -> Trained:
    from workbench.sparse_training.stepping import prune_in_steps

    return prune_in_steps(curriculum)


METHOD = SparseMethod(
    name="iterative",
    title="Prune and tune in steps",
    summary="Cuts a step, trains, and cuts again while the validation accuracy stays above a "
    "floor.",
    explanation="The lowest tenth of the weights or channels is cut and the network is trained for "
    "a while with what is left. If it still reaches the floor on validation images, the next "
    "tenth goes, and so on; past 80 % each step is at most half of what is left. The first time "
    "the floor is missed, the method goes back one step and ends there. So it finds by itself how "
    "much can go for the accuracy one is ready to lose. It is the oldest way to prune deep "
    "networks, and each step trains from where the one before ended, with the epochs one gives "
    "it.",
    formula=r"s_{k+1} = \min\!\left(s_k + \Delta, \; s_k + \tfrac{1 - s_k}{2}\right) "
    r"\ \text{ while } \ a_k \geq a_{\text{dense}} - \epsilon",
    paper='Han et al. 2015, "Learning both Weights and Connections", section 3.3',
    needs=("weights", "labels", "gradients", "training"),
    options=("step", "max_loss"),
    strengths="One asks for an accuracy and gets the sparsity that it allows.",
    limits="Trains many times. The floor is checked on validation images, whose number limits how "
    "finely it can be told.",
    kind="schedule",
    target=0.99,
    run=_run,
)
