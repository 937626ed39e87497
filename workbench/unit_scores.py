"""How the units of a coupled group rank: what a plan removes first."""

from dataclasses import dataclass

from workbench.criteria import get_criterion
from workbench.groups import Groups
from workbench.model import Model
from workbench.scoring import score_units


@dataclass(frozen=True)
class UnitScores:
    """The scores of a group's units under one criterion.

    Attributes:
        group: Name of the group.
        criterion: Name of the criterion.
        scores: One per unit in rising order, relative to the mean of their absolute values, so
            that 1 is average where none is negative. All 1 where every unit scores nothing.
        order: Number of the unit behind each score; ties by number, as pruning takes them.
    """

    group: str
    criterion: str
    scores: tuple[float, ...]
    order: tuple[int, ...]


def rank_units(
    model: Model, groups: Groups, name: str, criterion: str, seed: int = 0
) -> UnitScores:
    """Rank the units of a group by the criterion of a plan; the lowest go first.

    Args:
        model: The dense model.
        groups: What ``find_groups(model, "channel")`` returned.
        name: A group that can be cut.
        criterion: Name of a criterion.
        seed: Seed of the plan.

    Raises:
        PlanError: If the group is unknown or cannot be cut, or the criterion cannot rank it.
    """
    group = groups.group(name)
    found = score_units(get_criterion(criterion), model, group, seed)
    values, order = found.sort(stable=True)
    mean = float(values.abs().mean())
    relative = (values / mean if mean else values + 1).tolist()
    return UnitScores(name, criterion, tuple(relative), tuple(order.tolist()))
