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
from dataclasses import dataclass

import numpy as np

from workbench.allocation.costs import Array
from workbench.allocation.problem import Chosen, Tables

MAX_STATES = 4_000
"""Beyond so many states of the dynamic programme the least promising go."""
HALVINGS = 60
EVEN = 1e-12


@dataclass(frozen=True)
class Padded:
    """Choices of all groups as two matrices, ``(groups, choices)``.

    Rows are filled up by copies of their last choice with infinite damage.
    """

    damages: Array
    costs: Array

    @classmethod
    def of(cls, damages: Sequence[Array], costs: Sequence[Array]) -> "Padded":
        """Put rows of different lengths into matrices."""
        width = max(map(len, damages))
        shape = (len(damages), width)
        both = cls(np.full(shape, np.inf), np.zeros(shape))
        for row, (damage, cost) in enumerate(zip(damages, costs, strict=True)):
            both.damages[row, : len(damage)] = damage
            both.costs[row, : len(cost)] = cost
            both.costs[row, len(cost) :] = cost[-1]
        return both

    def best(self, price: float) -> Chosen:
        """For each group the choice of least damage plus price times cost."""
        priced: list[int] = (self.damages + price * self.costs).argmin(1).tolist()
        return priced


def solve_separable(tables: Tables, starts: Iterable[Chosen]) -> Chosen:
    """The choices of least damage that meet the limit; exact unless states had to be dropped.

    Args:
        tables: Choices whose costs add up; the last ones of all groups meet the limit.
        starts: Known solutions; the result is never worse.
    """
    rows = [tables.bill.rows(i, tables.bill.once) for i in range(len(tables.counts))]
    limit = tables.most - tables.bill.fixed
    padded = Padded.of(tables.damages, rows)
    price = fair_price(padded, limit)
    known = [start for start in starts if tables.fits(start)]
    known.append(_filled(padded, limit, _cheapest(padded)))
    known.append(_filled(padded, limit, padded.best(price)))
    best = min(known, key=tables.damage)
    return _improved(tables, rows, limit, price, best)


def fair_price(padded: Padded, limit: float) -> float:
    """The least price of cost at which the best choices meet the limit."""
    groups = np.arange(len(padded.costs))

    def fits(price: float) -> bool:
        return bool(padded.costs[groups, padded.best(price)].sum() <= limit)

    if fits(0.0):
        return 0.0
    high = 1e-6 / max(EVEN, float(padded.costs.max() - padded.costs.min()))
    for _ in range(4 * HALVINGS):
        if fits(high):
            break
        high *= 4
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _cheapest(padded: Padded) -> Chosen:
    chosen: list[int] = padded.costs.argmin(1).tolist()
    return chosen


def _filled(padded: Padded, limit: float, chosen: Chosen) -> Chosen:
    """Use what is left of the limit: again and again the change that saves most damage."""
    groups, now = np.arange(len(chosen)), np.array(chosen)
    left = limit - float(padded.costs[groups, now].sum())
    while True:
        more = padded.costs - padded.costs[groups, now][:, None]
        gain = np.where(more <= left, padded.damages[groups, now][:, None] - padded.damages, 0.0)
        group, choice = divmod(int(gain.argmax()), gain.shape[1])
        if gain[group, choice] <= 0:
            filled: list[int] = now.tolist()
            return filled
        left -= float(more[group, choice])
        now[group] = choice


def _improved(
    tables: Tables, rows: Sequence[Array], limit: float, price: float, known: Chosen
) -> Chosen:  # fmt: skip
    """The optimum, or what is known where nothing beats it."""
    priced = [damage + price * row for damage, row in zip(tables.damages, rows, strict=True)]
    floor = [float(own.min()) for own in priced]
    bound, best = sum(floor) - price * limit, tables.damage(known)
    gap = best - bound
    if gap <= EVEN * max(1.0, best):
        return known
    left = [np.flatnonzero(own - low < gap) for own, low in zip(priced, floor, strict=True)]
    order = sorted(range(len(left)), key=lambda i: len(left[i]))
    programme = _Programme(price, limit, best)
    floors = np.array([floor[i] for i in order])
    cheapest = np.array([float(rows[i][left[i]].min()) for i in order])
    for place, i in enumerate(order):
        programme.add(
            tables.damages[i][left[i]], rows[i][left[i]],
            float(floors[place + 1 :].sum()), float(cheapest[place + 1 :].sum()),
        )  # fmt: skip
        if not len(programme.damages):
            return known
    chosen = list(known)
    for i, choice in zip(order, programme.trace(), strict=True):
        chosen[i] = int(left[i][choice])
    return chosen if tables.damage(chosen) < best else known


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
        self._steps: list[tuple[np.ndarray, np.ndarray]] = []

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
        if len(able) > 8 * MAX_STATES:
            able = able[bound[able].argpartition(8 * MAX_STATES)[: 8 * MAX_STATES]]
        able = able[np.lexsort((damage[able], cost[able]))]
        lowest = np.minimum.accumulate(damage[able])
        able = able[np.concatenate([[True], damage[able][1:] < lowest[:-1]])[: len(able)]]
        if len(able) > MAX_STATES:
            able = able[np.sort(bound[able].argpartition(MAX_STATES)[:MAX_STATES])]
        self.damages, self._costs = damage[able], cost[able]
        self._steps.append((able // len(damages), able % len(damages)))

    def trace(self) -> list[int]:
        """The choices, group after group, of the state of least damage."""
        state, choices = int(self.damages.argmin()), []
        for parents, taken in reversed(self._steps):
            choices.append(int(taken[state]))
            state = int(parents[state])
        return choices[::-1]
