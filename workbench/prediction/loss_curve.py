"""Loss curves: the loss increase of one group against its sparsity, drawn through noisy points."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise


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


def fit_loss_curve(points: Sequence[tuple[float, float]]) -> LossCurve:
    """Draw the smooth, never-falling curve from (0, 0) through measured loss increases.

    Args:
        points: ``(level, loss increase)`` with 0 < level < 1, at least one. Where noise makes the
            increase fall or go below 0, neighbours are averaged (isotonic regression).
    """
    by_level = _mean_by_first(points)
    rising = [max(0.0, y) for y in isotonic([y for _, y in by_level])]
    levels = (0.0, *(x for x, _ in by_level))
    increases = (0.0, *rising)
    return LossCurve(levels, increases, _monotone_slopes(levels, increases))


def _mean_by_first(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sort by the first value; average the second where the first is the same."""
    means = []
    for x, same in groupby(sorted(points), key=lambda point: point[0]):
        ys = [y for _, y in same]
        means.append((x, sum(ys) / len(ys)))
    return means


def isotonic(values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """Nearest never-falling sequence in weighted least squares: pool adjacent violators.

    Args:
        values: In the order in which they may not fall.
        weights: One a value, greater than 0; equal ones if None.
    """
    blocks: list[tuple[float, float, int]] = []
    for value, own in zip(values, weights or [1.0] * len(values), strict=True):
        mean, weight, count = value, own, 1
        while blocks and blocks[-1][0] >= mean:
            before, size, number = blocks.pop()
            mean = (before * size + mean * weight) / (size + weight)
            weight, count = weight + size, count + number
        blocks.append((mean, weight, count))
    return [mean for mean, _weight, count in blocks for _ in range(count)]


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
