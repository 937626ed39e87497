"""Step by step, always the one that hurts least for what it saves."""

import numpy as np

from workbench.allocation.costs import Array, Counts
from workbench.allocation.pool import between
from workbench.allocation.problem import Problem, Tables, give_back_, spaced
from workbench.allocation.rule import Allocation, by_damage

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
        tables = _saving_steps(self._problem)
        chosen, last = _descend(tables)
        counts = tables.taken(chosen)
        if last < 0:
            return counts
        if self._problem.pool.kind == "channel":
            before = int(tables.counts[last, chosen[last] - 1])
            return _shorten(self._problem, counts, last, before)
        if self._problem.pool.kind != "nm":
            left = tables.most - tables.bill.total(chosen)
            give_back_(self._problem, counts, left, [last])
        return counts


def _saving_steps(problem: Problem) -> Tables:
    """Tables of evenly spaced choices, without those that save nothing over the ones before."""
    tables = problem.tables(lambda _, counts: spaced(counts, GRID))
    costs = tables.bill.costs(tables.bill.rates(np.zeros(len(tables.counts), dtype=np.int64)))
    least = np.minimum.accumulate(costs, axis=1)
    keep = np.ones(costs.shape, dtype=bool)
    keep[:, 1:] = costs[:, 1:] < least[:, :-1]
    return problem.tables(lambda i, _: tables.counts[i, keep[i]])


def _descend(tables: Tables) -> tuple[Counts, int]:
    """Take steps until the limit is met.

    Returns:
        What is chosen then, and the group of the last step; -1 where none was needed.
    """
    bill = tables.bill
    chosen, last = np.zeros(len(tables.counts), dtype=np.int64), -1
    rates, total = bill.rates(chosen), bill.total(chosen)
    damages, shares = _steps(tables.damages, np.inf), _steps(-bill.shares, 0.0)
    own = _steps(-bill.own, 0.0)
    damage, share, alone = damages[:, 0].copy(), shares[:, 0].copy(), own[:, 0].copy()
    while total > tables.most:
        saved = rates * share + alone
        last = int((damage / np.maximum(saved, 1e-300)).argmin())
        if not np.isfinite(damage[last]):
            break
        total -= float(saved[last])
        rates -= bill.both[last] * share[last]
        chosen[last] += 1
        at = int(chosen[last])
        damage[last], share[last], alone[last] = damages[last, at], shares[last, at], own[last, at]
    return chosen, last


def _steps(values: Array, end: float) -> Array:
    """Differences from each choice to the next; behind the last one another value."""
    with np.errstate(invalid="ignore"):
        steps = np.nan_to_num(np.diff(values, axis=1), nan=np.inf, posinf=np.inf)
    return np.concatenate([steps, np.full((len(values), 1), end)], axis=1)


def _shorten(problem: Problem, counts: list[int], group: int, least: int) -> list[int]:
    """Take back as much of a group's last step as the limit allows."""
    tables = problem.tables(
        lambda i, own: between(own, least, counts[i]) if i == group else [counts[i]]
    )
    chosen = np.zeros(len(counts), dtype=np.int64)
    low, high = -1, int(tables.sizes[group]) - 1
    while high - low > 1:
        chosen[group] = (low + high) // 2
        if tables.fits(chosen):
            high = (low + high) // 2
        else:
            low = (low + high) // 2
    counts[group] = int(tables.counts[group, high])
    return counts


METHOD = Allocation(
    name="greedy",
    title="Greedy",
    summary="Takes the step of least predicted damage for what it saves, again and again.",
    explanation=(
        "It begins with the dense network and takes small steps. In each one it looks at every "
        "group: how much would the loss rise, by the group's sensitivity curve, if it were cut a "
        "fortieth further, and how much of the budget would that save? The step with the least "
        "damage for its saving is taken, and so on until the budget is met. What a step saves is "
        "counted anew each time, since thinner neighbours make a channel cheaper. It is quick and "
        "near the best plan, but never goes back on a step."
    ),
    formula=(
        r"g^{*} = \arg\min_g \frac{\Delta L_g}{\Delta C_g}, \quad "
        r"s_{g^{*}} \leftarrow s_{g^{*}} + \delta"
    ),
    paper=(
        'Yang et al. 2018, "NetAdapt: Platform-Aware Neural Network Adaptation for Mobile '
        'Applications", section 3'
    ),
    needs=("curves",),
    strengths="Weighs damage against saving in any resource, measured latency included.",
    limits="Short-sighted: a cheap first step can lead past a better plan. Needs curves.",
    spread=by_damage(Greedy),
)
