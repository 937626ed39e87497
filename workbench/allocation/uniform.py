"""The same sparsity everywhere."""

from workbench.allocation.pool import Pool
from workbench.plan import num_pruned

STEPS = 1_000_000


class Uniform:
    """Every layer gets the target as its own sparsity, in steps of one millionth for budgets.

    Reference:
        Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", section 3.
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._layers = pool.layers

    def level_of(self, sparsity: float) -> float:
        """The level of a sparsity."""
        return sparsity * STEPS

    def counts(self, level: float) -> list[int]:
        """Weights that a level prunes of each layer."""
        return [num_pruned(level / STEPS, layer.num_weights) for layer in self._layers]

    def sparsities(self, level: float) -> dict[str, float]:
        """Layer name to sparsity at a level."""
        return {layer.layer_name: level / STEPS for layer in self._layers}
