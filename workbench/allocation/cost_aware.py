"""One ranking over the units of all groups, by what each is worth for what it costs."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from workbench.allocation.budget import Target
from workbench.allocation.costs import UNITS, Costs
from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, meet_target
from workbench.errors import PlanError

MAX_TRADE_OFF = 4.0
LEAST_COST = 1e-3
"""A unit that seems to cost nothing counts as this part of the mean."""


class CostAware(GlobalRanking):
    """The lowest scores for what a unit costs go first, until the budget is met.

    The score of every unit is divided by the part of the budget that goes with it, raised to the
    trade-off: exponent 0 is the global ranking, blind for costs; 1 weighs score for cost, as the
    greedy solution of a knapsack does. What a unit costs is what its group saves between dense and
    its last unit, others dense, spread evenly over its units: exact for single weights; for
    channels a start, since what two groups share goes but once. In latency that is the measured
    time of the whole model with the group cut, so that a group whose cut saves no time stays
    whole. Negative scores are multiplied, so that of two equal ones the dearer still goes first.

    References:
        Shen et al. 2022, "Structural Pruning via Latency-Saliency Knapsack" (HALP), section 3.
        Yang et al. 2018, "NetAdapt: Platform-Aware Neural Network Adaptation", section 3.

    Args:
        pool: The groups; its ``trade_off`` is the exponent.
        target: Says in what costs count; a sparsity counts units, which cost the same everywhere.

    Raises:
        PlanError: If the budget is in latency and there are no times.
    """

    def __init__(self, pool: Pool, target: Target) -> None:
        self._unit = target.budget.unit if target.budget else UNITS
        super().__init__(pool)

    def ranked(self, pool: Pool) -> Iterator[Tensor]:
        """Scores of the units of each group, flat, for what they cost."""
        costs = unit_costs(pool, self._unit)
        for scores, cost in zip(pool.scores(), costs, strict=True):
            weight = float(cost) ** pool.trade_off
            yield torch.where(scores < 0, scores.double() * weight, scores.double() / weight)


def unit_costs(pool: Pool, unit: str) -> list[float]:
    """What one unit of each member costs, as a multiple of the mean over the members.

    Blocks, kernels and N:M are scored by the mean of their weights, so their costs are those of a
    weight. With a sparsity as the target everything costs 1.

    Args:
        pool: The groups.
        unit: Of a budget, or ``units``.

    Raises:
        PlanError: If the unit is latency and there are no times, or zeros cannot save time.
    """
    number = len(pool.members)
    if unit == UNITS:
        return [1.0] * number
    costs = Costs(pool, unit)
    most = np.array([pool.counts(group)[-1] for group in pool.members])
    bill = costs.bill(np.stack([np.zeros_like(most), most], axis=1))
    kept = bill.costs(bill.rates(np.zeros(number, dtype=np.int64)))
    gone = most if pool.kind == "channel" else _weights_gone(pool, most)
    saved = (kept[:, 0] - kept[:, 1]) / np.maximum(1, gone)
    mean = float(saved.clip(min=0).mean())
    if mean <= 0:
        return [1.0] * number
    found: list[float] = np.maximum(saved / mean, LEAST_COST).tolist()
    return found


def check_trade_off(value: object) -> float:
    """The exponent as a float.

    Raises:
        PlanError: If it is no number from 0 to 4.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_TRADE_OFF:  # type: ignore[operator]
        raise PlanError(
            f"The trade-off is {value!r}.",
            f"Give an exponent from 0 (blind for costs) to {MAX_TRADE_OFF:g}, such as 1.",
        )
    return float(value)  # type: ignore[arg-type]


def _weights_gone(pool: Pool, counts: np.ndarray) -> np.ndarray:
    gone = [
        pool.all.num_pruned_weights(group.name, pool.sparsity_of(group, int(count)))
        for group, count in zip(pool.members, counts, strict=True)
    ]
    return np.array(gone, dtype=float)


def _spread(pool: Pool, target: Target) -> Mapping[str, float]:
    return meet_target(pool, CostAware(pool, target), target)


METHOD = Allocation(
    name="cost_aware",
    title="Cost-aware",
    summary="Ranks all units together by their score for what they cost, in the budget's unit.",
    explanation=(
        "A criterion says what a weight or channel is worth, but not what it costs to keep: a "
        "channel on a large feature map takes many times the work of one on a small map. This "
        "rule divides each score by what its unit costs in the unit of the budget, be it "
        "parameters, multiply-accumulates, bytes or the measured time of the whole model, and "
        "removes the lowest until the budget is met. An exponent sets how much costs count: 0 is "
        "plain global ranking, 1 is worth for cost. The exponent can be learnt by measuring a few "
        "plans on validation images. Reach for it where the budget is time."
    ),
    formula=r"s_i' = \frac{s_i}{c_i^{\lambda}},\qquad c_i = \text{what unit } i "
    r"\text{ takes of the budget}",
    paper=(
        'Shen et al. 2022, "Structural Pruning via Latency-Saliency Knapsack" (HALP), section 3; '
        'Yang et al. 2018, "NetAdapt", section 3'
    ),
    strengths=(
        "Meets a budget with fewer units lost than a ranking that is blind for costs; needs no "
        "images at all."
    ),
    limits=(
        "Magnitudes of channels are relative to their group, so that dividing them by costs "
        "overshoots: take a criterion in units of loss (Taylor, Fisher), whose scores for a "
        "latency are loss per millisecond, or let the exponent be learnt. Costs are those of the "
        "dense network; they change as others are cut."
    ),
    options=("trade_off",),
    spread=_spread,
)
