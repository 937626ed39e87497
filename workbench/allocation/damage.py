"""Predicted damage: what the methods that need sensitivity curves add up."""

from collections.abc import Sequence

from workbench.allocation.pool import Pool
from workbench.curves import SensitivityCurves
from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.groups import Group, Groups
from workbench.model import Model
from workbench.prediction import Predictor, fit_predictor


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
        raise PlanError(
            f"The sensitivity of {unknown[0]} was not measured"
            + (f", nor that of {len(unknown) - 1} others." if unknown[1:] else "."),
            "Measure the rest, or lock or protect what was not measured.",
        )


def predictor_of(pool: Pool) -> Predictor:
    """The prediction that belongs to the curves of a pool."""
    assert pool.curves is not None
    assert pool.curves.baseline is not None
    chance = 1 / max(2, pool.model.num_classes)
    return fit_predictor(pool.curves.baseline, pool.curves.points, chance=chance)
