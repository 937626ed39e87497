"""The trade-off between worth and cost, learnt by measuring a few plans on validation images."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from workbench.allocation.cost_aware import check_trade_off
from workbench.data import Data
from workbench.errors import PlanError, SettingsError
from workbench.groups import Groups
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.trials import Bench, TrialSettings

TRADE_OFFS = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5)
"""Exponents that are tried; 0 is blind for costs, so what is learnt is no worse than that on the
images that decided."""
LEARNT = "cost_aware"
"""The allocation that has a trade-off to learn."""


@dataclass(frozen=True)
class TradeOffTrial:
    """One exponent that was tried.

    Attributes:
        trade_off: The exponent of the costs.
        loss: Measured loss of its plan after repair, in nats; None where there is no plan.
        accuracy: Measured accuracy of its plan; None where there is no plan.
        reason: Why there is no plan; empty where there is one.
    """

    trade_off: float
    loss: float | None
    accuracy: float | None
    reason: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LearntTradeOff:
    """The exponent whose plan lost least.

    Attributes:
        trade_off: The exponent.
        plan: Its plan.
        trials: All that were tried, in their order.
        samples: Validation images behind them.
        complete: Whether all of them were tried.
    """

    trade_off: float
    plan: PruningPlan
    trials: tuple[TradeOffTrial, ...]
    samples: int
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, without the plan."""
        return {
            "trade_off": self.trade_off, "trials": [one.to_dict() for one in self.trials],
            "samples": self.samples, "complete": self.complete,
        }  # fmt: skip


def learn_trade_off(
    model: Model, data: Data, make: Callable[[float], PruningPlan], *, groups: Groups,
    trade_offs: Sequence[float] = TRADE_OFFS, settings: TrialSettings | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> LearntTradeOff | None:  # fmt: skip
    """Try a handful of exponents at one budget and keep the one whose plan loses least.

    Every plan meets the same budget, is repaired and measured on the same validation images. With
    equal losses the first wins, so that costs count only where that helps.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split decides, its calibration split repairs.
        make: From an exponent to the plan that meets the budget with it.
        groups: What ``find_groups(model, plan.granularity)`` returned.
        trade_offs: Exponents, each from 0 to 4.
        settings: Repair and images; None for the usual ones.
        device: Where to run.
        report: Hears of every trial, with its values.
        should_stop: Ends early, with the best so far.

    Returns:
        What was learnt, or None if it was stopped before the first plan was measured.

    Raises:
        SettingsError: If no exponent is given.
        PlanError: If an exponent is out of range, or no exponent has a plan.
    """
    if not trade_offs:
        raise SettingsError("No trade-off was given.", "Give a few exponents, such as 0, 0.5, 1.")
    exponents = [check_trade_off(value) for value in trade_offs]
    bench = Bench(
        model, data, groups, settings or TrialSettings(), device=device, should_stop=should_stop
    )
    search = _Search(bench, make)
    for number, exponent in enumerate(exponents, 1):
        try:
            raise_if_stopped(should_stop)
            search.attempt(exponent)
        except StoppedError:
            break
        trial = search.trials[-1]
        told = trial.reason if trial.loss is None else f"loss {trial.loss:.4f}"
        message = f"Trade-off {exponent:g}: {told}"
        report(Progress(number, len(exponents), message, trial.to_dict()))
    return search.result(len(exponents))


class _Search:
    """The best plan so far."""

    def __init__(self, bench: Bench, make: Callable[[float], PruningPlan]) -> None:
        self._bench, self._make = bench, make
        self._best: tuple[float, float, PruningPlan] | None = None
        self._refused: PlanError | None = None
        self._samples = 0
        self.trials: list[TradeOffTrial] = []

    def attempt(self, exponent: float) -> None:
        """Measure the plan of an exponent."""
        try:
            plan = self._make(exponent)
        except PlanError as error:
            self._refused = error
            self.trials.append(TradeOffTrial(exponent, None, None, str(error)))
            return
        found = self._bench.score(plan)
        self._samples = found.samples
        self.trials.append(TradeOffTrial(exponent, found.loss, found.accuracy))
        if self._best is None or found.loss < self._best[0]:
            self._best = (found.loss, exponent, plan)

    def result(self, wanted: int) -> LearntTradeOff | None:
        """What came of it."""
        complete = len(self.trials) == wanted
        if self._best is None:
            if complete and self._refused is not None:
                raise self._refused
            return None
        _loss, exponent, plan = self._best
        return LearntTradeOff(exponent, plan, tuple(self.trials), self._samples, complete)
