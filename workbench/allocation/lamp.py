"""One ranking over all layers by layer-adaptive magnitude."""

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool


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
