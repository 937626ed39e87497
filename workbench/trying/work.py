"""How a method and the usual choice are pruned alike and measured on the same images."""

import time
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from workbench.allocation import ALLOCATIONS, allocate
from workbench.arena import ArenaSettings, fitting_curves, measure_arena_curves
from workbench.catalogue import find_method
from workbench.curves import SensitivityCurves
from workbench.data import Data, Split
from workbench.device import on_device
from workbench.errors import SettingsError
from workbench.evidence import Evidence
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.groups import find_groups
from workbench.metrics import is_right
from workbench.model import Model, check_fit
from workbench.paired import Proportion, compare_paired
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.prune import Pruned, prune
from workbench.repair import has_batch_norm, repair
from workbench.sensitivity import sample_curves
from workbench.sparse_training import SparseTrainingSettings
from workbench.sparse_training.running import train_sparse
from workbench.training import FINETUNING
from workbench.trying.values import MAGNITUDE, ONCE, PLAIN, Side, Trial, TryingSettings

REPAIR_SAMPLES = 500
BATCH = 50
"""Images in a pass; few, so that a stop is seen soon on a busy machine as well."""
PARTS = 1_000
_SPARSE = ("schedule", "sparse_training")


def try_method(
    model: Model, data: Data, settings: TryingSettings, *,
    curves: SensitivityCurves | None = None, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never,
) -> Trial | None:  # fmt: skip
    """Prune with a method and with the usual choice of its family, all else alike, and measure.

    A criterion ranks under the uniform rule and is put beside magnitude; an allocation spreads
    magnitude pruning and is put beside uniform; a repair follows uniform magnitude pruning and is
    put beside none; an option of training trains the repaired model for a short while, beside the
    same training without it; a sparse training goes on for a short while, beside magnitude pruning
    at once with the same training after it. The usual choice itself is put beside random, or full
    repair. Scores are computed anew, so that their time is the whole price.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split judges; calibration and training images serve as methods need.
        settings: What is tried and how.
        curves: Sensitivity curves at hand, for allocations that need some; else those of the
            sample, else they are measured first.
        device: Where to compute.
        report: Hears of every step.
        should_stop: Ends early.

    Returns:
        What was found; None where it was stopped.

    Raises:
        PlanError: If the method cannot prune this model so.
        DataError: If the data do not fit the model.
    """
    check_fit(model, data)
    work = _Work(model, data, settings, curves, torch.device(device), report, should_stop)
    try:
        return work.run()
    except StoppedError:
        return None


