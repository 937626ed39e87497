"""What a plan will probably cost: its loss and accuracy, estimated from the sensitivity curves.

The estimate adds up damage that was measured one group at a time. Each group's loss increase is
interpolated between the measured levels without ever falling; the baseline's loss plus the joint
increase is the predicted loss; a map from loss to accuracy, fitted to the same measured points,
turns it into a predicted accuracy between chance and baseline.

The joint increase of several cuts is close to their sum in networks of a few groups, and more in
deep ones, where damages reinforce each other: ``(sum of d ** (1 / p)) ** p`` over the increases
``d``, with ``p = 1 + 0.125 ln(groups)``. Over 144 plans of six sample models, with and without
repair, it was about 6 points of accuracy off on average, the plain sum about 9; both about 2 where
more than 70 % is left. ``python -m tests.benchmarks.prediction_error`` measures it. It remains an
estimate.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Protocol

REINFORCEMENT = 0.125


class Scored(Protocol):
    """Anything with a measured accuracy and loss, such as the baseline of sensitivity curves."""

    @property
    def accuracy(self) -> float:
        """Fraction of images classified correctly."""
        ...

    @property
    def loss(self) -> float:
        """Mean cross-entropy per image."""
        ...


class MeasuredPoint(Scored, Protocol):
    """One point of a sensitivity curve: one group cut to one level, the rest dense."""

    @property
    def group(self) -> str:
        """The group that was cut."""
        ...

    @property
    def level(self) -> float:
        """Its sparsity."""
        ...


@dataclass(frozen=True)
class MeasuredPlan:
    """A whole plan that was measured after the same repair as the curves.

    Attributes:
        sparsities: Group name to sparsity.
        loss: Mean cross-entropy per image.
        accuracy: Fraction of images classified correctly.
        samples: Images behind both.
        baseline: Loss and accuracy of the dense model on the same images, where known.
    """

    sparsities: Mapping[str, float]
    loss: float
    accuracy: float
    samples: int
    baseline: tuple[float, float] | None = None


@dataclass(frozen=True)
class LossCurve:
    """The loss increase of one group against its sparsity: a monotone piecewise cubic.

    Attributes:
        levels: Sparsities of the knots, rising, the first 0.
        increases: Loss increase at each knot, never falling, the first 0.
        slopes: Derivative at each knot.

    Reference:
        Fritsch and Carlson 1980, "Monotone Piecewise Cubic Interpolation".
    """

    levels: tuple[float, ...]
    increases: tuple[float, ...]
    slopes: tuple[float, ...]

    def at(self, sparsity: float) -> float:
        """Loss increase at a sparsity; behind the last level it goes on along a straight line."""
        if sparsity <= 0:
            return 0.0
        last = len(self.levels) - 1
        if sparsity >= self.levels[last]:
            width = self.levels[last] - self.levels[last - 1]
            secant = (self.increases[last] - self.increases[last - 1]) / width
            return self.increases[last] + max(secant, self.slopes[last]) * (
                sparsity - self.levels[last]
            )
        i = bisect_right(self.levels, sparsity) - 1
        width = self.levels[i + 1] - self.levels[i]
        t = (sparsity - self.levels[i]) / width
        rise = self.increases[i + 1] - self.increases[i]
        bow = self.slopes[i] * width * t * (1 - t) * (1 - t)
        dip = self.slopes[i + 1] * width * t * t * (1 - t)
        return self.increases[i] + rise * t * t * (3 - 2 * t) + bow - dip


@dataclass(frozen=True)
class Prediction:
    """An estimate, never to be shown like a measurement.

    Attributes:
        accuracy: Fraction of images, between chance and the baseline's accuracy.
        loss: Cross-entropy per image.
        unmeasured: Groups the plan cuts that have no curve. Their damage is not counted, so the
            estimate is a best case.
        extrapolated: Groups the plan cuts further than their curve was measured.
    """

    accuracy: float
    loss: float
    unmeasured: tuple[str, ...] = ()
    extrapolated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictor:
    """Predicts loss and accuracy of a plan; made by ``fit_predictor``.

    Attributes:
        baseline_accuracy: Measured accuracy of the dense model.
        baseline_loss: Measured loss of the dense model.
        chance: Accuracy of guessing, the least that is ever predicted.
        curves: Loss increase by group.
        losses: Knots of the map from loss to accuracy, rising from the baseline's loss.
        accuracies: Accuracy at those knots, never rising.
        exponent: How damages add up: 1 is their plain sum, more where they reinforce each other.
    """

    baseline_accuracy: float
    baseline_loss: float
    chance: float
    curves: Mapping[str, LossCurve]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    exponent: float = 1.0

    def predict(self, sparsities: Mapping[str, float]) -> Prediction:
        """Estimate the joint loss and accuracy of cutting several groups at once.

        Args:
            sparsities: Fraction to prune by group; groups that are not named stay dense.
        """
        roots = 0.0
        unmeasured, extrapolated = [], []
        for group, sparsity in sparsities.items():
            if sparsity <= 0:
                continue
            curve = self.curves.get(group)
            if curve is None:
                unmeasured.append(group)
                continue
            roots += curve.at(sparsity) ** (1 / self.exponent)
            if sparsity > curve.levels[-1]:
                extrapolated.append(group)
        loss = self.baseline_loss + roots**self.exponent
        return Prediction(self.accuracy_at(loss), loss, tuple(unmeasured), tuple(extrapolated))

    def accuracy_at(self, loss: float) -> float:
        """The accuracy that goes with a loss, linear between the fitted knots."""
        if loss <= self.losses[0]:
            return self.accuracies[0]
        if loss >= self.losses[-1]:
            return self.accuracies[-1]
        i = bisect_right(self.losses, loss) - 1
        t = (loss - self.losses[i]) / (self.losses[i + 1] - self.losses[i])
        return self.accuracies[i] + (self.accuracies[i + 1] - self.accuracies[i]) * t

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON; the page's script predicts from the same table."""
        return {
            "baseline_accuracy": self.baseline_accuracy,
            "baseline_loss": self.baseline_loss,
            "chance": self.chance,
            "curves": {
                group: {
                    "levels": list(curve.levels),
                    "increases": list(curve.increases),
                    "slopes": list(curve.slopes),
                }
                for group, curve in self.curves.items()
            },
            "exponent": self.exponent,
            "losses": list(self.losses),
            "accuracies": list(self.accuracies),
        }


