"""The same sparsity everywhere but at both ends of the network."""

from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level
from workbench.allocation.uniform import STEPS

LAST_SPARSITY = 0.8


class UniformPlus:
    """Uniform, but the first group stays dense and the last keeps at least a fifth.

    The first is the first of the network's groups that can be cut; the last is the classifier,
    where it is pruned at all. A bound on one of them goes before. A target counts all groups, so
    that the others are pruned a little more.

    Reference:
        Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", section 5 (the first
        convolution dense, the last layer at most 80 % sparse).
    """

    top = STEPS - 1

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        most = {pool.all.prunable[0].name: 0.0}
        if pool.all.groups[-1].name not in most:
            most[pool.all.groups[-1].name] = LAST_SPARSITY
        self._most = {name: value for name, value in most.items() if name not in pool.bounds}

    def level_of(self, sparsity: float) -> float:
        """The level at which that part of all weights, or of all channels, goes."""
        return nearest_level(self._pool, self, sparsity)

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity at a level."""
        pool = self._pool
        return {
            group.name: pool.nearest(group, min(level / STEPS, self._most.get(group.name, 1.0)))
            for group in pool.members
        }


METHOD = Allocation(
    name="uniform_plus",
    title="Uniform, ends spared",
    summary=(
        "Prunes all to the same sparsity, but leaves the first layer dense and keeps a fifth of "
        "the last."
    ),
    explanation=(
        "The same sparsity for all groups but two. The first one that can be cut stays dense, "
        "because everything behind it sees the image only through it and it has few weights "
        "anyway. The last one keeps at least a fifth, because every class needs its evidence "
        "there. The others are pruned a little more, so that the whole still meets the target. "
        "It costs nothing over the uniform rule and usually does better at high sparsity, where "
        "the ends of a network break first."
    ),
    formula=(
        r"s_1 = 0, \quad s_L = \min(t,\ 0.8), \quad s_g = t \ \text{ otherwise, } "
        r"t \text{ such that the target is met}"
    ),
    paper='Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", section 5',
    strengths="As simple as uniform, and it spares the two places that break first.",
    limits=(
        "A rule of thumb from convolutional networks: which layer is fragile is assumed, not "
        "measured."
    ),
    spread=by_level(UniformPlus),
)
