"""Sensitivity curves as plain values: what was asked, what was measured, what follows from it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from workbench.errors import SettingsError
from workbench.granularity import parse_granularity
from workbench.names import suggest
from workbench.prediction import LossCurve, fit_loss_curve

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
MAX_LEVELS = 40
PRECISIONS = ("exact", "fast")


@dataclass(frozen=True)
class SensitivitySettings:
    """How sensitivity is measured.

    Attributes:
        levels: Sparsities at which every group is measured, 0 < level < 1; kept in rising order,
            equal ones once. For channels they are channel pruning ratios. N:M has a single one,
            1 - N/M, whatever is given.
        num_samples: Validation images behind every point, the same for all; fewer where the data
            hold fewer.
        criterion: How weights are ranked (see ``workbench.criteria``).
        repair: What is done to every pruned model before it is measured (see
            ``workbench.repair``).
        granularity: What goes together (see ``workbench.granularity``).
        seed: Chooses the images, and everything random in the criterion.
        precision: ``exact`` measures every group at every level on all images; ``fast`` stops
            each point where its interval is narrow enough, and measures only the levels that
            the shape of a curve needs.
        half_width: Of the 95 % interval at which ``fast`` stops, as a fraction of images.

    Raises:
        SettingsError: If a value is out of range.
        PlanError: If there is no such granularity.
    """

    levels: tuple[float, ...] = DEFAULT_LEVELS
    num_samples: int = 1_000
    criterion: str = "l1"
    repair: str = "none"
    granularity: str = "weight"
    seed: int = 0
    precision: str = "exact"
    half_width: float = 0.01

    def __post_init__(self) -> None:
        levels = tuple(sorted({_check_level(level) for level in self.levels}))
        object.__setattr__(self, "levels", levels)
        if not levels:
            raise SettingsError("No level was given.", "Give at least one, such as 0.5.")
        if len(levels) > MAX_LEVELS:
            raise SettingsError(
                f"{len(levels)} levels were given.", f"Choose at most {MAX_LEVELS}."
            )
        _check_whole("num_samples", self.num_samples, 1)
        _check_whole("seed", self.seed, 0)
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"There is no precision {self.precision!r}.", suggest(self.precision, PRECISIONS)
            )
        width = self.half_width
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < 0.5:
            raise SettingsError(
                f"The half-width is {width!r}.", "Give a fraction such as 0.01, one point."
            )
        kind = parse_granularity(self.granularity)
        if kind.kind == "nm":
            object.__setattr__(self, "levels", (1 - kind.n / kind.m,))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"levels": list(self.levels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SensitivitySettings":
        """The reverse of ``to_dict``."""
        return cls(**dict(values) | {"levels": tuple(values["levels"])})


def _check_level(level: object) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float):
        raise SettingsError(f"The level {level!r} is not a number.", "Give numbers such as 0.5.")
    if not 0 < level < 1:
        raise SettingsError(
            f"The level {level:g} is not between 0 and 1.", "Choose values such as 0.1 or 0.95."
        )
    return float(level)


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}.", f"Give a whole number from {least}.")


@dataclass(frozen=True)
class SensitivityPoint:
    """What was measured with one group cut to one level and all else dense.

    Attributes:
        group: The group that was cut; empty for the baseline.
        level: Its sparsity, or channel pruning ratio; 0 for the baseline.
        accuracy: Fraction of validation images classified correctly.
        loss: Mean cross-entropy in nats; infinite where the network gives no finite number.
        ci_low: Lower end of the 95 % interval of the accuracy: for ``exact`` what other images
            would give (Wilson), for ``fast`` what all validation images asked for would give.
        ci_high: Upper end.
        samples: Images behind it; 0 where it was interpolated.
    """

    group: str
    level: float
    accuracy: float
    loss: float
    ci_low: float
    ci_high: float
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; an infinite loss is None."""
        return asdict(self) | {"loss": self.loss if math.isfinite(self.loss) else None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SensitivityPoint":
        """The reverse of ``to_dict``."""
        loss = math.inf if values["loss"] is None else values["loss"]
        return cls(**dict(values) | {"loss": loss})


@dataclass(frozen=True)
class SensitivityCurves:
    """Accuracy and loss against sparsity, one group cut at a time.

    Attributes:
        settings: How it was measured.
        model: Digest of the model.
        data: Digest of the data.
        baseline: The dense model after the same repair; None if stopped before it was measured.
        points: Every measured point, groups in the order of the layers, levels rising.
        seconds: Time this took, without what came from the cache.
        evaluations: Points measured in that time, the baseline among them.
        complete: Whether every group has every level, measured or interpolated.
        interpolated: What ``fast`` gives at levels that it did not measure, in the same order;
            their intervals hold as long as accuracy does not rise between measured levels.
        note: Why the whole network was run for every point, a sentence; empty where only what a
            cut can change was run.
    """

    settings: SensitivitySettings
    model: str
    data: str
    baseline: SensitivityPoint | None
    points: tuple[SensitivityPoint, ...] = field(repr=False)
    seconds: float
    evaluations: int
    complete: bool
    interpolated: tuple[SensitivityPoint, ...] = field(default=(), repr=False)
    note: str = ""

    @cached_property
    def _by_group(self) -> dict[str, tuple[SensitivityPoint, ...]]:
        groups: dict[str, list[SensitivityPoint]] = {}
        for point in self.points:
            groups.setdefault(point.group, []).append(point)
        return {g: tuple(sorted(own, key=lambda p: p.level)) for g, own in groups.items()}

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups with at least one point, in the order of the layers."""
        return tuple(self._by_group)

    def curve(self, group: str) -> tuple[SensitivityPoint, ...]:
        """The points of one group, levels rising; empty where nothing was measured."""
        return self._by_group.get(group, ())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "model": self.model,
            "data": self.data,
            "baseline": self.baseline and self.baseline.to_dict(),
            "points": [point.to_dict() for point in self.points],
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "complete": self.complete,
            "interpolated": [point.to_dict() for point in self.interpolated],
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SensitivityCurves":
        """The reverse of ``to_dict``."""
        baseline = values["baseline"]
        return cls(**dict(values) | {
            "settings": SensitivitySettings.from_dict(values["settings"]),
            "baseline": baseline and SensitivityPoint.from_dict(baseline),
            "points": tuple(map(SensitivityPoint.from_dict, values["points"])),
            "interpolated": tuple(
                map(SensitivityPoint.from_dict, values.get("interpolated", ()))
            ),
        })  # fmt: skip


@dataclass(frozen=True)
class Fragility:
    """How soon a group breaks.

    Attributes:
        group: The group.
        level: Sparsity at which its accuracy has fallen by the asked amount, interpolated.
        measured_level: The first measured level at or behind that.
        lost: Accuracy below the baseline measured there, as a fraction.
        area: Mean accuracy lost from level 0 to the last measured one.
    """

    group: str
    level: float
    measured_level: float
    lost: float
    area: float


def most_fragile(curves: SensitivityCurves, n: int = 3, drop: float = 0.01) -> list[Fragility]:
    """The groups that lose accuracy first, worst first.

    A group's curve is smoothed to never rise (isotonic regression), so that one lucky or unlucky
    point does not decide. Groups are ordered by the interpolated level at which the accuracy has
    fallen more than ``drop`` below the baseline, ties by the area above the curve. Groups that
    never lose that much are left out.

    Args:
        curves: Measured curves, whole or partial.
        n: At most so many groups.
        drop: Accuracy to lose, as a fraction, e.g. 0.01 for one point.
    """
    found = (_fragility(curves, group, drop) for group in curves.groups)
    broken = [fragility for fragility in found if fragility]
    return sorted(broken, key=lambda f: (f.level, -f.area))[:n]


def damage(curves: SensitivityCurves, group: str, level: float) -> float | None:
    """Accuracy that cutting one group to one level costs, as a fraction from 0.

    Interpolated between the measured levels without ever falling; beyond the last one it keeps
    the last value. None where the group was not measured.
    """
    loss = _accuracy_loss(curves, group)
    return None if loss is None else loss.at(min(level, loss.levels[-1]))


def _accuracy_loss(curves: SensitivityCurves, group: str) -> LossCurve | None:
    """Never-falling curve of the accuracy lost by one group."""
    own, baseline = curves.curve(group), curves.baseline
    if not own or baseline is None:
        return None
    return fit_loss_curve([(point.level, baseline.accuracy - point.accuracy) for point in own])


def _fragility(curves: SensitivityCurves, group: str, drop: float) -> Fragility | None:
    loss = _accuracy_loss(curves, group)
    if loss is None or curves.baseline is None or loss.increases[-1] <= drop:
        return None
    knots = list(zip(loss.levels, loss.increases, strict=True))
    level = _crossing(knots, drop)
    behind = next(p for p in curves.curve(group) if p.level >= level)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(knots)) / knots[-1][0]
    lost = curves.baseline.accuracy - behind.accuracy
    return Fragility(group, level, behind.level, lost, area)


def _crossing(knots: Iterable[tuple[float, float]], height: float) -> float:
    """Where a never-falling line through the knots leaves a height; the last knot lies above it."""
    for (x0, y0), (x1, y1) in pairwise(knots):
        if y1 > height:
            return x0 + (x1 - x0) * max(0.0, height - y0) / (y1 - y0)
    raise AssertionError("the last knot lies above the height")
