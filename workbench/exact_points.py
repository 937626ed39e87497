"""Points of sensitivity curves with every image, level by level, by replaying what a cut changes.

The numbers are those of the obvious loop (set the weights, evaluate everything, put them back).
Where two classes are so close that rounding could decide between them, the whole network
classifies the image again, call by call as it was written.
"""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.curves import SensitivityPoint
from workbench.metrics import is_right, wilson_interval
from workbench.sweep import Cut, Sweep

Place = tuple[str, float]
"""Group and level of a point."""
_FIRST = 4
"""Cuts that are measured together at first. All share a pass through the dense network."""
_SECONDS = 8.0
"""About so long takes what is measured together later: points then come every few seconds."""
_MOST_WEIGHTS = 2**24
"""Changed weights that are held at once, unless a few cuts have more."""
_CLOSE = 1e-5
"""Two class scores this near, against the largest one, are called close."""


def exact_points(sweep: Sweep, places: Sequence[Place]) -> Iterator[SensitivityPoint]:
    """Measure points on all images of a sweep.

    Whole levels come one after the other, the middle one first, so that every curve has its shape
    early.

    Args:
        sweep: The network and the images.
        places: Group and level of each point; ``("", 0.0)`` is the baseline.
    """
    waiting = level_by_level(places)
    count = _FIRST
    while waiting:
        chunk, waiting = waiting[:count], waiting[count:]
        start = time.perf_counter()
        cuts = sweep.repair([sweep.cut(sweep.plan(*place)) for place in chunk])
        yield from _classified(sweep, chunk, cuts)
        each = (time.perf_counter() - start) / len(chunk)
        most = _MOST_WEIGHTS * len(chunk) // max(1, sum(cut.num_weights for cut in cuts))
        count = max(_FIRST, min(int(_SECONDS / each), most))


def _classified(
    sweep: Sweep, places: Sequence[Place], cuts: Sequence[Cut]
) -> Iterator[SensitivityPoint]:
    """The points of some cuts."""
    labels = sweep.split.labels

    def take(batch: slice, _number: int, scores: Tensor) -> tuple[Tensor, float, Tensor]:
        own = labels[batch]
        loss = float(F.cross_entropy(scores, own, reduction="sum"))
        return is_right(scores, own), loss, _close(scores) + batch.start

    parts = sweep.classify(cuts, take)
    for number, (group, level) in enumerate(places):
        right = torch.cat([part[number][0] for part in parts])
        close = torch.cat([part[number][2] for part in parts])
        if len(close):
            right[close] = is_right(sweep.plain_scores(cuts[number], close), labels[close])
        total, correct = len(labels), int(right.sum())
        loss = sum(part[number][1] for part in parts) / total
        yield SensitivityPoint(
            group, level, correct / total, loss if math.isfinite(loss) else math.inf,
            *wilson_interval(correct, total), total,
        )  # fmt: skip


def _close(scores: Tensor) -> Tensor:
    """Numbers of the images whose two best classes rounding could exchange."""
    if scores.shape[1] < 2:
        return torch.zeros(0, dtype=torch.long)
    best = scores.topk(2).values
    gap = best[:, 0] - best[:, 1]
    largest = scores.abs().amax(1)
    if bool((gap > _CLOSE * largest).all()):
        return torch.zeros(0, dtype=torch.long)
    near = (gap <= _CLOSE * largest) & scores.isfinite().all(1)
    return near.nonzero().view(-1)


def level_by_level(places: Sequence[Place]) -> list[Place]:
    """The same places, the baseline first, then whole levels, the middle one first."""
    levels = inside_out(sorted({level for group, level in places if group}))
    rank = {level: number for number, level in enumerate(levels)}
    return sorted(places, key=lambda place: rank[place[1]] if place[0] else -1)


def inside_out(levels: Sequence[float]) -> list[float]:
    """The middle one first, then the middles of what lies between."""
    found: list[float] = []
    parts = [levels]
    while parts:
        part = parts.pop(0)
        if part:
            middle = len(part) // 2
            found.append(part[middle])
            parts += [part[:middle], part[middle + 1 :]]
    return found
