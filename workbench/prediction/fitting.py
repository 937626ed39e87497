"""Fits the prediction to sensitivity curves and to the plans that were measured in full."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, repeat
from statistics import median
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.prediction.loss_curve import LossCurve, fit_loss_curve, isotonic
from workbench.prediction.predictor import (
    LEAST,
    Anchor,
    Correction,
    Prediction,
    Predictor,
    Scored,
    features,
)
from workbench.prediction.prior import PRIOR, CurvesRepair, Prior, Shift

Array = NDArray[np.float64]
FURTHEST = 3.0
"""A measured loss increase counts as at most so many e-folds from the formula's."""
MOST_ANCHORS = 8
"""The newest plans; a person seldom goes back further."""


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
    """A whole plan that was measured.

    Attributes:
        sparsities: Group name to sparsity, as it was cut.
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


def fit_predictor(
    baseline: Scored, points: Iterable[MeasuredPoint], *, chance: float,
    plans: Iterable[MeasuredPlan] = (), repaired: bool = True, same_criterion: bool = True,
    curves_repair: CurvesRepair = "same", prior: Prior = PRIOR,
) -> Predictor:  # fmt: skip
    """Fit the prediction to measured sensitivity curves, whole or partial, and to plans.

    Args:
        baseline: The dense model, measured like the points (same images, same repair).
        points: Points of all curves, in any order.
        chance: Accuracy of guessing: 1 / classes for balanced classes, 0 < chance < 1.
        plans: Plans that were measured in full, of the criterion and after the repair that is to
            be predicted.
        repaired: Whether what is to be predicted comes after some repair.
        same_criterion: Whether the curves are of the criterion that is to be predicted.
        curves_repair: Whether they were measured after the repair that is to be predicted, after a
            milder one, or after a stronger one.
        prior: What is known beforehand.

    Returns:
        A predictor; without points it predicts the baseline and names every group unmeasured.

    Reference:
        Bishop 2006, "Pattern Recognition and Machine Learning", section 3.3 (Bayesian linear
        regression).
    """
    fit = _Fit(
        baseline, points, chance, prior.parts(repaired, same_criterion, curves_repair), prior
    )
    return fit.predictor(list(plans))


def predict_in_turn(
    baseline: Scored, points: Iterable[MeasuredPoint], *, chance: float,
    plans: Sequence[MeasuredPlan], repaired: bool = True, same_criterion: bool = True,
    curves_repair: CurvesRepair = "same", prior: Prior = PRIOR,
) -> list[Prediction]:  # fmt: skip
    """What would have been predicted of each plan, knowing only the curves and the plans before it.

    The arguments are those of ``fit_predictor``.

    Args:
        baseline: The dense model.
        points: Points of all curves.
        chance: Accuracy of guessing.
        plans: In the order in which they were measured.
        repaired: Whether the plans were repaired.
        same_criterion: Whether the curves are of the plans' criterion.
        curves_repair: The repair behind the curves, compared with that of the plans.
        prior: What is known beforehand.
    """
    fit = _Fit(
        baseline, points, chance, prior.parts(repaired, same_criterion, curves_repair), prior
    )
    return [
        fit.predictor(plans[:number]).predict(plan.sparsities, plan.samples)
        for number, plan in enumerate(plans)
    ]


class _Fit:
    """The curves, drawn once; plans can then be added quickly."""

    def __init__(
        self, baseline: Scored, points: Iterable[MeasuredPoint], chance: float,
        parts: Sequence[Shift], prior: Prior,
    ) -> None:  # fmt: skip
        measured = sorted(
            (p for p in points if 0 < p.level < 1 and math.isfinite(p.loss)),
            key=lambda p: (p.group, p.level),
        )
        curves = {
            group: fit_loss_curve([(p.level, p.loss - baseline.loss) for p in own])
            for group, own in groupby(measured, key=lambda p: p.group)
        }
        guessing = max(-math.log(chance) - baseline.loss, LEAST)
        expected, covariance, spread = _expected(prior, parts)
        counted = [p.samples for p in measured if p.samples]  # interpolated points have none
        images = max(1, round(median(counted or [baseline.samples])))
        self._baseline, self._prior = baseline, prior
        self._scored = [(p.loss, p.accuracy, 1.0) for p in measured]
        self._before = Predictor(
            baseline.accuracy, baseline.loss, chance, curves, _worst(curves), (), (),
            prior.exponent, guessing, prior.ceiling * guessing, images,
            Correction(
                tuple(expected), tuple(map(tuple, covariance.tolist())), spread,
                prior.loss_noise / images, prior.accuracy_noise / images, prior.map_spread,
            ),
        )  # fmt: skip

    def predictor(self, plans: Sequence[MeasuredPlan]) -> Predictor:
        """The prediction, corrected by some plans."""
        baseline, before = self._baseline, self._before
        known = [plan for plan in map(_Increase.of, plans, repeat(baseline)) if plan is not None]
        scored = [(baseline.loss + k.loss, baseline.accuracy - k.lost, k.trust) for k in known]
        losses, accuracies = _fit_accuracy(baseline, [*self._scored, *scored], before.chance)
        taught = [_Lesson.of(plan, before, self._prior) for plan in known]
        lessons = [lesson for lesson in taught if lesson is not None]
        correction = _learn(before.correction, lessons)
        learnt = replace(before, losses=losses, accuracies=accuracies, correction=correction)
        newest = lessons[-MOST_ANCHORS:]
        return replace(learnt, anchors=tuple(_anchor(lesson, learnt) for lesson in newest))


@dataclass(frozen=True)
class _Increase:
    """What a measured plan cost."""

    sparsities: Mapping[str, float]
    loss: float
    lost: float
    samples: int
    trust: float

    @classmethod
    def of(cls, plan: MeasuredPlan, baseline: Scored) -> "_Increase | None":
        if not math.isfinite(plan.loss):
            return None
        loss, accuracy = plan.baseline or (baseline.loss, baseline.accuracy)
        return cls(
            plan.sparsities, plan.loss - loss, accuracy - plan.accuracy, max(1, plan.samples),
            plan.samples / max(1, baseline.samples),
        )  # fmt: skip


def _expected(
    prior: Prior, parts: Sequence[Shift]
) -> tuple[Array, Array, tuple[float, float]]:  # fmt: skip
    """The correction's weights before any plan was measured: mean, covariance, unexplained rest."""
    mean = np.sum([part.weights for part in parts], axis=0)
    covariance = np.diag(np.sum(np.square([part.deviations for part in parts]), axis=0))
    single, joint = prior.spread
    return mean, covariance, (single + sum(part.spread for part in parts), joint)


