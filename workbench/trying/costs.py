"""What every method costs on a model: seconds, measured one after the other."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from workbench.allocation import ALLOCATIONS, allocate
from workbench.catalogue import methods, methods_of
from workbench.corruptions import CORRUPTIONS
from workbench.criteria import CRITERIA
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.device import on_device
from workbench.ensembles import ENSEMBLES
from workbench.errors import WorkbenchError
from workbench.evidence import Evidence
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.groups import Groups, find_groups
from workbench.model import Model, check_fit
from workbench.plan import digest_of_json
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.prune import prune
from workbench.repair import has_batch_norm, repair
from workbench.replacement import REPLACEMENTS, ReplacementSettings
from workbench.scoring import score_layer, score_units
from workbench.sparse_training import SparseTrainingSettings
from workbench.sparse_training.running import train_sparse
from workbench.training import FINETUNING
from workbench.trying.values import GRANULARITIES, MAGNITUDE, check_granularity
from workbench.trying.work import BATCH, REPAIR_SAMPLES

MEMBERS = 3
"""Models whose answers the timed ensembles combine."""
SEVERITY = 3
"""Of the corruptions that are timed."""
IMAGES = 1_000
"""Images that are corrupted, and answered by ensembles."""
LEVEL = 0.3
"""Sparsity of the plans that are timed; every rule can meet it, and it takes them as long."""
SHOWN = 512
"""Training images behind the seconds of an epoch."""


@dataclass(frozen=True)
class Cost:
    """What one method takes.

    Attributes:
        family: A name in ``FAMILIES``.
        method: Its name.
        seconds: Of a criterion: for scoring everything that may be pruned, images and all; of an
            allocation: for a plan, curves at hand; of a repair or a replacement: for all of it; of
            whatever trains: for one pass over the training images; of a corruption: for 1,000
            images; of an ensemble: for combining what three models say of as many. None where it
            cannot be used.
        reason: Why it cannot; empty where it can.
    """

    family: str
    method: str
    seconds: float | None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Cost":
        """The reverse of ``to_dict``."""
        return cls(**values)


def costs_key(model: str, data: str, granularity: str) -> str:
    """Names a model, data and a granularity, all by content."""
    return digest_of_json({"model": model, "data": data, "granularity": granularity})


def measure_costs(
    model: Model, data: Data, granularity: str = "weight", *,
    curves: SensitivityCurves | None = None, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never,
) -> list[Cost]:  # fmt: skip
    """Time every method on a model, family by family.

    Args:
        model: The dense model; it stays as it is.
        data: Serves as methods need.
        granularity: A name in ``GRANULARITIES``.
        curves: Sensitivity curves at hand, for allocations that need some.
        device: Where to compute.
        report: Hears of every method, with its cost as ``values["cost"]``.
        should_stop: Ends with those so far.

    Raises:
        DataError: If the data do not fit the model.
        SettingsError: If there is no such granularity.
    """
    check_fit(model, data)
    check_granularity(granularity)
    clock = _Clock(model, data, granularity, curves, torch.device(device), should_stop)
    work = [*clock.work()]
    found: list[Cost] = []
    for number, (family, method, action) in enumerate(work):
        if should_stop():
            break
        title = methods_of(family)[method].title
        report(Progress(number, len(work), title))
        try:
            cost = _timed(family, method, action)
        except StoppedError:
            break
        if should_stop():  # it may have ended before its time
            break
        found.append(cost)
        report(Progress(number + 1, len(work), title, {"cost": cost.to_dict()}))
    return found


def _timed(family: str, method: str, action: Callable[[], float | None]) -> Cost:
    began = time.perf_counter()
    try:
        own = action()
    except WorkbenchError as error:
        return Cost(family, method, None, error.message)
    return Cost(family, method, time.perf_counter() - began if own is None else own)


class _Clock:
    """What is timed. An action gives its own seconds, or None for those of the clock."""

    def __init__(
        self, model: Model, data: Data, granularity: str, curves: SensitivityCurves | None,
        device: torch.device, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._model, self._data, self._curves = model, data, curves
        self._device, self._should_stop = device, should_stop
        self._groups: Groups = find_groups(model, granularity)
        self._plan = allocate(
            model, "uniform", sparsity=GRANULARITIES[granularity], granularity=granularity,
            criterion=MAGNITUDE, groups=self._groups,
        )  # fmt: skip
        self._pruned = prune(model, self._plan, self._groups)
        self._granularity = granularity
        self._idle = {("repair", "none")}
        if not has_batch_norm(model.module):
            self._idle.add(("repair", "bn"))

    def work(self) -> Iterator[tuple[str, str, Callable[[], float | None]]]:
        """Family, method and what is timed."""
        ways: dict[str, Callable[[str], float | None]] = {
            "criterion": self._score,
            "allocation": self._spread,
            "repair": self._repair,
            "schedule": self._train_sparse,
            "sparse_training": self._train_sparse,
            "finetuning": self._train,
            "replacement": self._replace,
            "ensemble": self._combine,
            "corruption": self._corrupt,
        }
        for family, those in methods().items():
            for name in those:
                if (family, name) not in self._idle:
                    yield family, name, partial(ways[family], name)

    def _score(self, name: str) -> None:
        model = self._model.with_evidence(Evidence(lambda: self._data).asking(self._should_stop))
        for group in self._groups.require_prunable():
            if self._groups.granularity.structured:
                score_units(CRITERIA[name], model, group)
            elif group.layer is not None:
                score_layer(CRITERIA[name], model, group.layer.parameter_name)

    def _spread(self, name: str) -> None:
        kind = self._groups.granularity
        allocate(
            self._model, name, sparsity=LEVEL, granularity=kind.name,
            groups=self._groups, curves=self._curves if ALLOCATIONS[name].needs_curves else None,
        )  # fmt: skip

    def _repair(self, name: str) -> None:
        repair(
            self._pruned, self._data, name, num_samples=REPAIR_SAMPLES, device=self._device,
            should_stop=self._should_stop,
        )  # fmt: skip

    def _train(self, name: str) -> float:
        fewer = self._data.with_fewer_images(SHOWN)
        settings = FineTuneSettings.from_dict(dict(FINETUNING[name].settings) | {"epochs": 1})
        done = finetune(
            self._pruned, fewer, settings, device=self._device, should_stop=self._should_stop
        )
        images = len(self._data.split("train"))
        return images / done.samples_per_second if done.samples_per_second else 0.0

    def _train_sparse(self, name: str) -> float:
        settings = SparseTrainingSettings(
            method=name, granularity=self._granularity, rounds=1, step=LEVEL, target=LEVEL,
            training=FineTuneSettings(epochs=1),
        )  # fmt: skip
        done = train_sparse(
            self._model, self._data.with_fewer_images(SHOWN), settings, device=self._device,
            should_stop=self._should_stop,
        )  # fmt: skip
        images = len(self._data.split("train"))
        return images / done.samples_per_second if done.samples_per_second else 0.0

    def _replace(self, name: str) -> None:
        settings = ReplacementSettings(method=name, tune_epochs=0)
        REPLACEMENTS[name].apply(
            self._pruned.model, self._data, settings, report=ignore,
            should_stop=self._should_stop, device=self._device,
        )  # fmt: skip

    def _combine(self, name: str) -> float:
        split = self._data.split("validation", IMAGES)
        with torch.inference_mode():
            module = on_device(self._model.module, torch.device("cpu"))
            outputs = torch.cat([module(part) for part in split.images.split(BATCH)])
        answers = outputs.double().log_softmax(1).expand(MEMBERS, -1, -1).contiguous()
        began = time.perf_counter()
        ENSEMBLES[name].make(answers, split.labels)(answers)
        return time.perf_counter() - began

    def _corrupt(self, name: str) -> float:
        images = self._data.x_test[:IMAGES]
        scaled = (images / np.float32(255)) if images.dtype == np.uint8 else images
        corruption = CORRUPTIONS[name]
        strength = corruption.strength(SEVERITY, min(images.shape[2:]))
        began = time.perf_counter()
        corruption.apply(scaled.astype(np.float32), strength, np.random.default_rng(0))
        return time.perf_counter() - began
