"""Sensitivity: what each layer's pruning costs, measured one layer at a time."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from workbench.criteria import get_criterion, score_layer
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
from workbench.layers import LayerInfo, inspect
from workbench.loading.samples import sample_folder
from workbench.metrics import score
from workbench.model import Model, check_fit
from workbench.patterns import lowest_pruned
from workbench.plan import digest_of_json, num_pruned
from workbench.progress import Progress, Report, ShouldStop, ignore, never
from workbench.repair import get_repair, reestimate_batch_norm_

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
_BASELINE = ("", 0.0)


def curve_key(model: Model, data: Data, settings: SensitivitySettings) -> str:
    """Name of everything that decides a measured point, but for its group and level.

    Levels are not in it, so curves at other levels share the points they have in common.
    """
    rest = {key: value for key, value in settings.to_dict().items() if key != "levels"}
    return digest_of_json({"model": model.digest, "data": data.digest, "settings": rest})


def measure_sensitivity(
    model: Model, data: Data, settings: SensitivitySettings, *, cache: PointCache | None = None,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> SensitivityCurves:  # fmt: skip
    """Measure accuracy and loss with one layer pruned at a time, on validation images.

    Every point sees the same images, and weights and statistics are put back bit by bit after it.
    What the cache holds is not measured again. Every point is reported as it comes, with its
    values and the estimated ``seconds_left``.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        settings: Levels, images, criterion and repair.
        cache: Remembers points over runs; None remembers nothing.
        device: Where to run.
        report: Receives every point.
        should_stop: True ends with the points so far; asked before every pass.

    Raises:
        SettingsError: If the repair is unknown.
        PlanError: If the criterion is unknown or cannot rank a layer.
        DataError: If the data do not fit the model.
        StorageError: If the cache cannot be read or written.
    """
    check_fit(model, data)
    get_criterion(settings.criterion)
    get_repair(settings.repair)
    layers = inspect(model).prunable
    wanted = [_BASELINE, *((x.layer_name, level) for x in layers for level in settings.levels)]
    key = curve_key(model, data, settings)
    tally = _Tally(wanted, report)
    for values in cache.load(key) if cache else []:
        tally.add_cached(values)
    try:
        if len(tally.points) < len(wanted):
            for point in _measure(model, data, settings, layers, tally, device, should_stop):
                if cache:
                    cache.append(key, point.to_dict())
                tally.add_measured(point)
    except _StoppedError:
        pass
    ordered = [tally.points[place] for place in wanted[1:] if place in tally.points]
    return SensitivityCurves(
        settings, model.digest, data.digest, tally.points.get(_BASELINE), tuple(ordered),
        round(tally.seconds, 3), tally.evaluations, len(tally.points) == len(wanted),
    )  # fmt: skip


def sample_curves(model: Model) -> tuple[SensitivityCurves, ...]:
    """The curves that come with a sample model, measured beforehand; none for other models.

    One per repair. They belong to these very weights: a digest decides, not the name.
    """
    paths = sorted((sample_folder() / "curves").glob("*.json"))
    found = (json.loads(path.read_text("utf-8")) for path in paths)
    return tuple(SensitivityCurves.from_dict(v) for v in found if v["model"] == model.digest)


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


def _measure(
    model: Model, data: Data, settings: SensitivitySettings, layers: tuple[LayerInfo, ...],
    tally: _Tally, device: torch.device | str, should_stop: ShouldStop,
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Measure what the tally does not have yet: the baseline, then layer by layer."""
    module = model.copy_module().to(device).eval()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.register_forward_pre_hook(lambda *_: _raise_if(should_stop))
    images = data.split("validation", settings.num_samples, settings.seed)
    split = Split(images.name, _channels_last(images.images, device), images.labels)
    repair_ = _repairing(module, data, settings, device)

    def point(group: str, level: float) -> SensitivityPoint:
        with _buffers_restored_(module):
            repair_()
            s = score(module, split, batch_size=BATCH, device=device)
        return SensitivityPoint(group, level, s.accuracy, s.loss, s.ci_low, s.ci_high, s.samples)

    if _BASELINE not in tally.points:
        yield point(*_BASELINE)
    criterion = get_criterion(settings.criterion)
    for layer in layers:
        missing = [v for v in settings.levels if (layer.layer_name, v) not in tally.points]
        if not missing:
            continue
        weight = module.get_parameter(layer.parameter_name)
        original = model.module.get_parameter(layer.parameter_name)
        scores = score_layer(criterion, original, settings.seed, layer.layer_name)
        for level in missing:
            mask = lowest_pruned(scores, num_pruned(level, scores.numel()))
            with weight_masked_(weight, mask):
                measured = point(layer.layer_name, level)
            yield measured


@contextmanager
def weight_masked_(weight: nn.Parameter, mask: Tensor) -> Iterator[None]:
    """Set the masked entries of a weight to zero for a while, then put back every bit.

    Args:
        weight: Any shape, e.g. ``(out, in, kh, kw)``; changed in place.
        mask: Boolean tensor of that shape, True marks a kept weight.
    """
    saved = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.masked_fill_(~mask.to(weight.device), 0)
        yield
    finally:
        weight.detach().copy_(saved)


@contextmanager
def _buffers_restored_(module: nn.Module) -> Iterator[None]:
    """Put back every buffer, such as BatchNorm's statistics, at the end."""
    saved = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)


def _repairing(
    module: nn.Module, data: Data, settings: SensitivitySettings, device: torch.device | str
) -> Callable[[], None]:
    """The repair of the settings, bound to the module and its calibration images."""
    if settings.repair == "none":
        return lambda: None
    images = data.split("calibration", REPAIR_SAMPLES, settings.seed).images
    placed = _channels_last(images, device)
    return lambda: reestimate_batch_norm_(module, placed)


def _channels_last(images: Tensor, device: torch.device | str) -> Tensor:
    return images.to(device).to(memory_format=torch.channels_last)


def _raise_if(should_stop: ShouldStop) -> None:
    if should_stop():
        raise _StoppedError
