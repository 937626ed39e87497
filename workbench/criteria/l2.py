"""Ranking by the square of a weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.scoring import Look


def l2_scores(look: Look, parameter: str) -> Tensor:
    """Square of each weight, in double precision so that tiny weights keep their order.

    Reference:
        Han et al. 2015, "Learning both Weights and Connections", section 3.
    """
    return look.tensor(parameter).double().square()


METHOD = Criterion(
    name="l2",
    title="Magnitude (L2)",
    summary="Prunes the weights of smallest square first; single weights go in the same order as "
    "by magnitude (L1).",
    explanation=(
        "The same idea as magnitude by absolute value, with squares: what goes first has the "
        "least energy. For single weights the order is exactly that of the absolute values. For "
        "channels, kernels and blocks it differs: the Euclidean norm of many weights is ruled by "
        "the few large ones among them, so a channel with one strong weight is kept where the sum "
        "of absolute values might let it go. Fang et al. use this norm over whole coupled groups."
    ),
    formula=r"s_i = w_i^2, \qquad s_{\text{unit}} = \sqrt{\sum_{i \in \text{unit}} w_i^2}",
    paper=(
        'Han et al. 2015, "Learning both Weights and Connections", section 3; groups: Fang et al. '
        '2023, "DepGraph: Towards Any Structural Pruning", section 3.3'
    ),
    strengths="Needs no data and no time; spares units that hold a few strong weights.",
    limits="As blind to data as l1, and the same as l1 for single weights.",
    weights=l2_scores,
    squares=True,
)
