"""Predicted damage: what the methods that need sensitivity curves add up."""

from collections.abc import Sequence

import numpy as np

from workbench.allocation.costs import Array
from workbench.curves import SensitivityCurves
from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.groups import Group, Groups
from workbench.model import Model
from workbench.prediction import LossCurve, Predictor, fit_predictor
from workbench.prediction.predictor import HEADROOM

TRIFLE = 1e-9


def check_curves(
    model: Model, groups: Groups, members: Sequence[Group], title: str,
    curves: SensitivityCurves | None,
) -> None:  # fmt: skip
    """Refuse curves that say nothing about the groups that are to be pruned.

    Curves of another criterion are taken: they still tell which groups are fragile.

    Args:
        model: The dense model.
        groups: What can be pruned.
        members: What is to be pruned.
        title: Of the method that needs them.
        curves: What was measured; None for nothing.

    Raises:
        PlanError: If they are missing, were measured on another model or at another granularity,
            or lack a group.
    """
    name = groups.granularity.name
    if curves is None or curves.baseline is None:
        raise PlanError(
            f"{title} needs to know what cutting each group costs, and nothing was measured.",
            f"Measure the sensitivity at granularity {name!r} first, or choose another method.",
        )
    measured = parse_granularity(curves.settings.granularity).name
    if measured != name:
        raise PlanError(
            f"The sensitivity was measured at granularity {measured!r}, not at {name!r}.",
            f"Measure it at granularity {name!r}.",
        )
    if curves.model != model.digest:
        raise PlanError(
            f"The sensitivity was measured on the model {curves.model}; {model.name} is "
            f"{model.digest}.",
            "Measure the sensitivity of this model.",
        )
    unknown = [group.name for group in members if group.name not in curves.groups]
    if unknown:
        others = "" if len(unknown) == 1 else f" and of {', '.join(unknown[1:4])}"
        more = " and more" if len(unknown) > 4 else ""
        raise PlanError(
            f"The sensitivity of {unknown[0]}{others}{more} was not measured.",
            "Measure the rest, or lock or protect what was not measured.",
        )


def predictor_of(curves: SensitivityCurves | None, num_classes: int) -> Predictor:
    """The prediction that belongs to curves, which must have a baseline."""
    assert curves is not None
    assert curves.baseline is not None
    return fit_predictor(curves.baseline, curves.points, chance=1 / max(2, num_classes))


class Curves:
    """Several loss curves at once.

    Args:
        curves: One for each group.
    """

    def __init__(self, curves: Sequence[LossCurve]) -> None:
        width = max(len(curve.levels) for curve in curves)
        knots = np.array([
            [_padded(curve.levels, width, np.inf), _padded(curve.increases, width, 0.0),
             _padded(curve.slopes, width, 0.0)]
            for curve in curves
        ])  # fmt: skip
        self._levels, self._heights, self._slopes = knots.transpose(1, 0, 2)
        last = np.array([[len(curve.levels) - 1] for curve in curves])
        self.last_levels = np.take_along_axis(self._levels, last, 1)
        self._last_heights = np.take_along_axis(self._heights, last, 1)
        before = np.take_along_axis(self._levels, last - 1, 1)
        rise = self._last_heights - np.take_along_axis(self._heights, last - 1, 1)
        ends = np.take_along_axis(self._slopes, last, 1)
        self._last_slopes = np.maximum(rise / (self.last_levels - before), ends)
        self._last = last

    def at(self, sparsities: Array) -> Array:
        """``LossCurve.at`` for sparsities of each group, ``(groups, choices)``."""
        behind = sparsities >= self.last_levels
        i = (self._levels[:, None, :] <= sparsities[:, :, None]).sum(2) - 1
        i = np.clip(i, 0, self._last - 1)
        left, low = np.take_along_axis(self._levels, i, 1), np.take_along_axis(self._heights, i, 1)
        width = np.take_along_axis(self._levels, i + 1, 1) - left
        rise = np.take_along_axis(self._heights, i + 1, 1) - low
        first = np.take_along_axis(self._slopes, i, 1)
        second = np.take_along_axis(self._slopes, i + 1, 1)
        t = (sparsities - left) / width
        inside = (
            low + rise * t * t * (3 - 2 * t) + width * t * (1 - t) * (first * (1 - t) - second * t)
        )
        beyond = self._last_heights + self._last_slopes * (sparsities - self.last_levels)
        return np.asarray(np.maximum(np.where(behind, beyond, inside), 0.0))


def _padded(row: Sequence[float], width: int, value: float) -> list[float]:
    return [*row, *[value] * (width - len(row))]


class Damage:
    """Turns loss increases of single groups into what may simply be added up.

    The predicted joint loss increase rises with the sum of ``(d / (c - d)) ** (1 / p)`` over the
    groups, with the predictor's exponent p and ceiling c: the least sum is the least prediction.
    Of what does no damage at all, less is better: a trifle is added in proportion to the sparsity.

    Args:
        predictor: Of the curves.
        largest: The largest increase of a single group that will be asked for.
    """

    def __init__(self, predictor: Predictor, largest: float) -> None:
        self._ceiling = max(predictor.ceiling, HEADROOM * largest)
        self._power = 1 / predictor.exponent

    def addend(self, increase: Array, sparsity: Array) -> Array:
        """What a group's increase at a sparsity adds to the sum; of the same shape."""
        apart = (increase / (self._ceiling - increase)) ** self._power
        return np.asarray(apart + TRIFLE * sparsity)

    def slope(self, total: float) -> float:
        """Loss increase for each unit of the sum, around a sum of addends."""
        power = 1 / self._power
        z = total**power
        if not total:
            return 0.0
        return self._ceiling * power * z / total / (1 + z) ** 2
