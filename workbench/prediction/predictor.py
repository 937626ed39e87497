"""Adds up damage that was measured one group at a time; the page's scripts mirror this file.

Each group's loss increase ``d`` comes from its curve. Joint cuts reinforce each other, and no
network does much worse than guess, so damages are added on a scale of their own::

    D = c z^p / (1 + z^p)    with    z = sum of (d / (c - d))^(1/p)

which gives ``d`` itself back for a single cut, the plain sum for p = 1 and small damages, and never
more than the ceiling ``c``. What a network does otherwise is learnt as a correction of ``ln D``,
linear in four features with uncertain weights (see ``fitting``); the uncertainty of the weights,
what they leave unexplained and the noise of measuring make the band. Two features grow with the
number of groups that share the damage: an allocation that goes by the curves spreads it over all
groups, and many small cuts do more together than measurements of each alone tell. A map from loss
to accuracy, fitted to everything that was measured, turns both into accuracies. What both still
miss of the nearest plan that was measured is allowed for: it fades with the distance, so that a
small change by hand starts from what was measured.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from workbench.prediction.loss_curve import LossCurve

Z_90 = 1.6448536269514722
"""Normal quantile of a band that nine in ten fall into."""
HEADROOM = 1.3
"""The ceiling is at least so many times the largest damage of a single group."""
LEAST = 0.01
"""Loss increases below this look alike to the correction."""
UNIT = 0.3
"""Loss increase at which the correction's weights are pure shifts."""
NEAR = 0.12
"""Share of the damage in which two plans may differ before one says little about the other."""


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

    @property
    def samples(self) -> int:
        """Images behind both."""
        ...


@dataclass(frozen=True)
class Correction:
    """How the logarithm of a joint loss increase differs from the formula's, and how surely.

    Attributes:
        weights: Of the four features (see ``features``).
        covariance: Of the weights, row by row.
        spread: Variance that the features leave unexplained: of a single cut, and what joint cuts
            add.
        loss_noise: Variance of a loss increase for its size, from the images that were measured.
        accuracy_noise: Variance of an accuracy for what was lost, likewise.
        map_spread: Standard deviation of the accuracy at a loss, as a share of what was lost.
    """

    weights: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    spread: tuple[float, float]
    loss_noise: float
    accuracy_noise: float
    map_spread: float


@dataclass(frozen=True)
class Anchor:
    """A plan that was measured, and what its measurement says about plans near it.

    Attributes:
        damages: Loss increase of each group it cuts, each cut alone.
        ratio: What the correction still misses in the logarithm of its loss increase.
        accuracy: What the map misses in its accuracy.
        ratio_trust: How much of the unexplained variance of the ratio its measurement takes away,
            0 to 1.
        accuracy_trust: The same for the accuracy.
    """

    damages: Mapping[str, float]
    ratio: float
    accuracy: float
    ratio_trust: float
    accuracy_trust: float


@dataclass(frozen=True)
class _Near:
    """What the nearest anchor adds to a prediction, weighted by its nearness."""

    ratio: float = 0.0
    accuracy: float = 0.0
    ratio_left: float = 1.0
    accuracy_left: float = 1.0


VAGUE = 0.4
"""A band of the accuracy that is wider says no more than "at most"; accuracies.js has it too."""


@dataclass(frozen=True)
class Prediction:
    """An estimate, never to be shown like a measurement.

    Nine in ten measurements on as many images as the curves' should fall into the bands.

    Attributes:
        accuracy: Fraction of images, about between chance and the baseline's accuracy.
        loss: Cross-entropy per image.
        accuracy_low: Lower end of the accuracy's 90 % band.
        accuracy_high: Its upper end.
        loss_low: Lower end of the loss's band.
        loss_high: Its upper end.
        unmeasured: Groups the plan cuts that have no curve. The estimate does not count their
            damage; the unfavourable ends of the bands take them to be as fragile as any group.
        extrapolated: Groups the plan cuts further than their curve was measured; the unfavourable
            ends go towards guessing.
    """

    accuracy: float
    loss: float
    accuracy_low: float
    accuracy_high: float
    loss_low: float
    loss_high: float
    unmeasured: tuple[str, ...] = ()
    extrapolated: tuple[str, ...] = ()

    @property
    def is_vague(self) -> bool:
        """Whether the accuracy's band is so wide that its upper end says all there is to say."""
        return self.accuracy_high - self.accuracy_low > VAGUE

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self) | {
            "unmeasured": list(self.unmeasured), "extrapolated": list(self.extrapolated),
        }  # fmt: skip


