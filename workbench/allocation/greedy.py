"""Step by step, always the one that hurts least for what it saves."""

import numpy as np

from workbench.allocation.problem import Chosen, Problem, Tables, between, spaced

GRID = 41
"""At most so many steps of a group."""


class Greedy:
    """From the dense model, repeatedly the step of least predicted damage for what it saves.

    A step takes a group on by a fortieth of what it can lose; where a step saves nothing, by as
    many as do. The last one goes only as far as the target asks.

    References:
        Yang et al. 2018, "NetAdapt: Platform-Aware Neural Network Adaptation", section 3.
        Qualcomm AIMET (greedy selection of compression ratios).
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def counts(self) -> list[int]:
        """How many units of each group go."""
        tables = saving_steps(self._problem)
        chosen, last = descend(tables)
        counts = tables.taken(chosen)
        if last is None:
            return counts
        before = int(tables.counts[last][chosen[last] - 1])
        return _shorten(self._problem, counts, last, before)


def saving_steps(problem: Problem) -> Tables:
    """Tables of evenly spaced choices, without those that save nothing over the ones before."""
    tables = problem.tables(lambda _, counts: spaced(counts, GRID))
    rates = tables.bill.rates(np.array([own[0] for own in tables.bill.shares]))
    saving = []
    for i, own in enumerate(tables.counts):
        costs = tables.bill.rows(i, rates)
        least = np.minimum.accumulate(costs)
        keep = np.concatenate([[True], costs[1:] < least[:-1]])
        saving.append(own[keep])
    return problem.tables(lambda i, _: saving[i])


def descend(tables: Tables) -> tuple[Chosen, int | None]:
    """Take steps until the limit is met.

    Returns:
        What is chosen then, and the group of the last step; None where none was needed.
    """
    bill, groups = tables.bill, len(tables.counts)
    chosen = [0] * groups
    share = np.array([own[0] for own in bill.shares])
    rates, total, last = bill.rates(share), bill.total(chosen), None
    steps = [_Step(tables, i) for i in range(groups)]
    price = np.array([step.damage for step in steps])
    linear = np.array([step.linear for step in steps])
    other = np.array([step.other for step in steps])
    while total > tables.most:
        saved = rates * linear + other
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(saved > 0, price / saved, np.inf)
        each[np.isinf(price)] = np.inf
        last = int(each.argmin())
        if np.isinf(each[last]):
            last = int(np.where(np.isinf(price), -np.inf, saved).argmax())
        chosen[last] += 1
        total -= float(saved[last])
        rates -= bill.both[last] * linear[last]
        step = _Step(tables, last, chosen[last])
        price[last], linear[last], other[last] = step.damage, step.linear, step.other
    return chosen, last


class _Step:
    """The next step of a group: its damage, and what it saves as ``rate * linear + other``."""

    def __init__(self, tables: Tables, group: int, at: int = 0) -> None:
        if at + 1 >= len(tables.counts[group]):
            self.damage, self.linear, self.other = np.inf, 0.0, 0.0
            return
        share, own = tables.bill.shares[group], tables.bill.own[group]
        twice = float(tables.bill.twice[group])
        self.damage = float(tables.damages[group][at + 1] - tables.damages[group][at])
        self.linear = float(share[at] - share[at + 1])
        self.other = float(own[at] - own[at + 1] + twice * (share[at] ** 2 - share[at + 1] ** 2))


def _shorten(problem: Problem, counts: list[int], group: int, least: int) -> list[int]:
    """Take back as much of a group's last step as the limit allows."""
    tables = problem.tables(
        lambda i, own: between(own, least, counts[i]) if i == group else [counts[i]]
    )
    chosen = [0] * len(counts)
    low, high = -1, len(tables.counts[group]) - 1
    while high - low > 1:
        middle = (low + high) // 2
        chosen[group] = middle
        if tables.fits(chosen):
            high = middle
        else:
            low = middle
    counts[group] = int(tables.counts[group][high])
    return counts
