"""The smallest model whose accuracy stays above a floor."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from workbench.allocation import Budget
from workbench.data import Data
from workbench.errors import PlanError, SettingsError
from workbench.groups import Groups
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.trials import Bench, TrialSettings

STEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.025, 0.0125)
"""Parts that are kept on the way up, as long as the floor holds: 10 % cut, then 10 % more."""
TOLERANCE = 0.01
"""Bisecting ends when the budget is known to this part of the dense model, or of itself."""


@dataclass(frozen=True)
class Trial:
    """A budget that was tried.

    Attributes:
        kept: The part of the dense model that was asked for.
        plan: The plan for it.
        accuracy: Fraction of the validation images classified correctly after repair.
        loss: Mean cross-entropy in nats.
        samples: Images behind both.
        holds: Whether the accuracy is at or above the floor.
    """

    kept: float
    plan: PruningPlan
    accuracy: float
    loss: float
    samples: int
    holds: bool

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON, without the plan."""
        return {
            "kept": self.kept, "accuracy": self.accuracy, "loss": self.loss,
            "samples": self.samples, "holds": self.holds,
        }  # fmt: skip


@dataclass(frozen=True)
class FloorSearch:
    """The smallest model above a floor, and all that was tried.

    Attributes:
        floor: The least accuracy.
        unit: What was made small.
        trials: In the order in which they were made; the dense model is the first.
        complete: Whether the search came to its end.
    """

    floor: float
    unit: str
    trials: tuple[Trial, ...]
    complete: bool

    @property
    def best(self) -> Trial | None:
        """The smallest that holds; None where not even the dense model does."""
        holding = [trial for trial in self.trials if trial.holds]
        return min(holding, key=lambda trial: trial.kept, default=None)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "floor": self.floor, "unit": self.unit, "complete": self.complete,
            "trials": [trial.to_dict() for trial in self.trials],
        }  # fmt: skip


def smallest_above_floor(
    model: Model, data: Data, make: Callable[[Budget], PruningPlan], floor: float, *,
    groups: Groups, unit: str = "params", settings: TrialSettings | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> FloorSearch:  # fmt: skip
    """Cut more and more until the accuracy falls below a floor, then bisect between.

    Each budget is allocated, pruned, repaired and measured on validation images. Accuracy is
    taken to fall with the budget; where it does not quite, the smallest model that was seen to
    hold is the result.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split decides, its calibration split repairs.
        make: From a budget to a plan, such as ``allocate`` with all else given.
        floor: The least accuracy, 0 < floor < 1.
        groups: What ``find_groups(model, plan.granularity)`` returned.
        unit: What to make small, a unit of ``Budget``.
        settings: Repair and images; None for the usual ones.
        device: Where to run.
        report: Hears of every trial, with its values.
        should_stop: Ends early, with the trials so far.

    Raises:
        SettingsError: If the floor is out of range or not even the dense model is above it.
    """
    if not 0 < floor < 1:
        raise SettingsError(f"The floor is {floor:g}.", "Give an accuracy such as 0.92.")
    bench = Bench(
        model, data, groups, settings or TrialSettings(), device=device, should_stop=should_stop
    )
    search = _Search(bench, make, floor, unit, report)
    complete = True
    try:
        search.run()
    except StoppedError:
        complete = False
    return FloorSearch(floor, unit, tuple(search.trials), complete)


class _Search:
    """Tries budgets and remembers what came of them."""

    def __init__(
        self, bench: Bench, make: Callable[[Budget], PruningPlan], floor: float, unit: str,
        report: Report,
    ) -> None:  # fmt: skip
        self.trials: list[Trial] = []
        self._bench, self._make, self._floor, self._unit = bench, make, floor, unit
        self._report = report

    def run(self) -> None:
        """Go down until the floor is missed, then between."""
        dense = self._try(1.0, self._make(Budget(self._unit, 1.0)).with_sparsities({}))
        if not dense.holds:
            raise SettingsError(
                f"The dense model classifies {100 * dense.accuracy:.2f} % of {dense.samples:,} "
                f"validation images correctly, less than the floor of {100 * self._floor:.2f} %.",
                "Choose a lower floor.",
            )
        low, high = 0.0, 1.0  # what does not hold, and what does
        for kept in STEPS:
            if not self._holds(kept):
                low = kept
                break
            high = kept
        while low and high - low > TOLERANCE * max(high, 0.2):
            middle = (low + high) / 2
            if self._holds(middle):
                high = middle
            else:
                low = middle

    def _holds(self, kept: float) -> bool:
        """Whether a budget can be met and the accuracy stays above the floor."""
        try:
            plan = self._make(Budget(self._unit, kept))
        except PlanError:
            return False  # so little cannot be kept
        return self._try(kept, plan).holds

    def _try(self, kept: float, plan: PruningPlan) -> Trial:
        """Measure a plan."""
        found = self._bench.score(plan)
        trial = Trial(
            kept, plan, found.accuracy, found.loss, found.samples, found.accuracy >= self._floor
        )
        self.trials.append(trial)
        message = f"{self._unit}={kept:.3g}: accuracy {100 * found.accuracy:.2f} %"
        self._report(Progress(len(self.trials), 0, message, trial.to_dict()))
        return trial
