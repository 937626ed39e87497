"""k-means in one dimension: the few values that stand for all weights of a layer."""

from dataclasses import dataclass

import numpy as np

from workbench.errors import SettingsError
from workbench.progress import ShouldStop, never, raise_if_stopped

MAX_ROUNDS = 300


@dataclass(frozen=True, eq=False)
class Codebook:
    """Values and which of them stands for each number.

    Attributes:
        centroids: float64 ``(num_centroids,)``, rising and all different.
        codes: int64, of the shape of the numbers: which centroid stands for each.
        inertia: Sum of the squared distances from the numbers to their centroids.
    """

    centroids: np.ndarray
    codes: np.ndarray
    inertia: float


def cluster_values(
    values: np.ndarray, num_centroids: int, should_stop: ShouldStop = never
) -> Codebook:
    """Find the centroids that lie closest to all values; the same values give the same ones.

    Lloyd's rounds on the sorted values, where a cluster is a stretch between two borders, so that a
    round costs a few sums over the centroids and nothing over the values. It begins twice, with
    centroids evenly spread over the range of the values and with centroids at their quantiles, and
    keeps the better end. Nothing in it is random.

    Args:
        values: Numbers of any shape, all finite.
        num_centroids: So many, or fewer where there are not so many different values.
        should_stop: Asked before every round.

    Raises:
        StoppedError: If it should stop.
        SettingsError: If ``num_centroids`` is less than 1.

    Reference:
        Han et al. 2016, "Deep Compression", section 3.2 (linear initialisation).
    """
    if num_centroids < 1:
        raise SettingsError(f"num_centroids is {num_centroids}.", "Choose at least 1.")
    flat = np.asarray(values, dtype=np.float64).ravel()
    if not flat.size:
        return Codebook(np.zeros(0), np.zeros(np.shape(values), dtype=np.int64), 0.0)
    ordered = np.sort(flat)
    different = np.unique(ordered)
    if len(different) <= num_centroids:
        codes = np.searchsorted(different, flat).reshape(np.shape(values))
        return Codebook(different, codes, 0.0)
    linear = np.linspace(ordered[0], ordered[-1], num_centroids)
    quantiles = np.quantile(ordered, (np.arange(num_centroids) + 0.5) / num_centroids)
    ends = [
        _lloyd(ordered, np.unique(start), num_centroids, should_stop)
        for start in (linear, quantiles)
    ]
    centroids, inertia = min(ends, key=lambda end: end[1])
    codes = assign(flat, centroids).reshape(np.shape(values))
    return Codebook(centroids, codes, inertia)


def assign(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The number of the nearest centroid for each value, the lower one halfway between two.

    Args:
        values: Of any shape.
        centroids: Rising.
    """
    borders = (centroids[1:] + centroids[:-1]) / 2
    return np.searchsorted(borders, values, side="left")


def _lloyd(
    ordered: np.ndarray, centroids: np.ndarray, count: int, should_stop: ShouldStop
) -> tuple[np.ndarray, float]:
    """Move centroids to the means of their stretches until no border moves.

    A stretch without values goes; in its place the one that costs most is halved at its mean.
    """
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    squares = np.concatenate([[0.0], np.cumsum(ordered**2)])
    while True:
        cuts, centroids = _settled(ordered, sums, centroids, should_stop)
        costs = np.diff(squares[cuts]) - np.diff(cuts) * centroids**2
        divisible = ordered[cuts[:-1]] < ordered[cuts[1:] - 1]
        dearest = np.argsort(-np.where(divisible, costs, -1.0), kind="stable")
        halved = dearest[: min(count - len(centroids), int(divisible.sum()))]
        if not len(halved):
            return np.unique(centroids), float(max(0.0, costs.sum()))
        middles = np.searchsorted(ordered, centroids[halved], "right")
        middles = np.clip(middles, cuts[halved] + 1, cuts[halved + 1] - 1)
        cuts = np.unique(np.concatenate([cuts, middles]))
        centroids = np.diff(sums[cuts]) / np.diff(cuts)


def _settled(
    ordered: np.ndarray, sums: np.ndarray, centroids: np.ndarray, should_stop: ShouldStop
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the stretches, and their means, once they move no more."""
    before = np.zeros(0)
    for _ in range(MAX_ROUNDS):
        raise_if_stopped(should_stop)
        borders = (centroids[1:] + centroids[:-1]) / 2
        cuts = np.concatenate([[0], np.searchsorted(ordered, borders, "right"), [len(ordered)]])
        cuts = np.unique(cuts)
        centroids = np.diff(sums[cuts]) / np.diff(cuts)
        if np.array_equal(cuts, before):
            break
        before = cuts
    return cuts, centroids
