"""Choose one of each group's choices: least damage within a limit, where costs simply add up.

Multiple-choice knapsack. A Lagrangian relaxation bounds the damage from below and gives a first
solution; only choices that could still beat the best known solution are kept; a dynamic programme
over what is left, pruned by the same bound, finds the optimum.

References:
    Sinha and Zoltners 1979, "The Multiple-Choice Knapsack Problem" (relaxation and reduction).
    Dyer, Riha and Walker 1995, "A hybrid dynamic programming/branch-and-bound algorithm for the
    multiple-choice knapsack problem".
"""

from collections.abc import Iterable, Sequence

import numpy as np

from workbench.allocation.costs import Array, Counts
from workbench.allocation.problem import Tables

MAX_STATES = 400
"""Beyond so many states of the dynamic programme the least promising go."""
HALVINGS = 50
EVEN = 1e-12


def solve_separable(tables: Tables, starts: Iterable[Counts]) -> Counts:
    """The choices of least damage that meet the limit; exact unless states had to be dropped.

    Args:
        tables: Choices whose costs add up; the last ones of all groups meet the limit.
        starts: Known solutions; the result is never worse.
    """
    costs = tables.bill.costs(tables.bill.once)
    limit = tables.most - tables.bill.fixed
    price = fair_price(tables.damages, costs, limit)
    known = [start for start in starts if tables.fits(start)]
    cheapest = np.where(np.isinf(tables.damages), np.inf, costs).argmin(1)
    firsts = (cheapest, best_at(price, tables.damages, costs))
    known += [filled(tables.damages, costs, limit, first) for first in firsts]
    best = min(known, key=tables.damage)
    return _improved(tables, costs, limit, price, best)


def best_at(price: float, damages: Array, costs: Array) -> Counts:
    """For each group the choice of least damage plus price times cost."""
    return np.asarray((damages + price * costs).argmin(1))


def fair_price(damages: Array, costs: Array, limit: float) -> float:
    """The least price of cost at which the best choices meet the limit.

    Args:
        damages: ``(groups, choices)``.
        costs: Of the same shape.
        limit: The most cost.
    """
    groups = np.arange(len(costs))

    def fits(price: float) -> bool:
        return bool(costs[groups, best_at(price, damages, costs)].sum() <= limit)

    if fits(0.0):
        return 0.0
    low, high = 0.0, 1e-6 / max(EVEN, float(costs.max() - costs.min()))
    for _ in range(HALVINGS):
        if fits(high):
            break
        low, high = high, high * 8
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
        if high - low <= 1e-9 * high:
            break
    return high


def filled(damages: Array, costs: Array, limit: float, chosen: Counts) -> Counts:
    """Use what is left of the limit: again and again the change that saves most damage."""
    groups, now = np.arange(len(chosen)), chosen.copy()
    left = limit - float(costs[groups, now].sum())
    while True:
        more = costs - costs[groups, now][:, None]
        gain = np.where(more <= left, damages[groups, now][:, None] - damages, 0.0)
        group, choice = divmod(int(gain.argmax()), gain.shape[1])
        if gain[group, choice] <= 0:
            return now
        left -= float(more[group, choice])
        now[group] = choice


def _improved(
    tables: Tables, costs: Array, limit: float, price: float, known: Counts
) -> Counts:  # fmt: skip
    """The optimum, or what is known where nothing beats it."""
    priced = tables.damages + price * costs
    floor = priced.min(1)
    bound, best = float(floor.sum()) - price * limit, tables.damage(known)
    gap = best - bound
    if gap <= EVEN * max(1.0, best):
        return known
    left = [np.flatnonzero(able) for able in priced - floor[:, None] < gap]
    order = sorted(range(len(left)), key=lambda i: len(left[i]))
    programme = _Programme(price, limit, best)
    cheapest = np.array([float(costs[i, left[i]].min()) for i in order])
    floors = floor[order]
    for place, i in enumerate(order):
        programme.add(
            tables.damages[i, left[i]], costs[i, left[i]],
            float(floors[place + 1 :].sum()), float(cheapest[place + 1 :].sum()),
        )  # fmt: skip
        if not len(programme.damages):
            return known
    chosen = known.copy()
    for i, choice in zip(order, programme.trace(), strict=True):
        chosen[i] = left[i][choice]
    return chosen if tables.fits(chosen) and tables.damage(chosen) < best else known


class _Programme:
    """States that no other state beats in both damage and cost, group after group.

    Args:
        price: Of cost, for the bound.
        limit: The most cost.
        best: Damage that a state must be able to beat.
    """

    def __init__(self, price: float, limit: float, best: float) -> None:
        self._price, self._limit, self._best = price, limit, best
        self.damages, self._costs = np.zeros(1), np.zeros(1)
        self._steps: list[tuple[Counts, Counts]] = []

    def add(self, damages: Array, costs: Array, floor: float, cheapest: float) -> None:
        """Take one of a group's choices in every state.

        Args:
            damages: Of the choices.
            costs: Of the choices.
            floor: Least damage plus price times cost of all groups to come.
            cheapest: Least cost of all groups to come.
        """
        damage = (self.damages[:, None] + damages).ravel()
        cost = (self._costs[:, None] + costs).ravel()
        bound = damage + self._price * (cost - self._limit) + floor
        able = np.flatnonzero((bound < self._best) & (cost + cheapest <= self._limit))
        able = _most_promising(able, bound, 4 * MAX_STATES)
        able = able[np.lexsort((damage[able], cost[able]))]
        lowest = np.minimum.accumulate(damage[able])
        able = able[np.concatenate([[True], damage[able][1:] < lowest[:-1]])[: len(able)]]
        able = _most_promising(able, bound, MAX_STATES)
        self.damages, self._costs = damage[able], cost[able]
        self._steps.append((able // len(damages), able % len(damages)))

    def trace(self) -> Sequence[int]:
        """The choices, group after group, of the state of least damage."""
        state, choices = int(self.damages.argmin()), []
        for parents, taken in reversed(self._steps):
            choices.append(int(taken[state]))
            state = int(parents[state])
        return choices[::-1]


def _most_promising(states: Counts, bound: Array, most: int) -> Counts:
    """At most so many of the states, those of the lowest bounds."""
    if len(states) <= most:
        return states
    return states[bound[states].argpartition(most)[:most]]
