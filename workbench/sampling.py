"""What a few images say about all of them, and which levels a curve needs.

One dense pass tells how surely the network classifies every image. A cut network then looks at a
few images, a seeded choice without replacement. What the cut changed there is explained by what
the dense pass says of those images, all images are predicted from that, and the mean error of the
explanation on the few corrects the sum. Where all images were looked at, the result is exact.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.metrics import Z_95, is_right
from workbench.prediction import fit_loss_curve

MAX_CLASSES = 32
"""With more classes than that, a class alone has too few images to say much."""
SCALES = (0.1, 0.3, 1.0)
"""Disturbances of the margin that are told apart, in units of its median."""
RIDGE = 1.0


@dataclass(frozen=True)
class Estimate:
    """What a cut network would do on all images.

    Attributes:
        accuracy: Estimated fraction of all images classified correctly.
        loss: Estimated mean cross-entropy in nats; infinite where one output is not finite.
        low: Lower end of the 95 % interval of that accuracy; the accuracy itself where all images
            were looked at.
        high: Upper end.
        samples: Images looked at.
    """

    accuracy: float
    loss: float
    low: float
    high: float
    samples: int

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


class DenseOutputs:
    """What the dense network says of every image, in a form that explains what a cut changes.

    A cut disturbs the scores, and an image changes sides when its margin is smaller than the
    disturbance. So the features are falling functions of the margin at several scales, for images
    that were right and wrong apart, and the class of those that were right.

    Args:
        logits: ``(samples, classes)``.
        labels: ``(samples,)``, int64.
    """

    def __init__(self, logits: Tensor, labels: Tensor) -> None:
        self.labels = labels
        self.correct, self.losses = right_and_loss(logits, labels)
        self._features = _features(logits, labels, self.correct, self.losses)
        self._mean = self._features.mean(0)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def baseline(self) -> Estimate:
        """Accuracy and loss of the dense network, known exactly."""
        accuracy, loss = float(self.correct.mean()), float(self.losses.mean())
        loss = loss if math.isfinite(loss) else math.inf
        return Estimate(accuracy, loss, accuracy, accuracy, len(self))

    def mean_of_all(self, indices: Tensor, dense: Tensor, cut: Tensor) -> tuple[float, float]:
        """Mean of a quantity over all images, from what a cut made of it on some of them.

        The difference estimator with a ridge regression of the difference on the features. With
        all images in the sample it is the plain mean, whatever the regression.

        Args:
            indices: ``(n,)``, a random choice of images without replacement.
            dense: ``(samples,)``, the quantity with the dense network, for every image.
            cut: ``(n,)``, the quantity with the cut network, for the chosen ones.

        Returns:
            The mean and the sum of the squared leave-one-out residuals.

        Reference:
            Särndal, Swensson and Wretman 1992, "Model Assisted Survey Sampling", chapter 6.
        """
        x, y = self._features[indices], cut - dense[indices]
        gram = x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
        inverse = torch.linalg.inv(gram)
        weights = inverse @ (x.T @ y)
        residuals = y - x @ weights
        leverage = ((x @ inverse) * x).sum(1)
        mean = dense.mean() + self._mean @ weights + residuals.mean()
        return float(mean), float((residuals / (1 - leverage)).square().sum())


class PairedSample:
    """What a cut network gave for the images seen so far, beside the dense network's outputs.

    Args:
        dense: The outputs of the dense network for all images.
    """

    def __init__(self, dense: DenseOutputs) -> None:
        self._dense = dense
        self._indices: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._losses: list[Tensor] = []
        self.samples = 0

    def add(self, indices: Tensor, logits: Tensor) -> None:
        """Take in a batch of images that were not there before.

        Args:
            indices: ``(batch,)``, which of all images; over all batches a random choice.
            logits: ``(batch, classes)`` of the cut network.
        """
        correct, losses = right_and_loss(logits, self._dense.labels[indices])
        self._indices.append(indices)
        self._correct.append(correct)
        self._losses.append(losses)
        self.samples += len(indices)

    def estimate(self) -> Estimate:
        """The accuracy and loss over all images; needs at least one batch.

        Two images that changed sides, one each way, are added to those seen, so that the interval
        keeps a width where none was seen to change.

        Reference:
            Bonett and Price 2012, "Adjusted Wald Confidence Interval for a Difference of Binomial
            Proportions Based on Paired Data", for the two images; Cochran 1977, "Sampling
            Techniques", section 2.6, for what a finite number of images takes off.
        """
        dense, n, total = self._dense, self.samples, len(self._dense)
        indices, correct = torch.cat(self._indices), torch.cat(self._correct)
        losses = torch.cat(self._losses)
        seen = int(correct.sum())
        least, most = seen / total, 1 - (n - seen) / total
        accuracy, squares = dense.mean_of_all(indices, dense.correct, correct)
        accuracy = min(max(accuracy, least), most)
        unseen = 1 - n / total
        half = Z_95 * math.sqrt(unseen * (squares + 2)) / (n + 2)
        loss = math.inf
        if bool(losses.isfinite().all() and dense.losses.isfinite().all()):
            loss = max(0.0, dense.mean_of_all(indices, dense.losses, losses)[0])
        low, high = max(accuracy - half, least), min(accuracy + half, most)
        return Estimate(accuracy, loss, low, high, n)


def right_and_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each image is classified correctly (1 or 0), and its cross-entropy in nats.

    Args:
        logits: ``(samples, classes)``; a row with a NaN is not correct.
        labels: ``(samples,)``.

    Returns:
        Two float64 tensors ``(samples,)``.
    """
    right = is_right(logits, labels)
    return right.double(), F.cross_entropy(logits.double(), labels, reduction="none")


