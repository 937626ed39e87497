"""Allocation: how one target becomes a sparsity for every layer."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from workbench.allocation.budget import Budget, Levels, parse_budget, smallest_level
from workbench.allocation.global_ranking import GlobalRanking
from workbench.allocation.pool import Pool
from workbench.allocation.uniform import Uniform
from workbench.criteria import get_criterion
from workbench.errors import PlanError, SettingsError
from workbench.layers import Inspection, LayerInfo, inspect
from workbench.model import Model
from workbench.names import suggest
from workbench.plan import PruningPlan, check_sparsity

__all__ = ["ALLOCATIONS", "Allocation", "Budget", "allocate", "get_allocation", "parse_budget"]


@dataclass(frozen=True)
class Allocation:
    """One way to spread a target over the layers.

    Attributes:
        name: The word used in plans and on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
        spread: Prepares the method for a pool of layers.
    """

    name: str
    title: str
    summary: str
    spread: Callable[[Pool], Levels]


ALLOCATIONS: dict[str, Allocation] = {
    allocation.name: allocation
    for allocation in (
        Allocation("uniform", "Uniform", "Prunes every layer to the same sparsity.", Uniform),
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
    criterion: str = "l1", seed: int = 0, protected: Collection[str] | None = None,
    inspection: Inspection | None = None,
) -> PruningPlan:  # fmt: skip
    """Turn one target into a plan.

    Args:
        model: The dense model.
        method: A name in ``ALLOCATIONS``.
        sparsity: Fraction of the weights in the layers that may be pruned, 0 <= sparsity < 1.
        budget: What to keep of the dense model instead; the plan prunes as little as meets it.
        criterion: How weights are ranked.
        seed: Seed of the criterion.
        protected: Layers to leave dense; None protects the classifier.
        inspection: What ``inspect(model)`` returned, to spare a second look.

    Returns:
        A plan that names every layer that may be pruned.

    Raises:
        PlanError: If a name is unknown, no layer is left to prune or the budget cannot be met.
        SparsityError: If ``sparsity`` lies outside [0, 1).
        SettingsError: Unless exactly one of ``sparsity`` and ``budget`` is given.
    """
    if (sparsity is None) == (budget is None):
        raise SettingsError(
            f"A plan needs one target; {'none' if sparsity is None else 'two'} given.",
            "Give either a sparsity or a budget.",
        )
    spread = get_allocation(method).spread
    get_criterion(criterion)
    inspection = inspection or inspect(model)
    layers = _layers_to_prune(inspection, protected)
    plan = PruningPlan({}, criterion=criterion, allocation=method, seed=seed, model=model.digest)
    levels = spread(Pool(model, layers, get_criterion(criterion), seed))
    if budget is not None:
        level: float = smallest_level(inspection, layers, levels, budget)
    else:
        level = levels.level_of(check_sparsity("The model", sparsity))
    return plan.with_sparsities(levels.sparsities(level), allocation=method)


def _layers_to_prune(
    inspection: Inspection, protected: Collection[str] | None
) -> tuple[LayerInfo, ...]:
    for name in protected or ():  # refuses a name that is unknown
        inspection.layer(name)
    layers = tuple(
        layer
        for layer in inspection.prunable
        if not (layer.protected if protected is None else layer.layer_name in protected)
    )
    if not layers:
        raise PlanError("No layer is left to prune.", "Protect fewer layers.")
    return layers
