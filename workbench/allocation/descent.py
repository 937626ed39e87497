"""Choose one of each group's choices where groups share costs: products of what is kept.

At a price of cost, groups are set one after another to their best choice with the others as they
are, until none changes; the price is halved and doubled until the limit is just met. From there
single changes and exchanges between two groups use the rest: one group gives up some, another
takes what that frees.
"""

from collections.abc import Iterable

import numpy as np

from workbench.allocation.costs import Array, Bill, Counts
from workbench.allocation.knapsack import EVEN
from workbench.allocation.problem import Tables

PRICES = 40
CLOSE = 1.003
"""Prices of this ratio are the same."""
SWEEPS = 8
STARTS = 6
EXCHANGES = 200
PAIRS = 160
"""So many changes of one group, the most promising, are paired with each other."""


def solve_crossed(tables: Tables, starts: Iterable[Counts]) -> Counts:
    """Choices of small damage that meet the limit, never worse than the starts that do.

    Args:
        tables: Choices; the last ones of all groups meet the limit.
        starts: Known solutions, from which the search begins as well.
    """
    found = [start for start in starts if tables.fits(start)]
    price, by_price = _search_price(tables)
    ranked = sorted([*found, *by_price], key=tables.damage)
    best = [_exchanged(tables, price, chosen) for chosen in _distinct(ranked)[:STARTS]]
    return min([*best, *found], key=tables.damage)


def improve_crossed(tables: Tables, start: Counts) -> Counts:
    """The start, improved by changes of one group and by exchanges between two."""
    return _exchanged(tables, _price_at(tables, start), start)


def _distinct(solutions: Iterable[Counts]) -> list[Counts]:
    return list({tuple(chosen.tolist()): chosen for chosen in solutions}.values())


def _search_price(tables: Tables) -> tuple[float, list[Counts]]:
    """The least price at which the limit is met, and solutions on the way to it."""
    chosen, groups = tables.sizes - 1, _apart(tables.bill)
    found, low, high = [chosen], 0.0, _first_price(tables)
    for _ in range(PRICES):
        price = high if not low else (low * high) ** 0.5
        chosen = _settled(tables, price, chosen, groups)
        if tables.fits(chosen):
            found.append(chosen)
            high = price if low else high / 4
        else:
            low, high = price, high if low else high * 4
        if low and high / low < CLOSE:
            break
    return high, found


def _first_price(tables: Tables) -> float:
    """Damage of cutting everything for what it saves."""
    last = tables.sizes - 1
    first = np.zeros_like(last)
    saved = tables.bill.total(first) - tables.bill.total(last)
    return max(EVEN, tables.damage(last) - tables.damage(first)) / max(EVEN, saved)


def _apart(bill: Bill) -> list[Counts]:
    """Groups in sets that share no cost, so that all of a set can be set at once."""
    colours: list[list[int]] = []
    for group in range(len(bill.both)):
        free = next((own for own in colours if not bill.both[group, own].any()), None)
        if free is None:
            colours.append([group])
        else:
            free.append(group)
    return [np.array(own) for own in colours]


def _settled(tables: Tables, price: float, start: Counts, apart: list[Counts]) -> Counts:
    """Set each group to its best choice at a price, over and over until none changes."""
    bill, chosen = tables.bill, start.copy()
    share = bill.shares[bill.numbers, chosen]
    for _ in range(SWEEPS):
        before = chosen.copy()
        for own in apart:
            rates = bill.once[own] + bill.both[own] @ share
            costs = bill.own[own] + bill.shares[own] * rates[:, None]
            chosen[own] = (tables.damages[own] + price * costs).argmin(1)
            share[own] = bill.shares[own, chosen[own]]
        if (before == chosen).all():
            break
    return chosen


def _price_at(tables: Tables, chosen: Counts) -> float:
    """What damage the groups pay for a cost: the median over their next and last steps."""
    costs = tables.bill.costs(tables.bill.rates(chosen))
    groups, prices = tables.bill.numbers, []
    for step in (-1, 1):
        near = np.clip(chosen + step, 0, tables.sizes - 1)
        damage = tables.damages[groups, near] - tables.damages[groups, chosen]
        saved = costs[groups, chosen] - costs[groups, near]
        prices += (damage[saved != 0] / saved[saved != 0]).tolist()
    return float(np.median(prices)) if prices else 0.0


def _exchanged(tables: Tables, price: float, start: Counts) -> Counts:
    """Improve a solution by changes of one group, and by exchanges between two."""
    chosen = start.copy()
    for _ in range(EXCHANGES):
        if not _exchange_(tables, price, chosen):
            break
    return chosen


def _exchange_(tables: Tables, price: float, chosen: Counts) -> bool:
    """Make the change of one group, or of two, that takes most damage away; False if none does.

    Two changes together pay only if both are worth about their cost at the common price, so the
    changes are ranked by that and the best are paired.
    """
    bill, groups = tables.bill, tables.bill.numbers
    costs = bill.costs(bill.rates(chosen))
    more = costs - costs[groups, chosen][:, None]
    worse = tables.damages - tables.damages[groups, chosen][:, None]
    worth = worse + price * more
    worth[groups, chosen] = np.inf
    flat = worth.ravel()
    ranked = np.flatnonzero(flat < np.inf)
    if len(ranked) > PAIRS:
        ranked = ranked[flat[ranked].argpartition(PAIRS)[:PAIRS]]
    if not len(ranked):
        return False
    group, choice = np.divmod(ranked, worth.shape[1])
    left = tables.most - bill.total(chosen)
    gain, pair = _best_pair(
        bill, group, bill.shares[group, choice] - bill.shares[group, chosen[group]],
        worse[group, choice], more[group, choice], left,
    )  # fmt: skip
    if gain <= EVEN:
        return False
    for place in pair:
        chosen[group[place]] = choice[place]
    return True


def _best_pair(
    bill: Bill, group: Counts, share: Array, worse: Array, more: Array, left: float
) -> tuple[float, tuple[int, int]]:
    """The pair of changes, or one change twice, that takes most damage away within the limit.

    Args:
        bill: The costs.
        group: The group of each change.
        share: What it adds to its group's share.
        worse: What it adds to the damage.
        more: What it adds to the cost.
        left: What may be added.
    """
    cost = more[:, None] + more + bill.both[np.ix_(group, group)] * np.outer(share, share)
    damage = worse[:, None] + worse
    same = group[:, None] == group
    cost[same], damage[same] = np.inf, np.inf
    np.fill_diagonal(cost, more)
    np.fill_diagonal(damage, worse)
    damage[cost > left] = np.inf
    first, second = divmod(int(damage.argmin()), len(group))
    return -float(damage[first, second]), (first, second)
