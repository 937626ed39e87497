"""The same sparsity everywhere."""

from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool

STEPS = 1_000_000


class Uniform:
    """Every group gets the target as its own sparsity, in steps of one millionth for budgets.

    Groups that are not made of single weights get the nearest sparsity that they allow, and
    bounded groups the nearest within their bounds.

    Reference:
        Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", section 3.
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def level_of(self, sparsity: float) -> float:
        """The level of a sparsity: itself, unless bounds leave some groups behind."""
        if self._pool.bounds:
            return nearest_level(self._pool, self, sparsity)
        return sparsity * STEPS

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity at a level."""
        pool = self._pool
        return {group.name: pool.nearest(group, level / STEPS) for group in pool.members}
