"""Allocation: how one target becomes a sparsity for every group."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from workbench.allocation.budget import Budget, Levels, parse_budget, smallest_level
from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool
from workbench.allocation.uniform import Uniform
from workbench.criteria import get_criterion
from workbench.errors import PlanError, SettingsError
from workbench.groups import Group, Groups, find_groups
from workbench.model import Model
from workbench.names import suggest
from workbench.plan import PruningPlan, check_sparsity

__all__ = ["ALLOCATIONS", "Allocation", "Budget", "allocate", "get_allocation", "parse_budget"]


@dataclass(frozen=True)
class Allocation:
    """One way to spread a target over the groups.

    Attributes:
        name: The word used in plans and on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
        spread: Prepares the method for a pool of groups.
    """

    name: str
    title: str
    summary: str
    spread: Callable[[Pool], Levels]


ALLOCATIONS: dict[str, Allocation] = {
    allocation.name: allocation
    for allocation in (
        Allocation(
            "uniform", "Uniform", "Prunes every layer or group to the same sparsity.", Uniform,
        ),
        Allocation(
            "global", "Global ranking",
            "Ranks the weights of all layers together and prunes the lowest, wherever they are.",
            GlobalRanking,
        ),
    )
}  # fmt: skip


def get_allocation(name: str) -> Allocation:
    """The allocation of that name.

    Raises:
        PlanError: If there is none.
    """
    if name not in ALLOCATIONS:
        raise PlanError(f"There is no allocation {name!r}.", suggest(name, ALLOCATIONS))
    return ALLOCATIONS[name]


def allocate(
    model: Model, method: str, *, sparsity: float | None = None, budget: Budget | None = None,
    granularity: str = "weight", channel_multiple: int = 1, criterion: str = "l1", seed: int = 0,
    protected: Collection[str] | None = None, groups: Groups | None = None,
) -> PruningPlan:  # fmt: skip
    """Turn one target into a plan.

    Args:
        model: The dense model.
        method: A name in ``ALLOCATIONS``.
        sparsity: Fraction of the weights in the layers that may be pruned, or for granularity
            ``channel`` of the channels in the groups that may be pruned, 0 <= sparsity < 1.
        budget: What to keep of the dense model instead; the plan prunes as little as meets it.
        granularity: What goes together, such as ``weight`` or ``channel``.
        channel_multiple: Kept channels are rounded to a multiple of this.
        criterion: How weights are ranked.
        seed: Seed of the criterion.
        protected: Groups to leave dense, by their names or those of layers in them; None
            protects the classifier.
        groups: What ``find_groups(model, granularity)`` returned, to spare a second look.

    Returns:
        A plan that names every group that may be pruned. Its sparsities are what pruning meets
        exactly: quotients of whole numbers wherever not every value is allowed.

    Raises:
        PlanError: If a name is unknown, no group is left to prune or the budget cannot be met.
        SparsityError: If ``sparsity`` lies outside [0, 1) or leaves a layer without weights.
        SettingsError: Unless exactly one of ``sparsity`` and ``budget`` is given.
    """
    if (sparsity is None) == (budget is None):
        raise SettingsError(
            f"A plan needs one target; {'none' if sparsity is None else 'two'} given.",
            "Give either a sparsity or a budget.",
        )
    spread, ranking = get_allocation(method).spread, get_criterion(criterion)
    plan = PruningPlan(
        {}, granularity, criterion, method, seed, model.digest, channel_multiple
    )  # fmt: skip
    groups = groups or find_groups(model, granularity)
    members = _groups_to_prune(groups, protected)
    levels = spread(Pool(model, groups, members, ranking, seed, channel_multiple))
    if budget is not None:
        level: float = smallest_level(groups, plan, levels, budget)
    else:
        level = levels.level_of(check_sparsity("The model", sparsity))
    return plan.with_sparsities(levels.sparsities(level), allocation=method)


def _groups_to_prune(groups: Groups, protected: Collection[str] | None) -> tuple[Group, ...]:
    dense = {group.name for group in groups.groups if group.protected}
    if protected is not None:
        dense = {_protected_group(groups, name) for name in protected}
    prunable = groups.require_prunable()
    members = tuple(group for group in prunable if group.name not in dense)
    if not members:
        what = "group" if groups.granularity.structured else "layer"
        raise PlanError(f"No {what} is left to prune.", f"Protect fewer {what}s.")
    return members


def _protected_group(groups: Groups, name: str) -> str:
    """The group of that name, or the one that a layer of that name belongs to.

    Raises:
        PlanError: If there is neither.
    """
    for group in groups.groups:
        if name == group.name or name in group.layers:
            return group.name
    return groups.group(name).name  # refuses it
