"""Sensitivity: what pruning each group costs, measured one group at a time."""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch

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
from workbench.data import Data
from workbench.exact_points import Place, exact_points, level_by_level
from workbench.fast_points import REPAIR_SAMPLES as FAST_REPAIR_SAMPLES
from workbench.fast_points import fast_points, interpolated_points
from workbench.freezing import frozen_groups
from workbench.groups import Groups, find_groups
from workbench.loading.samples import sample_folder
from workbench.model import Model, with_data
from workbench.plain_points import FULL_REPAIR_SAMPLES, plain_points
from workbench.plan import digest_of_json
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.repair import get_repair
from workbench.sweep import sweep_of, why_not_replayed

__all__ = [
    "DEFAULT_LEVELS",
    "MAX_LEVELS",
    "Fragility",
    "JsonLinesCache",
    "Place",
    "PointCache",
    "PointSource",
    "SensitivityCurves",
    "SensitivityPoint",
    "SensitivitySettings",
    "curve_key",
    "damage",
    "measure_points",
    "measure_sensitivity",
    "most_fragile",
    "sample_curves",
]

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
    elif settings.repair == "bn" and settings.precision == "fast":
        rest["repair_samples"] = FAST_REPAIR_SAMPLES
    return digest_of_json({"model": model.digest, "data": data.digest, "settings": rest})


def measure_sensitivity(
    model: Model, data: Data, settings: SensitivitySettings, *, cache: PointCache | None = None,
    source: PointSource | None = None, device: torch.device | str = "cpu",
    freeze: Collection[str] = (), report: Report = ignore, should_stop: ShouldStop = never,
) -> SensitivityCurves:  # fmt: skip
    """Measure accuracy and loss with one group pruned at a time, on validation images.

    Every point sees the same images, and weights and statistics are put back bit by bit after it.
    Coupled channels are set to zero together, which gives what removing them gives. A full repair
    sees ``FULL_REPAIR_SAMPLES`` calibration images, fewer than after pruning for good.
    With fast precision each point looks only at as many of the images as its interval needs, and
    levels that lie between close ones are interpolated; they are reported with no samples.
    What the cache holds is not measured again. Every point is reported as it comes, with its
    values and the estimated ``seconds_left``.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        settings: Granularity, levels, images, criterion, repair and precision.
        cache: Remembers points over runs; None remembers nothing.
        source: Where points are measured; None measures them here, on the device.
        device: Where to run.
        freeze: Patterns such as ``layer1.*``; what they fit is not measured.
        report: Receives every point, measured or interpolated.
        should_stop: True ends with the points so far; asked before every pass.

    Raises:
        SettingsError: If the repair is unknown.
        PlanError: If the criterion is unknown or cannot rank a group, no group can be pruned, or
            a pattern fits nothing.
        DataError: If the data do not fit the model.
        StorageError: If the cache cannot be read or written.
    """
    model = with_data(model, data, should_stop)
    get_criterion(settings.criterion, settings.granularity)
    get_repair(settings.repair)
    groups = find_groups(model, settings.granularity)
    frozen = frozen_groups(groups, freeze)
    free = [group.name for group in groups.require_prunable() if group.name not in frozen]
    wanted = [_BASELINE, *((name, level) for name in free for level in settings.levels)]
    key = curve_key(model, data, settings)
    tally = _Tally(wanted, report)
    for values in cache.load(key) if cache else []:
        tally.add_cached(values)
    if settings.precision == "fast":
        for point in interpolated_points(tally.missing, tally.measured, settings.half_width):
            tally.add(point)
    note = ""
    if tally.missing:
        note = why_not_replayed(model) if settings.repair != "full" else ""
        points = (source or partial(measure_points, device=device, known=tally.measured))(
            model, data, settings, tally.missing, groups=groups, should_stop=should_stop
        )
        for point in points:
            if cache and point.samples:
                cache.append(key, point.to_dict())
            tally.add(point, fresh=True)
    ordered = [tally.points[place] for place in wanted[1:] if place in tally.points]
    return SensitivityCurves(
        settings, model.digest, data.digest, tally.points.get(_BASELINE),
        tuple(point for point in ordered if point.samples),
        round(tally.seconds, 3), tally.evaluations, not tally.missing,
        tuple(point for point in ordered if not point.samples), note,
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


class _Tally:
    """What is measured so far, and how long the rest will take."""

    def __init__(self, wanted: list[Place], report: Report) -> None:
        self.points: dict[Place, SensitivityPoint] = {}
        self.evaluations = 0
        self.seconds = 0.0
        self._wanted = dict.fromkeys(wanted)
        self._report = report
        self._began = time.perf_counter()
        self._fresh = 0

    @property
    def missing(self) -> list[Place]:
        """What is wanted and not there yet."""
        return [place for place in self._wanted if place not in self.points]

    @property
    def measured(self) -> list[SensitivityPoint]:
        """Every point but the interpolated ones."""
        return [point for point in self.points.values() if point.samples]

    def add_cached(self, values: dict[str, object]) -> None:
        """Take over a remembered point if it is one of those wanted and not there yet."""
        try:
            point = SensitivityPoint.from_dict(values)
        except (KeyError, TypeError):
            return  # written by another version
        place = (point.group, point.level)
        if place in self._wanted and place not in self.points:
            self.add(point)

    def add(self, point: SensitivityPoint, *, fresh: bool = False) -> None:
        """Take in a point; ``fresh`` ones were measured or interpolated just now."""
        if fresh:
            self._fresh += 1
            self.evaluations += point.samples > 0
            self.seconds = time.perf_counter() - self._began
        self.points[point.group, point.level] = point
        done, total = len(self.points), len(self._wanted)
        each = self.seconds / self._fresh if self._fresh else None
        left = None if each is None else round(each * (total - done), 1)
        message = f"{point.group} at {point.level:.0%}" if point.group else "Dense model"
        self._report(Progress(done, total, message, point.to_dict() | {"seconds_left": left}))


def measure_points(
    model: Model, data: Data, settings: SensitivitySettings, places: Sequence[Place], *,
    groups: Groups | None = None, device: torch.device | str = "cpu",
    should_stop: ShouldStop = never, known: Iterable[SensitivityPoint] = (),
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Measure some points of the curves; the plain source of ``measure_sensitivity``.

    With fast precision, those that lie between others that are close are interpolated, and have
    no samples.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is used, and for repair its calibration split.
        settings: As for ``measure_sensitivity``; its levels are not looked at.
        places: Group and level of each point; ``("", 0.0)`` is the baseline.
        groups: What ``find_groups(model, settings.granularity)`` returned, to spare a second look.
        device: Where to run.
        should_stop: True ends early; asked before every pass.
        known: Points that were measured before; fast precision builds on them.
    """
    model = with_data(model, data, should_stop)
    groups = groups or find_groups(model, settings.granularity)
    try:
        if settings.precision == "fast":
            yield from fast_points(
                model, data, settings, places, known, groups, device, should_stop
            )
            return
        sweep = sweep_of(model, data, settings, groups, device, should_stop)
        if sweep is None:
            order = level_by_level(places)
            yield from plain_points(model, data, settings, order, groups, device, should_stop)
        else:
            yield from exact_points(sweep, places)
    except StoppedError:
        return
