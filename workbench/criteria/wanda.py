"""Ranking by the size of a weight times the size of what it is multiplied with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import input_squares

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.scoring import Look


def wanda_scores(look: Look, parameter: str) -> Tensor:
    """|w| times the root mean square of its input, of the parameter's shape.

    Reference:
        Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models",
        section 3.
    """
    weight = look.tensor(parameter).double()
    return weight.abs() * input_squares(look, parameter, weight).sqrt()


METHOD = Criterion(
    name="wanda",
    title="Wanda (weight x input)",
    summary="Prunes the weights that say least: the smallest absolute value x size of the input.",
    explanation=(
        "What a weight adds to its output is its value times its input. A small weight on a strong "
        "input may say more than a large one on an input that is mostly zero. Wanda therefore "
        "multiplies the absolute value by the norm of the input, measured on 512 unlabelled "
        "calibration images, separately for every channel and kernel position. The paper compares "
        "only the weights of one output with each other; here all weights of a layer are ranked "
        "together, as a plan gives one sparsity to the layer. For a channel the scores of "
        "its weights are added, each layer's sum divided by the layer's mean."
    ),
    formula=r"s_{ij} = |w_{ij}| \cdot \sqrt{\tfrac{1}{N} \textstyle\sum_n x_{n,j}^2}",
    paper=(
        'Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models", '
        "section 3"
    ),
    needs=("images",),
    gathers="grams",
    strengths="No labels, no gradients, seconds; better than magnitude where inputs differ.",
    limits=(
        "Looks at one layer at a time: what an output is worth to the later ones, it does not know."
    ),
    weights=wanda_scores,
)
