"""Sensitivity: what pruning each group costs, measured one group at a time."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from workbench.criteria import get_criterion
from workbench.curve_cache import JsonLinesCache, PointCache
from workbench.curves import (
    DEFAULT_LEVELS,
    MAX_LEVELS,
    Fragility,
    SensitivityCurves,
    SensitivityPoint,
    SensitivitySettings,
    damage,
    most_fragile,
)
from workbench.data import Data, Split
from workbench.groups import Groups, find_groups
from workbench.loading.samples import sample_folder
from workbench.metrics import Score, score
from workbench.model import Model, check_fit
from workbench.plan import PruningPlan, digest_of_json
from workbench.progress import Progress, Report, ShouldStop, ignore, never
from workbench.prune import Masks, apply_masks_, build_masks, prune
from workbench.repair import get_repair, reestimate_batch_norm_, repair

__all__ = [
    "DEFAULT_LEVELS",
    "MAX_LEVELS",
    "Fragility",
    "JsonLinesCache",
    "PointCache",
    "SensitivityCurves",
    "SensitivityPoint",
    "SensitivitySettings",
    "curve_key",
    "damage",
    "measure_sensitivity",
    "most_fragile",
    "sample_curves",
]

BATCH = 100
"""Images in a pass; so few that the activations of a small network stay in the cache."""
REPAIR_SAMPLES = 2_000
FULL_REPAIR_SAMPLES = 500
"""Calibration images of a full repair, which is done anew for every point."""
Place = tuple[str, float]
"""Group and level of a point."""
_BASELINE: Place = ("", 0.0)


class PointSource(Protocol):
    """Measures points, here or elsewhere; ``measure_points`` is one."""

    def __call__(
        self, model: Model, data: Data, settings: SensitivitySettings, places: Sequence[Place], *,
        groups: Groups | None = None, should_stop: ShouldStop = never,
    ) -> Iterator[SensitivityPoint]:  # fmt: skip
        """Yield points as they come, in any order; ends early where it should stop."""
        ...


def curve_key(model: Model, data: Data, settings: SensitivitySettings) -> str:
    """Name of everything that decides a measured point, but for its group and level.

    Levels are not in it, so curves at other levels share the points they have in common.
    """
    rest = {key: value for key, value in settings.to_dict().items() if key != "levels"}
    if settings.precision == "exact":
        del rest["precision"], rest["half_width"]
    if settings.repair == "full":
        rest["repair_samples"] = FULL_REPAIR_SAMPLES
    return digest_of_json({"model": model.digest, "data": data.digest, "settings": rest})


def measure_sensitivity(
    model: Model, data: Data, settings: SensitivitySettings, *, cache: PointCache | None = None,
    source: PointSource | None = None, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never,
) -> SensitivityCurves:  # fmt: skip
    """Measure accuracy and loss with one group pruned at a time, on validation images.

    Every point sees the same images, and weights and statistics are put back bit by bit after it.
    Coupled channels are set to zero together, which gives what removing them gives. A full repair
    sees ``FULL_REPAIR_SAMPLES`` calibration images, fewer than after pruning for good.
    What the cache holds is not measured again. Every point is reported as it comes, with its
    values and the estimated ``seconds_left``.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        settings: Granularity, levels, images, criterion and repair.
        cache: Remembers points over runs; None remembers nothing.
        source: Where points are measured; None measures them here, on the device.
        device: Where to run.
        report: Receives every point.
        should_stop: True ends with the points so far; asked before every pass.

    Raises:
        SettingsError: If the repair is unknown.
        PlanError: If the criterion is unknown or cannot rank a group, or no group can be pruned.
        DataError: If the data do not fit the model.
        StorageError: If the cache cannot be read or written.
    """
    check_fit(model, data)
    get_criterion(settings.criterion)
    get_repair(settings.repair)
    groups = find_groups(model, settings.granularity)
    wanted = [_BASELINE, *((g.name, v) for g in groups.require_prunable() for v in settings.levels)]
    key = curve_key(model, data, settings)
    tally = _Tally(wanted, report)
    for values in cache.load(key) if cache else []:
        tally.add_cached(values)
    if len(tally.points) < len(wanted):
        missing = [place for place in wanted if place not in tally.points]
        points = (source or partial(measure_points, device=device))(
            model, data, settings, missing, groups=groups, should_stop=should_stop
        )
        for point in points:
            if cache:
                cache.append(key, point.to_dict())
            tally.add_measured(point)
    ordered = [tally.points[place] for place in wanted[1:] if place in tally.points]
    return SensitivityCurves(
        settings, model.digest, data.digest, tally.points.get(_BASELINE), tuple(ordered),
        round(tally.seconds, 3), tally.evaluations, len(tally.points) == len(wanted),
    )  # fmt: skip


def sample_curves(model: Model, granularity: str = "weight") -> tuple[SensitivityCurves, ...]:
    """The curves that come with a sample model, measured beforehand; none for other models.

    One per repair. They belong to these very weights: a digest decides, not the name.
    """
    paths = sorted((sample_folder() / "curves").glob("*.json"))
    found = [json.loads(path.read_text("utf-8")) for path in paths]
    return tuple(
        SensitivityCurves.from_dict(values)
        for values in found
        if values["model"] == model.digest and values["settings"]["granularity"] == granularity
    )


class _StoppedError(Exception):
    """Raised in the middle of a pass when the work should end."""


class _Tally:
    """What is measured so far, and how long the rest will take."""

    def __init__(self, wanted: list[tuple[str, float]], report: Report) -> None:
        self.points: dict[tuple[str, float], SensitivityPoint] = {}
        self.evaluations = 0
        self._wanted = dict.fromkeys(wanted)
        self._report = report
        self._began = time.perf_counter()
        self.seconds = 0.0

    def add_cached(self, values: dict[str, object]) -> None:
        """Take over a remembered point if it is one of those wanted and not there yet."""
        try:
            point = SensitivityPoint.from_dict(values)
        except (KeyError, TypeError):
            return  # written by another version
        place = (point.group, point.level)
        if place in self._wanted and place not in self.points:
            self._add(point)

    def add_measured(self, point: SensitivityPoint) -> None:
        self.evaluations += 1
        self.seconds = time.perf_counter() - self._began
        self._add(point)

    def _add(self, point: SensitivityPoint) -> None:
        self.points[point.group, point.level] = point
        done, total = len(self.points), len(self._wanted)
        each = self.seconds / self.evaluations if self.evaluations else None
        left = None if each is None else round(each * (total - done), 1)
        message = f"{point.group} at {point.level:.0%}" if point.group else "Dense model"
        self._report(Progress(done, total, message, point.to_dict() | {"seconds_left": left}))


def measure_points(
    model: Model, data: Data, settings: SensitivitySettings, places: Sequence[Place], *,
    groups: Groups | None = None, device: torch.device | str = "cpu",
    should_stop: ShouldStop = never,
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Measure some points of the curves; the plain source of ``measure_sensitivity``.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        settings: As for ``measure_sensitivity``; its levels are not looked at.
        places: Group and level of each point; ``("", 0.0)`` is the baseline.
        groups: What ``find_groups(model, settings.granularity)`` returned, to spare a second look.
        device: Where to run.
        should_stop: True ends early; asked before every pass.
    """
    groups = groups or find_groups(model, settings.granularity)
    bench = _Bench(model, data, settings, groups, device, should_stop)
    try:
        for place in places:
            yield bench.point(*place)
    except _StoppedError:
        return


