"""One allowed loss increase for all groups."""

import numpy as np

from workbench.allocation.costs import Array, Counts
from workbench.allocation.problem import Problem, spaced
from workbench.allocation.rule import Allocation, by_damage

GRID = 500
"""At most so many numbers of units of a group."""
ROUNDS = 40


class EqualLoss:
    """Every group is cut as far as it can alone without costing more loss than all others may.

    The allowed loss increase is the least at which the target is met. Where free cuts alone go
    beyond the target, groups are cut to at most one common sparsity.

    References:
        Qualcomm AIMET (greedy selection of compression ratios), NVIDIA Model Optimizer (FastNAS)
        and PaddleSlim (pruning by sensitivities) choose by the same rule.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._tables = problem.tables(lambda _, counts: spaced(counts, GRID))

    def counts(self) -> list[int]:
        """How many units of each group go."""
        tables, whole = self._tables, self._tables.counts.max(1) + 1
        heights = np.unique(tables.increases)
        if not tables.fits(self._within(0.0, whole)):
            low, high = 0, len(heights) - 1
            while high - low > 1:
                middle = (low + high) // 2
                if tables.fits(self._within(float(heights[middle]), whole)):
                    high = middle
                else:
                    low = middle
            return tables.taken(self._within(float(heights[high]), whole))
        least, most = -1.0, 1.0
        for _ in range(ROUNDS):
            part = (least + most) / 2
            if tables.fits(self._within(0.0, self._problem.units * part)):
                most = part
            else:
                least = part
        return tables.taken(self._within(0.0, self._problem.units * most))

    def _within(self, increase: float, most: Array) -> Counts:
        """The last choice of each group that costs no more and takes no more units."""
        tables = self._tables
        able = (tables.increases <= increase) & (tables.counts <= most[:, None])
        return np.asarray(np.minimum(np.maximum(able.sum(1), 1), tables.sizes) - 1)


METHOD = Allocation(
    name="equal_loss",
    title="Equal loss",
    summary="Cuts every group as far as it can alone at one allowed loss increase.",
    explanation=(
        "The sensitivity curves tell how the loss rises when one group is cut and all others stay "
        "dense. One allowance is laid across all of them like a water line: every group is cut as "
        "far as its own curve stays below it, and the line rises until the target is met. Robust "
        "groups give much, fragile ones little. This is what most tools with a sensitivity "
        "analysis do. It treats all groups as equally worth cutting, though: it does not ask how "
        "much a group saves for the loss that it costs."
    ),
    formula=(
        r"s_g = \max \{\, s : L_g(s) - L_0 \le \varepsilon \,\}, \quad "
        r"\varepsilon \text{ the least that meets the target}"
    ),
    paper="AIMET, FastNAS and PaddleSlim",
    needs=("curves",),
    strengths="Measured instead of assumed, and easy to explain: nobody costs more than this.",
    limits=(
        "Ignores what a cut saves, so that a group may be cut deeply for little gain; it needs "
        "sensitivity curves first."
    ),
    spread=by_damage(EqualLoss),
)
