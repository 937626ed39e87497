"""Points of sensitivity curves with as few images and levels as a stated precision needs.

Every cut looks at images until the 95 % interval of its accuracy is narrow enough, with the dense
network's outputs for all images as help (see ``workbench.sampling``). Levels between two measured
ones that leave little room are not measured but interpolated.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from workbench.curves import SensitivityPoint, SensitivitySettings
from workbench.data import Data
from workbench.exact_points import Place
from workbench.groups import Groups
from workbench.model import Model
from workbench.plain_points import plain_points
from workbench.progress import ShouldStop
from workbench.sampling import DenseOutputs, Estimate, PairedSample, interpolate, levels_to_measure
from workbench.sweep import Cut, Sweep, sweep_of

REPAIR_SAMPLES = 500
"""Calibration images of a BatchNorm re-estimation.

On the sample ResNet-20 they give accuracies within half a point of those of 1,000 images.
"""
ROUND = 160
"""Images that every cut under way looks at before it is asked how sure it is."""
_BASELINE: Place = ("", 0.0)


def fast_points(
    model: Model, data: Data, settings: SensitivitySettings, places: Sequence[Place],
    known: Iterable[SensitivityPoint], groups: Groups, device: torch.device | str,
    should_stop: ShouldStop,
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Measure what the curves need and interpolate the rest.

    A full repair, and a network that cannot be replayed, are measured on all images; only levels
    are saved then. BatchNorm is re-estimated on ``REPAIR_SAMPLES`` calibration images, fewer than
    for exact points; what that changes is not part of the intervals.

    Args:
        model: The dense model; it stays as it is.
        data: As for ``measure_sensitivity``.
        settings: As for ``measure_sensitivity``; its levels are not looked at.
        places: Group and level of each point; ``("", 0.0)`` is the baseline.
        known: Points that were measured earlier in the same way.
        groups: What ``find_groups(model, settings.granularity)`` returned.
        device: Where to run.
        should_stop: Asked before every pass.

    Yields:
        The baseline first, then the points of the groups as they come, the most uncertain first.
        Interpolated ones have no samples, and come when nothing of their group is left to measure.
        Intervals are those of what all images would give.

    Raises:
        StoppedError: Where it should stop.
    """
    board = _Board(places, known, settings.half_width)
    sweep = sweep_of(model, data, settings, groups, device, should_stop, REPAIR_SAMPLES)
    if sweep is not None:
        yield from _replayed(sweep, board, settings.half_width)
        return
    following = board.next_places()
    for point in plain_points(model, data, settings, following, groups, device, should_stop):
        total = Estimate(point.accuracy, point.loss, point.accuracy, point.accuracy, point.samples)
        yield from board.settle((point.group, point.level), total)


def interpolated_points(
    places: Sequence[Place], known: Iterable[SensitivityPoint], half_width: float
) -> list[SensitivityPoint]:
    """The points of groups of which enough is known already.

    Args:
        places: Group and level of each point that is asked for.
        known: Measured points, the baseline among them.
        half_width: Half the width of the widest interval that will do.
    """
    return [*_Board(places, known, half_width).finished()]


