"""Exchanges between two groups at equal cost: one is cut further, another less for it."""

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.allocation.budget import Budget, Target
from workbench.allocation.pool import Pool, between
from workbench.allocation.problem import Problem, give_back_

REACH = 0.25
"""How far groups are looked at, as a part of what they can lose."""
STEPS = (0.04, 0.1)
"""How much further a group is cut, as parts of what it can lose."""
GRID = 40


def exchanges(
    pool: Pool, sparsities: Mapping[str, float], budget: Budget
) -> list[tuple[float, dict[str, float]]]:
    """Every exchange between two groups that keeps within a budget.

    Args:
        pool: The groups, with curves.
        sparsities: Of its members; within the budget.
        budget: What the plan keeps now.

    Returns:
        What an exchange adds to the predicted damage (see ``Damage``) and the new sparsities of
        all members; least damage first.

    Raises:
        PlanError: If the budget cannot be met.
    """
    problem = Problem(pool, Target(None, budget))
    now = [
        min(pool.count_of(group, sparsities[group.name]), allowed[-1])
        for group, allowed in zip(pool.members, problem.counts, strict=True)
    ]
    tables = problem.tables(lambda i, own: _around(own, now[i]))
    chosen = tables.nearest(now)
    bill, found = tables.bill, []
    damages = tables.damages - tables.damages[bill.numbers, chosen][:, None]
    left, rates = tables.most - bill.total(chosen), bill.rates(chosen)
    costs = bill.costs(rates)
    for group, choice in _further(problem, tables.counts, tables.sizes, chosen):
        share = bill.shares[group, choice] - bill.shares[group, chosen[group]]
        others = bill.costs(rates + bill.both[group] * share)
        freed = left + costs[group, chosen[group]] - costs[group, choice]
        more = others - others[bill.numbers, chosen][:, None]
        less = (more <= freed).argmax(1)  # the least that each other group has to lose
        for other in np.flatnonzero(less < chosen).tolist():
            if other != group:
                counts = tables.taken(chosen)
                counts[group] = int(tables.counts[group, choice])
                counts[other] = int(tables.counts[other, less[other]])
                if pool.kind in ("weight", "block", "kernel"):
                    spare = float(freed - more[other, less[other]])
                    give_back_(problem, counts, spare, [other])
                added = float(damages[group, choice] + damages[other, less[other]])
                found.append((added, problem.sparsities(counts)))
    return sorted(found, key=lambda one: one[0])


def _around(own: Sequence[int], count: int) -> Sequence[int]:
    reach = max(2, round(REACH * len(own)))
    near = between(own, count - reach, count + reach)
    step = max(1, len(near) // GRID)
    return [*near[::step], *between(own, count, count)] or [own[0]]


def _further(
    problem: Problem, counts: np.ndarray, sizes: np.ndarray, chosen: np.ndarray
) -> list[tuple[int, int]]:
    """Groups, and choices that cut them further by the steps."""
    found = set()
    for group, allowed in enumerate(problem.counts):
        for part in STEPS:
            wanted = counts[group, chosen[group]] + max(1, round(part * len(allowed)))
            choice = int(np.searchsorted(counts[group, : sizes[group]], wanted))
            if chosen[group] < choice < sizes[group]:
                found.add((group, choice))
    return sorted(found)
