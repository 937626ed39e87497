"""The same sparsity everywhere."""

from workbench.allocation.knob import nearest_level
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level

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


METHOD = Allocation(
    name="uniform",
    title="Uniform",
    summary="Prunes every layer or group to the same sparsity.",
    explanation=(
        "The target itself becomes the sparsity of every group: asked for 80 %, each layer loses "
        "80 % of its own weights. Within a layer the criterion decides which ones go. Nothing has "
        "to be known about the network, and the result is easy to foresee and to repeat, which "
        "makes it the natural first plan and the yardstick for every other rule. Its weakness is "
        "in its evenness: a small first layer or the classifier loses as large a part as a wide "
        "layer in the middle that has far more to spare."
    ),
    formula=r"s_g = S \quad \text{for every group } g",
    paper='Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", section 3',
    strengths="No data, no tuning, no surprises; shapes shrink evenly, which suits hardware.",
    limits="Cuts fragile and robust layers alike, so that the most fragile one decides the result.",
    spread=by_level(Uniform),
)
