"""Choose one of each group's choices where groups share costs: products of what is kept.

At a price of cost, groups are set one after another to their best choice with the others as they
are, until none changes; the price is halved and doubled until the limit is just met. From there
single changes and exchanges between two groups use the rest: one group gives up some, another
takes what that frees.
"""

from collections.abc import Iterable

import numpy as np

from workbench.allocation.costs import Array
from workbench.allocation.knapsack import EVEN
from workbench.allocation.problem import Chosen, Tables

PRICES = 24
SWEEPS = 8
EXCHANGES = 400
STEPS = (1, 2, 4, 8)


def solve_crossed(tables: Tables, starts: Iterable[Chosen]) -> Chosen:
    """Choices of small damage that meet the limit, never worse than the starts that do.

    Args:
        tables: Choices; the last ones of all groups meet the limit.
        starts: Known solutions, from which the search begins as well.
    """
    known = [start for start in starts if tables.fits(start)]
    state = State(tables, [len(own) - 1 for own in tables.counts])
    found = [*known, *by_price(tables, state)]
    ranked = sorted(found, key=tables.damage)
    distinct = [chosen for i, chosen in enumerate(ranked) if chosen not in ranked[:i]]
    best = [exchanged(tables, chosen) for chosen in distinct[:STARTS]]
    return min([*best, *known], key=tables.damage)


STARTS = 3


class State:
    """What is chosen now, with the rates at which every group's share is charged.

    Attributes:
        chosen: The choice of each group.
        rates: ``bill.rates`` at that.
    """

    def __init__(self, tables: Tables, chosen: Chosen) -> None:
        self.tables, self.chosen = tables, list(chosen)
        pairs = zip(tables.bill.shares, chosen, strict=True)
        self.rates = tables.bill.rates(np.array([own[i] for own, i in pairs]))

    def set(self, group: int, choice: int) -> None:
        """Choose another for one group."""
        share = self.tables.bill.shares[group]
        self.rates += self.tables.bill.both[group] * (share[choice] - share[self.chosen[group]])
        self.chosen[group] = choice

    def settle(self, price: float) -> None:
        """Set each group to its best choice at a price, over and over until none changes."""
        tables = self.tables
        for _ in range(SWEEPS):
            changed = False
            for group, damage in enumerate(tables.damages):
                priced = damage + price * tables.bill.rows(group, self.rates)
                choice = int(priced.argmin())
                if priced[choice] < priced[self.chosen[group]]:
                    self.set(group, choice)
                    changed = True
            if not changed:
                return


def by_price(tables: Tables, state: State) -> list[Chosen]:
    """The best solutions that prices lead to; the state is where the search stands."""
    found, low, high = [], 0.0, _first_price(tables)
    for _ in range(PRICES):
        state.settle(high)
        if tables.fits(state.chosen):
            found.append(list(state.chosen))
            break
        low, high = high, high * 4
    for _ in range(PRICES):
        middle = (low * high) ** 0.5 if low else high / 4
        state.settle(middle)
        if tables.fits(state.chosen):
            found.append(list(state.chosen))
            high = middle
        else:
            low = middle
        if low and high / low < 1.001:
            break
    return found


def _first_price(tables: Tables) -> float:
    """Damage of cutting everything for what it saves."""
    first, last = [0] * len(tables.counts), [len(own) - 1 for own in tables.counts]
    saved = tables.bill.total(first) - tables.bill.total(last)
    return max(EVEN, tables.damage(last) - tables.damage(first)) / max(EVEN, saved)


def exchanged(tables: Tables, chosen: Chosen) -> Chosen:
    """Improve a solution by changes of one group, and by exchanges between two."""
    search = _Exchange(tables, chosen)
    for _ in range(EXCHANGES):
        if not search.relax() and not search.exchange():
            break
    return search.state.chosen


class _Exchange:
    """A solution and all changes of one group, as matrices ``(groups, choices)``."""

    def __init__(self, tables: Tables, chosen: Chosen) -> None:
        self._tables, self.state = tables, State(tables, chosen)
        bill, width = tables.bill, max(map(len, tables.counts))
        shape = (len(tables.counts), width)
        self._damages = np.full(shape, np.inf)
        self._shares, self._own = np.zeros(shape), np.zeros(shape)
        for i, damage in enumerate(tables.damages):
            self._damages[i, : len(damage)] = damage
            self._shares[i, : len(damage)] = bill.shares[i]
            self._own[i, : len(damage)] = bill.own[i] + bill.twice[i] * bill.shares[i] ** 2
        self._rows = np.arange(len(tables.counts))

    def relax(self) -> bool:
        """Make the one change that takes most damage away within the limit; False if none does."""
        left = self._tables.most - self._tables.bill.total(self.state.chosen)
        found = self._best(self.state.rates, left, -1)
        if found is None:
            return False
        self.state.set(*found[:2])
        return True

    def exchange(self) -> bool:
        """Make the best exchange of the first group that has one; False if none has."""
        tables, state = self._tables, self.state
        left = tables.most - tables.bill.total(state.chosen)
        for group, now in enumerate(state.chosen):
            damages = tables.damages[group]
            costs = tables.bill.rows(group, state.rates)
            for step in STEPS:
                if now + step >= len(damages):
                    break
                share = tables.bill.shares[group]
                rates = state.rates + tables.bill.both[group] * (share[now + step] - share[now])
                freed = left + float(costs[now] - costs[now + step])
                found = self._best(rates, freed, group)
                if found and found[2] > (damages[now + step] - damages[now]) * (1 + EVEN) + EVEN:
                    state.set(group, now + step)
                    state.set(*found[:2])
                    return True
        return False

    def _best(self, rates: Array, left: float, but: int) -> tuple[int, int, float] | None:
        """The change of one group that takes most damage away and costs no more than is left."""
        now = np.asarray(self.state.chosen)
        costs = self._own + self._shares * rates[:, None]
        more = costs - costs[self._rows, now][:, None]
        gain = self._damages[self._rows, now][:, None] - self._damages
        gain[more > left] = -np.inf
        if but >= 0:
            gain[but] = -np.inf
        place = int(gain.argmax())
        group, choice = divmod(place, gain.shape[1])
        most = float(gain[group, choice])
        return (group, choice, most) if most > EVEN else None
