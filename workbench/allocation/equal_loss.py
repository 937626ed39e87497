"""One allowed loss increase for all groups."""

import numpy as np

from workbench.allocation.problem import Problem, spaced

GRID = 1_000
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
        tables = self._tables
        heights = np.unique(np.concatenate(tables.increases))
        free = self._within(0.0, 1.0)
        if not tables.fits(free):
            low, high = 0, len(heights) - 1
            while high - low > 1:
                middle = (low + high) // 2
                if tables.fits(self._within(float(heights[middle]), 1.0)):
                    high = middle
                else:
                    low = middle
            return tables.taken(self._within(float(heights[high]), 1.0))
        least, most = -1.0, 1.0
        for _ in range(ROUNDS):
            middle_part = (least + most) / 2
            if tables.fits(self._within(0.0, middle_part)):
                most = middle_part
            else:
                least = middle_part
        return tables.taken(self._within(0.0, most))

    def _within(self, increase: float, most: float) -> list[int]:
        """The last choice of each group that costs no more and goes no further than ``most``."""
        units = [group.num_units for group in self._problem.pool.members]
        if self._problem.pool.kind == "nm":
            units = [1] * len(units)
        chosen = []
        for rising, counts, total in zip(
            self._tables.increases, self._tables.counts, units, strict=True
        ):
            by_loss = int(np.searchsorted(rising, increase, side="right")) - 1
            by_size = int(np.searchsorted(counts, most * total, side="right")) - 1
            chosen.append(max(0, min(by_loss, by_size)))
        return chosen