class _Board:
    """What is known of every curve, and what is missing."""

    def __init__(
        self, places: Sequence[Place], known: Iterable[SensitivityPoint], half_width: float
    ) -> None:  # fmt: skip
        self._half_width = half_width
        self._asked = dict.fromkeys(places)
        self._known: dict[str, dict[float, Estimate]] = {n: {} for n, _ in places if n}
        self._levels: dict[str, set[float]] = {name: set() for name in self._known}
        self._under_way: set[Place] = set()
        self.baseline: Estimate | None = None
        for name, level in places:
            if name:
                self._levels[name].add(level)
        for p in known:
            estimate = Estimate(p.accuracy, p.loss, p.ci_low, p.ci_high, p.samples)
            self._enter((p.group, p.level), estimate)

    def wanted(self) -> list[Place]:
        """What should be measured next and is not under way, the most uncertain first."""
        if self.baseline is None:
            return [_BASELINE]
        found = [
            (width, name, level) for name in self._levels for width, level in self._missing(name)
        ]
        return [(name, level) for _, name, level in sorted(found, key=lambda one: -one[0])]

    def start(self, places: Iterable[Place]) -> None:
        """Note that some are being measured."""
        self._under_way.update(places)

    def next_places(self) -> Iterator[Place]:
        """What should be measured next, asked anew after each was settled."""
        while places := self.wanted():
            yield places[0]

    def settle(self, place: Place, estimate: Estimate) -> Iterator[SensitivityPoint]:
        """Take in a measured point; gives it, and what can be interpolated now."""
        self._under_way.discard(place)
        self._enter(place, estimate)
        if place in self._asked:
            yield _point(place, estimate)
        yield from self.finished()

    def finished(self) -> Iterator[SensitivityPoint]:
        """The interpolated points of groups of which nothing is left to measure, once."""
        if self.baseline is None:
            return
        busy = {name for name, _ in self._under_way}
        for name in [*self._levels]:
            if name in busy or self._missing(name):
                continue
            known = self._known[name]
            for level in sorted(self._levels.pop(name) - known.keys()):
                yield _point((name, level), interpolate(known, level))

    def _enter(self, place: Place, estimate: Estimate) -> None:
        name, level = place
        if place == _BASELINE:
            self.baseline = estimate
            for own in self._known.values():
                own[0.0] = estimate
        elif name in self._known:
            self._known[name][level] = estimate

    def _missing(self, name: str) -> list[tuple[float, float]]:
        """Half-widths and levels of one group."""
        busy = [level for group, level in self._under_way if group == name]
        return levels_to_measure(self._known[name], self._levels[name], self._half_width, busy)


def _replayed(sweep: Sweep, board: _Board, half_width: float) -> Iterator[SensitivityPoint]:
    """Settle the board; every cut looks at the images in the same order, from the first one on."""
    dense = _dense_outputs(sweep)
    yield from board.settle(_BASELINE, dense.baseline)
    cohorts: list[_Cohort] = []
    while True:
        waiting = board.wanted()
        if waiting and len(waiting) >= sum(map(len, cohorts)):
            board.start(waiting)
            cohorts.append(_Cohort(sweep, dense, waiting))
        cohorts = [cohort for cohort in cohorts if len(cohort)]
        if not cohorts:
            return
        for cohort in cohorts:
            for settled in cohort.look(half_width):
                yield from board.settle(*settled)


class _Cohort:
    """Cuts that begin together and so share what the dense network computes before them."""

    def __init__(self, sweep: Sweep, dense: DenseOutputs, places: Sequence[Place]) -> None:
        self._sweep = sweep
        cuts = sweep.repair([sweep.cut(sweep.plan(*place)) for place in places])
        self._active = {
            place: (cut, PairedSample(dense)) for place, cut in zip(places, cuts, strict=True)
        }
        size = sweep.batches[0].stop - sweep.batches[0].start
        count = -(-ROUND // size)
        self._rounds = iter(
            [sweep.batches[i : i + count] for i in range(0, len(sweep.batches), count)]
        )

    def __len__(self) -> int:
        return len(self._active)

    def look(self, half_width: float) -> list[tuple[Place, Estimate]]:
        """Let every cut look at some more images; gives those that are sure enough, and ends them.

        With all images every cut is sure.
        """
        batches = next(self._rounds)
        parts = self._sweep.classify([cut for cut, _ in self._active.values()], _scores, batches)
        settled = []
        for number, (place, (_, sample)) in enumerate([*self._active.items()]):
            for batch, part in zip(batches, parts, strict=True):
                sample.add(torch.arange(batch.start, batch.stop), part[number])
            estimate = sample.estimate()
            if estimate.half_width <= half_width:
                del self._active[place]
                settled.append((place, estimate))
        return settled


def _dense_outputs(sweep: Sweep) -> DenseOutputs:
    """The dense network, after the same repair, on all images."""
    cuts = sweep.repair([Cut()])
    parts = sweep.classify(cuts, _scores)
    return DenseOutputs(torch.cat([scores for (scores,) in parts]), sweep.split.labels)


def _scores(_batch: slice, _number: int, scores: Tensor) -> Tensor:
    return scores


def _point(place: Place, estimate: Estimate) -> SensitivityPoint:
    return SensitivityPoint(
        *place, estimate.accuracy, estimate.loss, estimate.low, estimate.high, estimate.samples
    )