def _features(logits: Tensor, labels: Tensor, correct: Tensor, losses: Tensor) -> Tensor:
    """``(samples, features)``, finite and of the order of 1."""
    scores = logits.double().nan_to_num(nan=0.0, posinf=1e6, neginf=-1e6)
    own = scores.gather(1, labels[:, None])[:, 0]
    others = scores.scatter(1, labels[:, None], -math.inf).amax(1)
    margin = (own - others).abs().nan_to_num(posinf=1e6)
    margin = margin / margin.median().clamp_min(1e-12)
    near = torch.stack([(-margin / scale).exp() for scale in SCALES], 1)
    right = correct[:, None]
    columns = [
        right * near,
        (1 - right) * near,
        losses.nan_to_num(posinf=10.0)[:, None].clamp(max=10),
    ]
    if logits.shape[1] <= MAX_CLASSES:
        columns.append(right * F.one_hot(labels, logits.shape[1]))
    return torch.cat(columns, 1)


def levels_to_measure(
    known: Mapping[float, Estimate], levels: Iterable[float], half_width: float,
    under_way: Iterable[float] = (),
) -> list[tuple[float, float]]:  # fmt: skip
    """The levels of one group's curve that should be measured next, by how uncertain they are.

    First the highest level. A gap between neighbouring known levels is done where all that lies
    between their intervals is narrow enough, since accuracy falls as more is cut; else its middle
    level comes next. A group whose accuracy is known to rise somewhere is measured at every level.

    Args:
        known: What is known by level; the dense network at level 0.
        levels: Every level asked for, rising.
        half_width: Half the width of the widest interval that will do.
        under_way: Levels that are being measured; their gap waits for them.

    Returns:
        Pairs of half-width and level, in the order of the levels; empty where nothing is missing.
    """
    asked, busy = sorted(levels), set(under_way)
    limit = -1.0 if _rises(known) else half_width
    stops = sorted({*known, max(asked[-1], *known)})
    wanted = []
    for left, right in pairwise(stops):
        between = [level for level in asked if left < level < right]
        if right not in known:
            between = [right]  # the last one
        width = math.inf if right not in known else _hull_half_width(known[left], known[right])
        if between and width > limit and not any(left < level <= right for level in busy):
            wanted.append((width, between[len(between) // 2]))
    return wanted


def interpolate(known: Mapping[float, Estimate], level: float) -> Estimate:
    """Accuracy and loss at a level between two known ones; ``samples`` is 0.

    The interval holds everything that lies between those of the two neighbours, which is honest
    as long as the accuracy does not rise in between. The values follow the monotone curve through
    all that is known.

    Args:
        known: What is known by level; the dense network at level 0.
        level: Lies between the least and the greatest known level.
    """
    levels = sorted(known)
    right = next(i for i, stop in enumerate(levels) if stop > level)
    a, b = known[levels[right - 1]], known[levels[right]]
    low, high = min(a.low, b.low), max(a.high, b.high)
    dense = known[0.0]
    falls = [(stop, dense.accuracy - known[stop].accuracy) for stop in levels if stop]
    rises = [(stop, known[stop].loss - dense.loss) for stop in levels if stop]
    finite = [(stop, rise) for stop, rise in rises if math.isfinite(rise)]
    accuracy = dense.accuracy - fit_loss_curve(falls).at(level)
    loss = dense.loss + fit_loss_curve(finite).at(level) if math.isfinite(b.loss) else math.inf
    return Estimate(min(max(accuracy, low), high), loss, low, high, 0)


def _rises(known: Mapping[float, Estimate]) -> bool:
    """Whether the accuracy at some level lies surely above that of a lower one."""
    ordered = [known[level] for level in sorted(known)]
    return any(b.low > a.high for a, b in pairwise(ordered))


def _hull_half_width(a: Estimate, b: Estimate) -> float:
    """Half of what lies between two neighbours; endless where only one has a finite loss."""
    if math.isfinite(a.loss) != math.isfinite(b.loss):
        return math.inf
    return (max(a.high, b.high) - min(a.low, b.low)) / 2
