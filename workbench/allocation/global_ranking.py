"""One ranking over the weights of all layers."""

import torch

from workbench.allocation.pool import Pool
from workbench.errors import SparsityError
from workbench.patterns import lowest_pruned, split_counts
from workbench.plan import num_pruned


class GlobalRanking:
    """Exactly so many of the lowest scores go, in whichever layers they lie.

    Each layer's sparsity is stored as the exact quotient of its pruned and all its weights, so
    that pruning layer by layer gives the same masks. Equal scores go in the order of the layers.
    The highest score of each layer always stays: no layer is cut off.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7
        (global magnitude pruning).
    """

    def __init__(self, pool: Pool) -> None:
        self._layers = pool.layers
        self._scores = [_spare_highest(scores) for scores in pool.scores()]
        self._num_weights = pool.num_weights
        self.top = self._num_weights - len(self._layers)

    def level_of(self, sparsity: float) -> int:
        """How many weights a sparsity prunes.

        Raises:
            SparsityError: If that would leave a layer without weights.
        """
        count = num_pruned(sparsity, self._num_weights)
        if count > self.top:
            raise SparsityError(
                f"Sparsity {sparsity:.6g} leaves {self._num_weights - count} of "
                f"{self._num_weights:,} weights for {len(self._layers)} layers.",
                "Choose a lower sparsity, so that each layer keeps at least one weight.",
            )
        return count

    def counts(self, level: float) -> list[int]:
        """Weights of each layer among the lowest ``level``."""
        return split_counts(self._scores, int(level))

    def sparsities(self, level: float) -> dict[str, float]:
        """Layer name to sparsity where the lowest ``level`` weights go."""
        counts = self.counts(level)
        return {
            layer.layer_name: count / layer.num_weights
            for layer, count in zip(self._layers, counts, strict=True)
        }


def _spare_highest(scores: torch.Tensor) -> torch.Tensor:
    """Raise the one entry that would be pruned last beyond all others; takes a flat tensor."""
    last = ~lowest_pruned(scores, len(scores) - 1)
    return scores.masked_fill(~last, torch.inf)
