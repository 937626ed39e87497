"""Trials: what plans really do, measured on validation images after the chosen repair."""

from dataclasses import dataclass

import torch

from workbench.data import Data
from workbench.errors import SettingsError
from workbench.groups import Groups
from workbench.metrics import Score, score
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.progress import ShouldStop, StoppedError, never, raise_if_stopped
from workbench.prune import prune
from workbench.repair import get_repair, repair

CALIBRATION = 1_000


@dataclass(frozen=True)
class TrialSettings:
    """How plans are tried.

    Attributes:
        repair: What is done to every pruned model before it is measured.
        num_samples: Validation images, the same for all.
        seed: Chooses the images.

    Raises:
        SettingsError: If a value is out of range or the repair is unknown.
    """

    repair: str = "bn"
    num_samples: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        get_repair(self.repair)
        if self.num_samples < 1:
            raise SettingsError(f"num_samples is {self.num_samples}.", "Give at least 1.")


class Bench:
    """Measures plans of one model; the same plan only once.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        groups: What ``find_groups(model, plan.granularity)`` returned.
        settings: Repair and images.
        device: Where to run.
        should_stop: Asked between the passes.

    Raises:
        DataError: If the data do not fit the model.
    """

    def __init__(
        self, model: Model, data: Data, groups: Groups, settings: TrialSettings, *,
        device: torch.device | str = "cpu", should_stop: ShouldStop = never,
    ) -> None:  # fmt: skip
        model = with_data(model, data, should_stop)
        self._model, self._data, self._groups = model, data, groups
        self._settings, self._device, self._should_stop = settings, device, should_stop
        self._split = data.split("validation", settings.num_samples, settings.seed)
        self._known: dict[str, Score] = {}

    def score(self, plan: PruningPlan) -> Score:
        """Accuracy and loss of the model under a plan, repaired.

        Raises:
            StoppedError: If it should stop before all images were seen.
        """
        if plan.digest not in self._known:
            settings = self._settings
            raise_if_stopped(self._should_stop)
            pruned = repair(
                prune(self._model, plan, self._groups), self._data, settings.repair,
                num_samples=CALIBRATION, seed=settings.seed, device=self._device,
                should_stop=self._should_stop,
            ).pruned  # fmt: skip
            raise_if_stopped(self._should_stop)  # it may have come back unrepaired
            found = score(
                pruned.model.module, self._split, device=self._device,
                should_stop=self._should_stop,
            )  # fmt: skip
            if found.samples < len(self._split):
                raise StoppedError
            self._known[plan.digest] = found
        return self._known[plan.digest]