class _Bench:
    """A copy of the model on the device, with the images that every point sees."""

    def __init__(
        self, model: Model, data: Data, settings: SensitivitySettings, groups: Groups,
        device: torch.device | str, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._model, self._data, self._settings = model, data, settings
        self._groups, self._device, self._should_stop = groups, device, should_stop
        self._module = self._placed(model.copy_module())
        images = data.split("validation", settings.num_samples, settings.seed)
        self._split = Split(images.name, _channels_last(images.images, device), images.labels)
        self._repair_ = _repairing(self._module, data, settings, device)

    def point(self, group: str, level: float) -> SensitivityPoint:
        """Measure with one group cut to a level; the baseline has no name."""
        if group and self._settings.repair == "full":
            s = self._score(self._placed(self._fully_repaired(self._plan(group, level))))
        else:
            masks = (
                build_masks(self._model, self._plan(group, level), self._groups) if group else {}
            )
            module = self._module
            with tensors_restored_(module.buffers()), weights_masked_(module, masks):
                self._repair_()
                s = self._score(module)
        return SensitivityPoint(group, level, s.accuracy, s.loss, s.ci_low, s.ci_high, s.samples)

    def _plan(self, group: str, level: float) -> PruningPlan:
        settings = self._settings
        return PruningPlan(
            {group: level}, settings.granularity, settings.criterion, seed=settings.seed
        )

    def _fully_repaired(self, plan: PruningPlan) -> nn.Module:
        repaired = repair(
            prune(self._model, plan, self._groups), self._data, "full",
            num_samples=FULL_REPAIR_SAMPLES, seed=self._settings.seed, device=self._device,
            should_stop=self._should_stop,
        )  # fmt: skip
        _raise_if(self._should_stop)  # it may have ended early
        return repaired.pruned.model.module

    def _placed(self, module: nn.Module) -> nn.Module:
        """The module on the device, ready to be stopped before every pass."""
        module.to(self._device).eval()
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.register_forward_pre_hook(lambda *_: _raise_if(self._should_stop))
        return module

    def _score(self, module: nn.Module) -> Score:
        return score(module, self._split, batch_size=BATCH, device=self._device)


@contextmanager
def weights_masked_(module: nn.Module, masks: Masks) -> Iterator[None]:
    """Set the masked entries of parameters to zero for a while, then put back every bit.

    Args:
        module: Changed in place.
        masks: Parameter name to a boolean tensor of its shape; True marks a kept weight.
    """
    parameters = {key: module.get_parameter(key) for key in masks}
    with tensors_restored_(parameters.values()):
        apply_masks_(module, masks)
        yield


@contextmanager
def tensors_restored_(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Put back every bit of some tensors at the end, such as BatchNorm's statistics."""
    saved = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, value in saved:
            tensor.detach().copy_(value)


def _repairing(
    module: nn.Module, data: Data, settings: SensitivitySettings, device: torch.device | str
) -> Callable[[], object]:
    """What is done in place before a measurement, bound to the module and calibration images."""
    if settings.repair != "bn":
        return lambda: None
    images = data.split("calibration", REPAIR_SAMPLES, settings.seed).images
    placed = _channels_last(images, device)
    return lambda: reestimate_batch_norm_(module, placed)


def _channels_last(images: Tensor, device: torch.device | str) -> Tensor:
    return images.to(device).to(memory_format=torch.channels_last)


def _raise_if(should_stop: ShouldStop) -> None:
    if should_stop():
        raise _StoppedError