@dataclass(frozen=True)
class Predictor:
    """Predicts loss and accuracy of a plan; made by ``fit_predictor``.

    Attributes:
        baseline_accuracy: Measured accuracy of the dense model.
        baseline_loss: Measured loss of the dense model.
        chance: Accuracy of guessing, the least that is ever predicted.
        curves: Loss increase by group.
        worst: A curve that no group's curve exceeds; None without curves.
        losses: Knots of the map from loss to accuracy, rising from the baseline's loss.
        accuracies: Accuracy at those knots, never rising.
        exponent: How damages add up: 1 is their plain sum, more where they reinforce each other.
        guessing: Loss increase of a model that only guesses.
        ceiling: Loss increase at which damage saturates.
        samples: Images behind a point of the curves, typically.
        correction: What was learnt from plans.
        anchors: The newest of these plans.
    """

    baseline_accuracy: float
    baseline_loss: float
    chance: float
    curves: Mapping[str, LossCurve]
    worst: LossCurve | None
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    exponent: float
    guessing: float
    ceiling: float
    samples: int
    correction: Correction
    anchors: tuple[Anchor, ...] = ()

    def predict(self, sparsities: Mapping[str, float], samples: int | None = None) -> Prediction:
        """Estimate the joint loss and accuracy of cutting several groups at once.

        Args:
            sparsities: Fraction to prune by group; groups that are not named stay dense.
            samples: Images of the measurement that the bands are for, where they are fewer than
                the curves'.
        """
        images = max(1.0, self.samples / samples) if samples else 1.0
        likely: dict[str, float] = {}
        feared = []
        unmeasured, extrapolated = [], []
        for group, sparsity in sparsities.items():
            if sparsity <= 0:
                continue
            curve = self.curves.get(group)
            if curve is None:
                unmeasured.append(group)
                feared.append(self._feared(self.worst, sparsity))
                continue
            likely[group] = curve.at(sparsity)
            feared.append(self._feared(curve, sparsity))
            if sparsity > curve.levels[-1]:
                extrapolated.append(group)
        if not feared:  # nothing is cut
            whole, loss = self.accuracies[0], self.baseline_loss
            return Prediction(whole, loss, whole, whole, loss, loss)
        near = self._near(likely)
        increase, low, high = self._increases(likely.values(), near, images)
        if unmeasured or extrapolated:
            high = self._increases(feared, near, images)[2]
        loss = self.baseline_loss + increase
        ends = (self.baseline_loss + low, self.baseline_loss + high)
        found = self._accuracies(loss, ends, near, images)
        return Prediction(found[0], loss, *found[1:], *ends, tuple(unmeasured), tuple(extrapolated))

    def formula(self, damages: Iterable[float]) -> tuple[float, float]:
        """The joint loss increase before any correction, and how joint it is.

        Args:
            damages: Loss increase of each group that is cut, each cut alone.

        Returns:
            The increase, and the jointness: the logarithm of how many groups share the damage, 0
            where one does all of it.
        """
        found = [damage for damage in damages if damage > 0]
        if not found:
            return 0.0, 0.0
        ceiling = max(self.ceiling, HEADROOM * max(found))
        power = 1 / self.exponent
        z = sum((damage / (ceiling - damage)) ** power for damage in found) ** self.exponent
        total = sum(found)
        return ceiling * z / (1 + z), max(0.0, -math.log(sum((d / total) ** 2 for d in found)))

    def _near(self, damages: Mapping[str, float]) -> _Near:
        """What the nearest plan that was measured says; its word fades with the distance.

        Args:
            damages: Loss increase of each group that is cut.
        """
        total, best, found = sum(damages.values()), 0.0, _Near()
        if total <= 0:
            return found
        for anchor in self.anchors:
            apart = sum(abs(d - anchor.damages.get(group, 0.0)) for group, d in damages.items())
            apart += sum(d for group, d in anchor.damages.items() if group not in damages)
            reach = NEAR * max(total, sum(anchor.damages.values()))
            weight = math.exp(-apart / reach)
            if weight > best:
                best, square = weight, weight * weight
                found = _Near(
                    weight * anchor.ratio_trust * anchor.ratio,
                    weight * anchor.accuracy_trust * anchor.accuracy,
                    1 - square * anchor.ratio_trust, 1 - square * anchor.accuracy_trust,
                )  # fmt: skip
        return found

    def _increases(
        self, damages: Iterable[float], near: _Near, images: float
    ) -> tuple[float, float, float]:  # fmt: skip
        """Corrected joint loss increase, and both ends of its band.

        Args:
            damages: Loss increase of each group that is cut.
            near: What the nearest plan says.
            images: How many times fewer images are measured than behind the curves.
        """
        increase, jointness = self.formula(damages)
        correction = self.correction
        own = features(increase, jointness)
        shift = near.ratio + sum(w * f for w, f in zip(correction.weights, own, strict=True))
        variance = (correction.spread[0] + correction.spread[1] * jointness) * near.ratio_left
        for row, f in zip(correction.covariance, own, strict=True):
            variance += f * sum(v * g for v, g in zip(row, own, strict=True))
        increase *= math.exp(shift)
        ratio = math.exp(Z_90 * math.sqrt(variance))
        noise = Z_90 * math.sqrt(images * correction.loss_noise * (increase + LEAST))
        return (
            increase,
            increase - math.hypot(increase - increase / ratio, noise),
            increase + math.hypot(increase * ratio - increase, noise),
        )

    def _feared(self, curve: LossCurve | None, sparsity: float) -> float:
        """The damage of a cut, towards guessing where it is not known."""
        if curve is None:
            return self.guessing
        last = curve.levels[-1]
        if sparsity <= last:
            return curve.at(sparsity)
        known = curve.increases[-1]
        share = (sparsity - last) / (1 - last)
        return max(curve.at(sparsity), known + (self.guessing - known) * share * share)

    def _accuracies(
        self, loss: float, losses: tuple[float, float], near: _Near, images: float
    ) -> tuple[float, float, float]:  # fmt: skip
        """The accuracy and both ends of its band, from those of the loss and the map's own error.

        Args:
            loss: Predicted loss.
            losses: Ends of its band.
            near: What the nearest plan says.
            images: How many times fewer images are measured than behind the curves.
        """
        mapped = self.accuracy_at(loss)
        lost = self.baseline_accuracy - mapped
        correction = self.correction
        noise = images * correction.accuracy_noise * (max(0.0, lost) + LEAST)
        own = Z_90 * math.sqrt((noise + (correction.map_spread * lost) ** 2) * near.accuracy_left)
        accuracy = min(1.0, max(0.0, mapped + near.accuracy))
        low = accuracy - math.hypot(mapped - self.accuracy_at(losses[1]), own)
        high = accuracy + math.hypot(self.accuracy_at(losses[0]) - mapped, own)
        return accuracy, max(0.0, low), min(1.0, high)

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
            "curves": {group: _plain(curve) for group, curve in self.curves.items()},
            "worst": _plain(self.worst) if self.worst else None,
            "losses": list(self.losses),
            "accuracies": list(self.accuracies),
            "exponent": self.exponent,
            "guessing": self.guessing,
            "ceiling": self.ceiling,
            "weights": list(self.correction.weights),
            "covariance": [list(row) for row in self.correction.covariance],
            "spread": list(self.correction.spread),
            "loss_noise": self.correction.loss_noise,
            "accuracy_noise": self.correction.accuracy_noise,
            "map_spread": self.correction.map_spread,
            "anchors": [
                vars(anchor) | {"damages": dict(anchor.damages)} for anchor in self.anchors
            ],
        }


def features(increase: float, jointness: float) -> tuple[float, float, float, float]:
    """What the correction is linear in.

    Args:
        increase: Joint loss increase by the formula.
        jointness: Logarithm of how many groups share in it.
    """
    size = math.log(max(increase, LEAST) / UNIT)
    return 1.0, size, jointness * jointness, jointness * size


def _plain(curve: LossCurve) -> dict[str, list[float]]:
    return {
        "levels": list(curve.levels),
        "increases": list(curve.increases),
        "slopes": list(curve.slopes),
    }