def fit_predictor(baseline: Scored, points: Iterable[MeasuredPoint], *, chance: float) -> Predictor:
    """Fit the prediction to measured sensitivity curves, whole or partial.

    Args:
        baseline: The dense model, measured like the points (same images, same repair).
        points: Points of all curves, in any order.
        chance: Accuracy of guessing: 1 / classes for balanced classes, 0 < chance < 1.

    Returns:
        A predictor; without points it predicts the baseline and names every group unmeasured.
    """
    measured = sorted(
        (p for p in points if 0 < p.level < 1 and math.isfinite(p.loss)),
        key=lambda p: (p.group, p.level),
    )
    curves = {
        group: fit_loss_curve([(p.level, p.loss - baseline.loss) for p in own])
        for group, own in groupby(measured, key=lambda p: p.group)
    }
    losses, accuracies = _fit_accuracy(baseline, [(p.loss, p.accuracy) for p in measured], chance)
    exponent = 1 + REINFORCEMENT * math.log(max(1, len(curves)))
    return Predictor(baseline.accuracy, baseline.loss, chance, curves, losses, accuracies, exponent)


def fit_loss_curve(points: Sequence[tuple[float, float]]) -> LossCurve:
    """Draw the smooth, never-falling curve from (0, 0) through measured loss increases.

    Args:
        points: ``(level, loss increase)`` with 0 < level < 1, at least one. Where noise makes the
            increase fall or go below 0, neighbours are averaged (isotonic regression).
    """
    by_level = _mean_by_first(points)
    rising = [max(0.0, y) for y in _isotonic([y for _, y in by_level])]
    levels = (0.0, *(x for x, _ in by_level))
    increases = (0.0, *rising)
    return LossCurve(levels, increases, _monotone_slopes(levels, increases))


def _fit_accuracy(
    baseline: Scored, points: Sequence[tuple[float, float]], chance: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of the falling map from loss to accuracy; starts at the baseline.

    Measured losses seldom reach far; at the loss of guessing, ``-ln(chance)``, the accuracy is
    chance, and the map goes there where no point says otherwise.
    """
    ceiling = max(chance, baseline.accuracy)
    worse = _mean_by_first([(x, y) for x, y in points if x > baseline.loss])
    falling = [-y for y in _isotonic([-y for _, y in worse])]
    knots = [(baseline.loss, ceiling)]
    for accuracy, block in groupby(zip(worse, falling, strict=True), key=lambda pair: pair[1]):
        xs = [point[0] for point, _ in block]
        knots.append((sum(xs) / len(xs), min(ceiling, max(chance, accuracy))))
    guessing = -math.log(chance)
    if guessing > knots[-1][0]:
        knots.append((guessing, chance))
    return tuple(x for x, _ in knots), tuple(y for _, y in knots)


def _mean_by_first(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sort by the first value; average the second where the first is the same."""
    means = []
    for x, same in groupby(sorted(points), key=lambda point: point[0]):
        ys = [y for _, y in same]
        means.append((x, sum(ys) / len(ys)))
    return means


def _isotonic(values: Sequence[float]) -> list[float]:
    """Nearest never-falling sequence in least squares: pool adjacent violators."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] >= mean:
            before, size = blocks.pop()
            mean = (before * size + mean * count) / (size + count)
            count += size
        blocks.append((mean, count))
    return [mean for mean, count in blocks for _ in range(count)]


def _monotone_slopes(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, ...]:
    """Slopes that keep the cubic monotone: weighted harmonic means of neighbouring secants."""
    widths = [b - a for a, b in pairwise(xs)]
    secants = [(b - a) / w for (a, b), w in zip(pairwise(ys), widths, strict=True)]
    if len(secants) == 1:
        return (secants[0], secants[0])
    inner = []
    for (h0, h1), (s0, s1) in zip(pairwise(widths), pairwise(secants), strict=True):
        w0, w1 = 2 * h1 + h0, h1 + 2 * h0
        inner.append((w0 + w1) / (w0 / s0 + w1 / s1) if s0 > 0 and s1 > 0 else 0.0)
    first = _end_slope(widths[0], widths[1], secants[0], secants[1])
    last = _end_slope(widths[-1], widths[-2], secants[-1], secants[-2])
    return (first, *inner, last)


def _end_slope(near: float, far: float, secant: float, next_secant: float) -> float:
    """Three-point slope at an end, at least 0 and at most two secants, so all stays monotone."""
    return max(0.0, ((2 * near + far) * secant - near * next_secant) / (near + far))