@dataclass(frozen=True)
class _Lesson:
    """A measured plan beside what the formula says of it."""

    plan: _Increase
    damages: Mapping[str, float]
    features: tuple[float, ...]
    ratio: float
    unexplained: float
    noise: float

    @classmethod
    def of(cls, plan: _Increase, predictor: Predictor, prior: Prior) -> "_Lesson | None":
        """None where the curves do not reach or nothing is cut."""
        damages = _damages(predictor, plan.sparsities)
        increase, jointness = predictor.formula(damages.values() if damages else ())
        if damages is None or increase <= 0:
            return None
        least = increase * math.exp(-FURTHEST)
        single, joint = predictor.correction.spread
        return cls(
            plan, damages, features(increase, jointness),
            min(FURTHEST, math.log(max(plan.loss, least) / increase)),
            single + joint * jointness,
            prior.loss_noise * (increase + LEAST) / plan.samples / increase**2,
        )  # fmt: skip


def _learn(correction: Correction, lessons: Sequence[_Lesson]) -> Correction:
    """The correction after seeing what plans really cost: Bayesian linear regression."""
    if not lessons:
        return correction
    mean, covariance = np.array(correction.weights), np.array(correction.covariance)
    x = np.array([lesson.features for lesson in lessons])
    y = np.array([lesson.ratio for lesson in lessons])
    variances = np.diag([lesson.unexplained + lesson.noise for lesson in lessons])
    gain = covariance @ x.T @ np.linalg.inv(x @ covariance @ x.T + variances)
    mean = mean + gain @ (y - x @ mean)
    covariance = covariance - gain @ x @ covariance
    covariance = (covariance + covariance.T) / 2
    return replace(
        correction, weights=tuple(mean.tolist()), covariance=tuple(map(tuple, covariance.tolist()))
    )


def _anchor(lesson: _Lesson, predictor: Predictor) -> Anchor:
    """What a plan tells about those near it."""
    plan, weights = lesson.plan, predictor.correction.weights
    explained = sum(w * f for w, f in zip(weights, lesson.features, strict=True))
    mapped = predictor.accuracy_at(predictor.baseline_loss + plan.loss)
    total = lesson.unexplained + lesson.noise
    return Anchor(
        lesson.damages, lesson.ratio - explained, predictor.baseline_accuracy - plan.lost - mapped,
        lesson.unexplained / total if total else 0.0, min(1.0, plan.samples / predictor.samples),
    )  # fmt: skip


def _damages(predictor: Predictor, sparsities: Mapping[str, float]) -> dict[str, float] | None:
    """Loss increases of all cuts, or None where one of them was not measured."""
    damages = {}
    for group, sparsity in sparsities.items():
        if sparsity <= 0:
            continue
        curve = predictor.curves.get(group)
        if curve is None or sparsity > curve.levels[-1]:
            return None
        damages[group] = curve.at(sparsity)
    return damages


def _worst(curves: Mapping[str, LossCurve]) -> LossCurve | None:
    """A curve through the largest increase of any group, at every level that was measured."""
    levels = sorted({level for curve in curves.values() for level in curve.levels if level})
    if not levels:
        return None
    return fit_loss_curve([(x, max(c.at(x) for c in curves.values())) for x in levels])


def _fit_accuracy(
    baseline: Scored, points: Sequence[tuple[float, float, float]], chance: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of the falling map from loss to accuracy; starts at the baseline.

    Measured losses seldom reach far; at the loss of guessing, ``-ln(chance)``, the accuracy is
    chance, and the map goes there where no point says otherwise.

    Args:
        baseline: The dense model.
        points: ``(loss, accuracy, weight)``.
        chance: Accuracy of guessing.
    """
    ceiling = max(chance, baseline.accuracy)
    worse = sorted(point for point in points if point[0] > baseline.loss)
    weights = [weight for _x, _y, weight in worse]
    falling = isotonic([-y for _x, y, _weight in worse], weights)
    knots = [(baseline.loss, ceiling)]
    blocks = zip((x for x, _y, _weight in worse), weights, falling, strict=True)
    for negative, block in groupby(blocks, key=lambda triple: triple[2]):
        own = list(block)
        loss = sum(x * weight for x, weight, _y in own) / sum(weight for _x, weight, _y in own)
        knots.append((loss, min(ceiling, max(chance, -negative))))
    guessing = -math.log(chance)
    if guessing > knots[-1][0]:
        knots.append((guessing, chance))
    return tuple(x for x, _ in knots), tuple(y for _, y in knots)
