"""The plan of least predicted damage that meets the target."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

from workbench.allocation.descent import solve_crossed
from workbench.allocation.equal_loss import EqualLoss
from workbench.allocation.greedy import Greedy
from workbench.allocation.knapsack import EVEN, solve_separable
from workbench.allocation.problem import Problem, Tables, between, spaced
from workbench.groups import Group

GRID = 64
"""Choices of a group at first."""
NEAR = 6
"""Choices on either side when a solution is looked at more closely."""


class Optimal:
    """The plan of least predicted damage under the additive model, for the target's exact cost.

    Where the costs of groups add up (parameters, MACs and bytes of weights, counts) this is a
    multiple-choice knapsack and solved to the optimum; where groups share costs, as channels do,
    by descent and exchange from several starts. The solutions of equal loss and greedy are among
    the starts. Groups are first cut in even steps, then in ever smaller ones around the solution.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def counts(self) -> list[int]:
        """How many units of each group go."""
        problem = self._problem
        starts = [EqualLoss(problem).counts(), Greedy(problem).counts()]
        tables = problem.tables(
            lambda i, own: [*spaced(own, GRID), *(start[i] for start in starts)]
        )
        counts = _solved(tables, starts)
        step = max(-(-len(own) // GRID) for own in problem.counts)
        while step > 1:
            step = -(-step // NEAR)
            counts = _solved(problem.tables(partial(_near, counts, step)), [counts])
        return _filled(problem, counts)


def _solved(tables: Tables, starts: Sequence[Sequence[int]]) -> list[int]:
    known = [tables.nearest(start) for start in starts]
    solve = solve_separable if tables.bill.separable else solve_crossed
    return tables.taken(solve(tables, known))


def _near(counts: Sequence[int], step: int, group: int, own: Sequence[int]) -> Sequence[int]:
    """What a group may lose around what it loses now; groups of few units in smaller steps."""
    step = min(step, -(-len(own) // (2 * NEAR)))
    here = bisect_left(own, counts[group])
    places = range(here - NEAR * step, here + NEAR * step + 1, step)
    return [own[place] for place in places if 0 <= place < len(own)]


def _filled(problem: Problem, counts: list[int]) -> list[int]:
    """Give back what the limit has room for, dearest groups first; for weights, one by one."""
    if problem.pool.kind in ("channel", "nm"):
        return counts
    tables = problem.tables(lambda i, own: between(own, counts[i] - 1, counts[i]))
    left = tables.most - tables.bill.total([len(own) - 1 for own in tables.counts])
    prices = [_price(tables, i) for i in range(len(counts))]
    for i in sorted(range(len(counts)), key=lambda i: -prices[i]):
        group, allowed = problem.pool.members[i], problem.counts[i]

        def cost(place: int, group: Group = group, allowed: Sequence[int] = allowed) -> float:
            return problem.costs.of_count(group, allowed[place])

        here = bisect_left(allowed, counts[i])
        low, high = -1, here
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if cost(middle) - cost(here) <= left else (middle, high)
        left -= cost(high) - cost(here)
        counts[i] = allowed[high]
    return counts


def _price(tables: Tables, group: int) -> float:
    """Damage of the last unit of a group for what it saves."""
    damages, costs = tables.damages[group], tables.bill.own[group]
    if len(damages) < 2:
        return 0.0
    return float((damages[1] - damages[0]) / max(EVEN, costs[0] - costs[1]))