class _Work:
    """Both sides, one after the other."""

    def __init__(
        self, model: Model, data: Data, settings: TryingSettings,
        curves: SensitivityCurves | None, device: torch.device, report: Report,
        should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._model, self._data, self._settings, self._curves = model, data, settings, curves
        self._device, self._report, self._should_stop = device, report, should_stop
        self._groups = find_groups(model, settings.granularity)
        self._split = data.split("validation", settings.num_samples, settings.seed)
        quickest = "bn" if has_batch_norm(model.module) else "full"
        self._way = settings.repair or quickest
        if settings.family == "repair" and settings.method == "bn" and quickest != "bn":
            raise SettingsError(
                f"{model.name} has no BatchNorm layers, so there are no statistics to measure.",
                "Try the full repair.",
            )

    @cached_property
    def _fewer(self) -> Data:
        """Data to train on for a short while."""
        return self._data.with_fewer_images(self._settings.shown, self._settings.seed)

    def run(self) -> Trial:
        """The trial."""
        settings = self._settings
        dense = self._judge(self._model, self._share(0, 0.05, "Classifying with the dense model"))
        own, hits = self._side(settings.method, 0.05, 0.52)
        rival, others = self._side(settings.rival, 0.52, 1.0)
        compared = {
            name: compare_paired(
                int((others[name] & ~hits[name]).sum()), int((hits[name] & ~others[name]).sum()),
                len(hits[name]),
            )
            for name in hits
            if name in others
        }  # fmt: skip
        return Trial(
            settings, self._model.digest, self._data.digest, _proportion(dense), own, rival,
            compared,
        )  # fmt: skip

    def _side(self, method: str, start: float, end: float) -> tuple[Side, dict[str, Tensor]]:
        """One side, with the images that it classifies correctly at every step."""
        if self._settings.family in _SPARSE and method != ONCE:
            return self._trained_sparse(method, self._share(start, end, self._title(method)))
        family, middle = self._settings.family, (start + end) / 2
        title = self._title(method)
        seconds: dict[str, float] = {}
        pruned, seconds["plan"], notes = self._pruned(method, self._share(start, middle, title))
        hits = {"pruned": self._judge(pruned.model, ignore)}
        way = method if family == "repair" else self._way
        trains = family == "finetuning" or method == ONCE
        if way != "none":
            begun = time.perf_counter()
            until = (start + middle) / 2 if trains else end
            pruned = repair(
                pruned, self._data, way, num_samples=REPAIR_SAMPLES, seed=self._settings.seed,
                device=self._device, report=self._share(middle, max(middle, until), title),
                should_stop=self._should_stop,
            ).pruned  # fmt: skip
            seconds["repaired"] = time.perf_counter() - begun
        hits["repaired"] = self._judge(pruned.model, ignore)
        if trains:
            trained = finetune(
                pruned, self._fewer, self._training(method), device=self._device,
                report=self._share(middle, end, title), should_stop=self._should_stop,
            )  # fmt: skip
            seconds["finetuned"] = trained.seconds
            notes = (*notes, *filter(None, (trained.note,)))
            hits["finetuned"] = self._judge(trained.pruned.model, ignore)
        steps = {name: _proportion(found) for name, found in hits.items()}
        return Side(method, pruned.plan, steps, seconds, notes), hits

    def _trained_sparse(self, method: str, report: Report) -> tuple[Side, dict[str, Tensor]]:
        """The side of a sparse training: measured at its end."""
        settings = self._settings
        asked = SparseTrainingSettings(
            method=method, granularity=settings.granularity, target=settings.level,
            training=self._training(PLAIN),
        )  # fmt: skip
        done = train_sparse(
            self._model, self._fewer, asked, device=self._device, report=report,
            should_stop=self._should_stop,
        )  # fmt: skip
        self._check()
        hits = {"finetuned": self._judge(done.pruned.model, ignore)}
        notes = [f"Sparsity at the end: {100 * done.sparsity:.1f} %."]
        if done.cut_afterwards:
            notes.append(
                f"Training itself made {100 * (1 - done.cut_afterwards):.0f} % of the zeros; the "
                "rest were the lowest at its end."
            )
        steps = {name: _proportion(found) for name, found in hits.items()}
        plan, seconds = done.plan, {"finetuned": done.seconds}
        return Side(method, plan, steps, seconds, (*notes, *filter(None, (done.note,)))), hits

    def _title(self, method: str) -> str:
        other = {PLAIN: "Plain fine-tuning", ONCE: "Magnitude, cut at once"}
        return other.get(method) or find_method(method, self._settings.family)[1].title

    def _pruned(self, method: str, report: Report) -> tuple[Pruned, float, tuple[str, ...]]:
        """The pruned model, the seconds that it took, and what should be known about them."""
        settings, family = self._settings, self._settings.family
        rule = method if family == "allocation" else "global" if method == ONCE else "uniform"
        notes: tuple[str, ...] = ()
        if ALLOCATIONS[rule].needs_curves and self._curves is None:
            began = time.perf_counter()
            self._curves, measured = self._found_curves(rule, report)
            if measured:
                took = time.perf_counter() - began
                notes = (f"Sensitivity curves were measured first, in {took:.1f} s.",)
        report(Progress(0, 1, "Ranking what may go"))
        model = self._model.with_evidence(Evidence(lambda: self._data).asking(self._should_stop))
        began = time.perf_counter()
        plan = allocate(
            model, rule, sparsity=settings.level, granularity=settings.granularity,
            criterion=method if family == "criterion" else MAGNITUDE, seed=settings.seed,
            groups=self._groups, curves=self._curves if ALLOCATIONS[rule].needs_curves else None,
        )  # fmt: skip
        pruned = prune(model, plan, self._groups)
        return pruned, time.perf_counter() - began, notes

    def _found_curves(self, rule: str, report: Report) -> tuple[SensitivityCurves, bool]:
        """Curves of the sample, or measured now; and whether they were."""
        settings = self._settings
        asked = ArenaSettings(
            granularity=settings.granularity, methods=(rule,), repair="full", seed=settings.seed,
            repair_samples=REPAIR_SAMPLES, num_samples=settings.num_samples,
        )  # fmt: skip
        shipped = [
            curves
            for curves in sample_curves(self._model, settings.granularity)
            if curves.data == self._data.digest
        ]
        found = fitting_curves(shipped, asked)
        if found is not None:
            return found, False
        measured = measure_arena_curves(
            self._model, self._data, asked, groups=self._groups, device=self._device,
            report=report, should_stop=self._should_stop,
        )  # fmt: skip
        self._check()
        return measured, True

    def _training(self, method: str) -> FineTuneSettings:
        option = {} if method in (PLAIN, ONCE) else dict(FINETUNING[method].settings)
        images = len(self._fewer.y_train) - self._fewer.num_validation
        epochs = max(1, round(self._settings.shown / images))
        return FineTuneSettings.from_dict(option | {"epochs": epochs, "seed": self._settings.seed})

    def _judge(self, model: Model, report: Report) -> Tensor:
        """Whether each validation image gets its class, ``(samples,)``."""
        return hits_of(model, self._split, self._device, report, self._check)

    def _check(self) -> None:
        raise_if_stopped(self._should_stop)

    def _share(self, start: float, end: float, title: str) -> Report:
        """The report of a part of the work, with the name of what is tried."""

        def retold(progress: Progress) -> None:
            part = progress.done / progress.total if progress.total else 0.0
            done = int(PARTS * (start + (end - start) * min(1.0, part)))
            words = f"{title}: {progress.message}" if progress.message else title
            self._report(Progress(done, PARTS, words))
            self._check()

        return retold


@torch.inference_mode()
def hits_of(
    model: Model, split: Split, device: torch.device, report: Report, check: Callable[[], None]
) -> Tensor:
    """Whether each image gets its class, ``(samples,)``.

    Args:
        model: Classifies.
        split: Images and labels.
        device: Where to run.
        report: Hears of every batch.
        check: Called before every batch; may raise to end the work.
    """
    module = on_device(model.module, device)
    found = []
    for start in range(0, len(split), BATCH):
        check()
        outputs = module(split.images[start : start + BATCH].to(device)).cpu()
        found.append(is_right(outputs, split.labels[start : start + BATCH]))
        report(Progress(start + len(found[-1]), len(split)))
    return torch.cat(found)


def _proportion(hits: Tensor) -> Proportion:
    return Proportion.of(int(hits.sum()), len(hits))
