"""The plan of least predicted damage that meets the target."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

import numpy as np

from workbench.allocation.costs import Counts
from workbench.allocation.descent import improve_crossed, solve_crossed
from workbench.allocation.equal_loss import EqualLoss
from workbench.allocation.greedy import Greedy
from workbench.allocation.knapsack import EVEN, solve_separable
from workbench.allocation.pool import between
from workbench.allocation.problem import Problem, Tables, give_back_, spaced
from workbench.allocation.rule import Allocation, by_damage

GRID = 64
MOST_GRID = 256
CELLS = 10_240
"""Choices at first: at least, at most, and of all groups together in between."""
GROWTH = 1.6
"""Distances at which a solution is looked at more closely grow so much from one to the next."""
FEWEST_ROUNDS = 3
ROUNDS = 200
"""Times that a solution is looked at more closely: at least; and for all groups together."""
ENOUGH = 1e-6
"""Improvements below this part are not worth another round."""
_STEPS = np.unique((GROWTH ** np.arange(60)).astype(np.int64))
_OFFSETS = np.concatenate([-_STEPS[::-1], [0], _STEPS])


class Optimal:
    """The plan of least predicted damage under the additive model, for the target's exact cost.

    Where the costs of groups add up (parameters, MACs and bytes of weights, counts) this is a
    multiple-choice knapsack and solved to the optimum; where groups share costs, as channels do,
    by descent and exchange from several starts. The solutions of equal loss and greedy are among
    the starts. Groups are first cut in even steps, then by single units and more around the
    solution.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def counts(self) -> list[int]:
        """How many units of each group go."""
        problem = self._problem
        grid = min(MOST_GRID, max(GRID, CELLS // len(problem.counts)))
        starts = [EqualLoss(problem).counts(), Greedy(problem).counts()]
        tables = problem.tables(
            lambda i, own: [*spaced(own, grid), *(start[i] for start in starts)]
        )
        counts = _solved(tables, starts)
        for _ in range(max(FEWEST_ROUNDS, ROUNDS // len(counts))):
            finer = problem.tables(partial(_near, counts))
            here = finer.nearest(counts)
            if finer.bill.separable:
                found = solve_separable(finer, [here])
            else:
                found = improve_crossed(finer, here)
            counts = finer.taken(found)
            if finer.damage(here) - finer.damage(found) <= ENOUGH * finer.damage(here):
                break
        return _filled(problem, counts)


def _solved(tables: Tables, starts: Sequence[Sequence[int]]) -> list[int]:
    known = [tables.nearest(start) for start in starts]
    solve = solve_separable if tables.bill.separable else solve_crossed
    return tables.taken(solve(tables, known))


def _near(counts: Sequence[int], group: int, own: Sequence[int]) -> Sequence[int] | Counts:
    """What a group may lose around what it loses now, in steps that grow with the distance."""
    here = bisect_left(own, counts[group])
    places = here + _OFFSETS[np.abs(_OFFSETS) < len(own)]
    places = places[(places >= 0) & (places < len(own))]
    return own.start + places if isinstance(own, range) else np.asarray(own)[places]


def _filled(problem: Problem, counts: list[int]) -> list[int]:
    """Give back what the limit has room for, dearest groups first; for weights, one by one."""
    if problem.pool.kind in ("channel", "nm"):
        return counts
    tables = problem.tables(lambda i, own: between(own, counts[i] - 1, counts[i]))
    left = tables.most - tables.bill.total(tables.sizes - 1)
    costs = tables.bill.costs(tables.bill.once)
    with np.errstate(invalid="ignore"):
        steps, saved = tables.damages[:, -1] - tables.damages[:, 0], costs[:, 0] - costs[:, -1]
    prices = np.where(tables.sizes > 1, steps / np.maximum(EVEN, saved), 0.0)
    give_back_(problem, counts, left, prices.argsort()[::-1].tolist())
    return counts


METHOD = Allocation(
    name="optimal",
    title="Optimal",
    summary="Finds the least predicted damage for the budget, at exact costs.",
    explanation=(
        "The damage of a plan is predicted as the sum of what its cuts would cost one by one, by "
        "the sensitivity curves; what it saves is counted exactly. To find the plan of least "
        "predicted damage within a budget is then a knapsack problem: one choice for every group. "
        "Where costs simply add up it is solved to the optimum; where groups share costs, as "
        "channels of neighbouring layers do, by descent and exchanges from several starts, the "
        "equal-loss and greedy plans among them. So it is never worse than those by its own "
        "prediction."
    ),
    formula=(
        r"\min_{s} \sum_g \bigl( L_g(s_g) - L_0 \bigr) \quad "
        r"\text{subject to} \quad C(s) \le B"
    ),
    needs=("curves",),
    strengths=(
        "The best use of the curves for parameters, MACs, bytes or latency; usually the most "
        "accurate plan at a budget."
    ),
    limits=(
        "As good as the prediction: damages of several groups do not quite add up, above all at "
        "high sparsity. Needs curves."
    ),
    spread=by_damage(Optimal),
)
