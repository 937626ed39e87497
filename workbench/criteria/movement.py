"""Ranking by movement: whether training pushes a weight away from zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def movement_scores(look: Look, parameter: str) -> Tensor:
    """Mean of -w g over the training steps of a copy, of the parameter's shape.

    Reference:
        Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4.
    """
    return look.about("movement", "", parameter)


def movement_unit_scores(look: Look, group: Group) -> Tensor:
    """The unit's sum of -w g over the weights that read it, ``(num_units,)``, in nats a step."""
    total = None
    for read in look.reads(group):
        moved = movement_scores(look, read.parameter).double().movedim(read.dim, 0).flatten(1)
        part = moved.sum(1)[read.indices].sum(1)
        total = part if total is None else total + part
    assert total is not None
    return total


METHOD = Criterion(
    name="movement",
    title="Movement",
    summary="Prunes the weights that training moves towards zero, whatever their size.",
    explanation=(
        "Magnitude asks where a weight is; movement asks where it is going. A copy of the network "
        "trains for 32 steps, on 1,024 training images in batches of 32, and for every weight the "
        "product of minus its value and its gradient is added up: positive where a step takes it "
        "away from zero, negative where it shrinks. What shrinks most goes first. For a channel "
        "the products of all weights that read it are added. It was made for fine-tuning a large "
        "network on a new task, where weights really travel; in a network that has finished "
        "training they hardly do, and the scores are mostly the noise of the batches."
    ),
    formula=r"s_i = -\frac{1}{T} \sum_{t=1}^{T} w_i^{(t)} "
    r"\frac{\partial \mathcal{L}_t}{\partial w_i^{(t)}}",
    paper=('Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4'),
    needs=("training",),
    gathers="movement",
    strengths="The right question where a network is being adapted to a new task.",
    limits=(
        "On a network that has converged it removes large weights as readily as small ones: often "
        "worse than chance right after the cut."
    ),
    weights=movement_scores,
    units=movement_unit_scores,
)
