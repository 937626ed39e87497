"""One ranking over all layers by layer-adaptive magnitude."""

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level


class LayerAdaptiveMagnitude(GlobalRanking):
    """Exactly so many of the lowest layer-adaptive scores go, in whichever groups they lie.

    A unit's score is the part that its square has in the squares of all units of its group that
    are as large or larger: what it would lose of what is left if it went next. The largest unit
    of every group scores 1, so that no group is emptied. Magnitudes are the criterion's scores;
    channels take those of whole channels. At N:M the mean over the weights that go ranks a layer.

    Reference:
        Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-Based Pruning", section 3.
    """

    def ranked(self, pool: Pool) -> Iterator[Tensor]:
        """Layer-adaptive scores of the units of each group, flat."""
        squared = pool.criterion.squares and pool.kind != "channel"
        return pool.scores(lambda scores: lamp_scores(scores if squared else scores**2))


def lamp_scores(squares: Tensor) -> Tensor:
    """Each square over the sum of itself and all larger ones; equal ones in reverse position.

    Args:
        squares: Flat, from 0.

    Returns:
        Of the same length, in double precision, from 0 to 1.
    """
    squares = squares.detach().double()
    order = squares.argsort(stable=True)
    ordered = squares[order]
    rest = ordered.flip(0).cumsum(0).flip(0)
    return torch.empty_like(squares).scatter_(0, order, ordered / rest.clamp_min(1e-300))


METHOD = Allocation(
    name="lamp",
    title="LAMP",
    summary="Ranks all weights together by their part in what is left of their layer.",
    explanation=(
        "Magnitudes of different layers cannot be compared: one layer's weights are all ten times "
        "as large as another's, and both matter. LAMP makes them comparable. It divides the square "
        "of every weight by the sum of the squares of all weights of its layer that are as large "
        "or larger, which is the relative damage to the layer if this one were the next to go. "
        "Then one ranking over all layers decides, as in global ranking. The largest weight of "
        "each layer scores 1, so that no layer is emptied."
    ),
    formula=(
        r"s_i = \frac{w_i^2}{\sum_{j\,:\, |w_j| \ge |w_i|} w_j^2}"
        r"\quad \text{(sum over the layer of } i)"
    ),
    paper=('Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-Based Pruning", section 3'),
    strengths="Sensible sparsities for every layer from the weights alone, nothing to tune.",
    limits=(
        "It measures damage to weights, not to the loss: a layer that the loss hardly depends on "
        "is spared like any other."
    ),
    spread=by_level(LayerAdaptiveMagnitude),
)
