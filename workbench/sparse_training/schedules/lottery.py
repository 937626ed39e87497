"""Lottery tickets: prune, rewind, train again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.sparse_training.kinds import SparseMethod

if TYPE_CHECKING:
    from workbench.sparse_training.curriculum import Curriculum, Trained


def _run(curriculum: Curriculum) -> Trained:
    from workbench.sparse_training.tickets import draw_ticket

    return draw_ticket(curriculum)


METHOD = SparseMethod(
    name="lottery",
    title="Lottery ticket, with rewinding",
    summary="Trains from new weights, cuts the lowest, sets the rest back to early weights and "
    "trains again.",
    explanation="A network of the same wiring is given new seeded weights and trained for a few "
    "epochs; the weights of that moment are put aside. Training goes on to its end, the lowest "
    "weights are cut, and those that stay are set back to the values put aside. Then everything "
    "repeats with the smaller network until the target is reached, each round taking the same "
    "share of what is left. The finding behind it: such a sparse network trains about as well as "
    "the dense one, if it starts from those early weights. Without rewinding epochs the weights "
    "go back to the very first ones, which works for small networks only.",
    formula=r"w_k \xrightarrow{\text{train}} w_T, \quad m = \mathbb{1}[\,|w_T| > \theta\,], \quad "
    r"m \odot w_k \xrightarrow{\text{train}} \ldots",
    paper='Frankle and Carbin 2019, "The Lottery Ticket Hypothesis"; Frankle et al. 2020, "Linear '
    'Mode Connectivity and the Lottery Ticket Hypothesis", section 4 (rewinding)',
    needs=("weights", "labels", "gradients", "training"),
    options=("rounds", "rewind_epochs"),
    strengths="Shows that a sparse network can be trained almost from the start.",
    limits="Costs one whole training per round, and does not use the weights of the trained model: "
    "with few epochs it stays below it.",
    kind="schedule",
    target=0.8,
    run=_run,
)
