"""Allocation: how one target becomes a sparsity for every group."""

from collections.abc import Collection, Mapping
from typing import cast

from workbench.allocation.budget import Budget, Target, parse_budget
from workbench.allocation.cost_aware import check_trade_off
from workbench.allocation.damage import check_curves
from workbench.allocation.latencies import LatencyTable
from workbench.allocation.pool import Pool, nearest_allowed
from workbench.allocation.rule import Allocation
from workbench.criteria import get_criterion
from workbench.curves import SensitivityCurves
from workbench.errors import PlanError
from workbench.freezing import hold_frozen
from workbench.groups import Group, Groups, find_groups
from workbench.method import discover
from workbench.model import Model
from workbench.names import suggest
from workbench.plan import ALLOCATIONS as KNOWN
from workbench.plan import PruningPlan, check_sparsity

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "Budget",
    "LatencyTable",
    "allocate",
    "get_allocation",
    "parse_budget",
]


ALLOCATIONS: dict[str, Allocation] = {
    name: cast(Allocation, method)
    for name, method in sorted(
        discover(__name__, __file__).items(), key=lambda item: KNOWN.index(item[0])
    )
}


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
    curves: SensitivityCurves | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    locked: Mapping[str, float] | None = None, latencies: LatencyTable | None = None,
    freeze: Collection[str] = (), trade_off: float = 1.0,
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
        seed: Seed of the criterion, and of the method ``random``.
        protected: Groups to leave dense, by their names or those of layers in them; None
            protects the classifier.
        groups: What ``find_groups(model, granularity)`` returned, to spare a second look.
        curves: What cutting each group alone costs, for methods that need to know; measured at
            the same granularity.
        bounds: Group name to its least and most sparsity, 0 <= least <= most <= 1; without
            effect on groups that are locked or protected.
        locked: Group name to the sparsity at which it is held; goes before ``protected``. What
            locked groups keep counts in a budget, but not in a sparsity.
        latencies: Measured times of the model, for budgets in latency.
        freeze: Patterns such as ``layer1.*``; what they fit is held at 0 (see
            ``workbench.freezing``).
        trade_off: How much costs count for the method ``cost_aware``: the exponent that they are
            raised to, from 0 (not at all) to 4.

    Returns:
        A plan that names every group that may be pruned or is locked. Its sparsities are what
        pruning meets exactly: quotients of whole numbers wherever not every value is allowed.

    Raises:
        PlanError: If a name is unknown, no group is left to prune, the budget cannot be met, or
            curves or times are missing or belong to something else.
        SparsityError: If ``sparsity`` lies outside [0, 1) or leaves a layer without weights.
        SettingsError: Unless exactly one of ``sparsity`` and ``budget`` is given.
    """
    target = Target(sparsity, budget)
    chosen, ranking = get_allocation(method), get_criterion(criterion, granularity)
    plan = PruningPlan(
        {}, granularity, criterion, method, seed, model.digest, channel_multiple
    )  # fmt: skip
    groups = groups or find_groups(model, granularity)
    held = _held(groups, hold_frozen(groups, freeze, locked or {}), channel_multiple)
    members = _groups_to_prune(groups, protected, held)
    if latencies is not None:
        latencies.check_fit(model)
    if chosen.needs_curves:
        check_curves(model, groups, members, chosen.title, curves)
    pool = Pool(
        model=model, all=groups, members=members, criterion=ranking, seed=seed,
        multiple=channel_multiple, bounds=_bounds_of(groups, members, bounds or {}), locked=held,
        curves=curves, latencies=latencies, trade_off=check_trade_off(trade_off),
    )  # fmt: skip
    values = {**held, **chosen.spread(pool, target)}
    ordered = {group.name: values[group.name] for group in groups.prunable if group.name in values}
    return plan.with_sparsities(ordered, allocation=method)


def _groups_to_prune(
    groups: Groups, protected: Collection[str] | None, held: Collection[str]
) -> tuple[Group, ...]:
    dense = {group.name for group in groups.groups if group.protected}
    if protected is not None:
        dense = {_name_of(groups, name) for name in protected}
    prunable = groups.require_prunable()
    members = tuple(group for group in prunable if group.name not in {*dense, *held})
    if not members:
        what = "group" if groups.granularity.structured else "layer"
        fewer = "Protect, lock or freeze" if held else "Protect"
        raise PlanError(f"No {what} is left to prune.", f"{fewer} fewer {what}s.")
    return members


def _held(groups: Groups, locked: Mapping[str, float], multiple: int) -> dict[str, float]:
    """Locked groups by name, each with the nearest sparsity that it allows."""
    held = {}
    for name, value in locked.items():
        group = groups.group(_name_of(groups, name))
        held[group.name] = nearest_allowed(groups, group, check_sparsity(name, value), multiple)
    return held


def _bounds_of(
    groups: Groups, members: Collection[Group], bounds: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    names = {group.name for group in members}
    found = {}
    for name, (low, high) in bounds.items():
        if not 0 <= low <= high <= 1:
            raise PlanError(
                f"{name} is bounded by {low:g} and {high:g}.",
                "Give the least and the most sparsity, such as 0.2 and 0.8.",
            )
        group = _name_of(groups, name)
        if group in names and (low, high) != (0, 1):
            found[group] = (float(low), float(high))
    return found


def _name_of(groups: Groups, name: str) -> str:
    """The group of that name, or the one that a layer of that name belongs to.

    Raises:
        PlanError: If there is neither.
    """
    for group in groups.groups:
        if name == group.name or name in group.layers:
            return group.name
    return groups.group(name).name  # refuses it
