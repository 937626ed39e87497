"""Sparsities drawn at random, the floor that every allocation should beat."""

import numpy as np

from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level
from workbench.allocation.uniform import STEPS

SPREAD = 4.0


class RandomShares:
    """Every group keeps a share that was drawn at random, all scaled until the target is met.

    Each group draws an exponent from 1/4 to 4, its logarithm uniformly; at level t it keeps
    ``(1 - t) ** exponent``, so that every target can be met and the order of the groups stays.
    The seed of the plan decides.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 6 (report a
        random baseline).
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        draws = np.random.default_rng(pool.seed).uniform(-1, 1, len(pool.members))
        names = [group.name for group in pool.members]
        self._exponents = dict(zip(names, (SPREAD**draws).tolist(), strict=True))

    def level_of(self, sparsity: float) -> float:
        """The level at which that part of all weights, or of all channels, goes."""
        return nearest_level(self._pool, self, sparsity)

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity at a level."""
        left = 1 - level / STEPS
        return {
            group.name: self._pool.nearest(group, 1 - left ** self._exponents[group.name])
            for group in self._pool.members
        }


METHOD = Allocation(
    name="random",
    title="Random",
    summary="Draws every layer's share at random, the floor that every method should beat.",
    explanation=(
        "Every group draws an exponent between a quarter and four, and keeps the common share "
        "raised to that power; the share is set so that the whole meets the target. Some groups "
        "are cut deeply, others hardly at all, for no reason. Which weights go within a group is "
        "still the criterion's choice. It is there for comparison only: a rule that cannot beat "
        "it has found nothing out about the network. The seed of the plan decides the draw, so "
        "that it can be repeated."
    ),
    formula=(
        r"1 - s_g = (1 - t)^{e_g}, \quad \log_4 e_g \sim \mathcal{U}(-1, 1), \quad "
        r"t \text{ such that the target is met}"
    ),
    paper='Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 6',
    strengths="The floor under every comparison; repeatable by its seed.",
    limits="Knows nothing, and sometimes cuts the most fragile group most.",
    spread=by_level(RandomShares),
)
