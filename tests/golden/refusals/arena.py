"""Arenas that cannot be run."""

from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import tiny
from workbench.allocation import Budget
from workbench.arena import ArenaSettings, scale_plan
from workbench.arena.contenders import contenders
from workbench.groups import find_groups
from workbench.plan import PruningPlan

MAKERS = Makers()


@MAKERS
def arena_factor_of_one(folder):
    """A budget that keeps everything."""
    ArenaSettings(factors=(1,))


@MAKERS
def arena_factor_text(folder):
    """A budget in words."""
    ArenaSettings(factors=("four",))


@MAKERS
def arena_too_many_factors(folder):
    """Thirteen budgets."""
    ArenaSettings(factors=tuple(range(2, 15)))


@MAKERS
def arena_no_factor(folder):
    """No budget and no plan."""
    ArenaSettings(factors=())


@MAKERS
def arena_unknown_unit(folder):
    """Budgets in FLOPs."""
    ArenaSettings(unit="flops")


@MAKERS
def arena_refining_with_one_plan(folder):
    """Refining that measures only the plan itself."""
    ArenaSettings(refine=1)


@MAKERS
def arena_latency_without_times(folder):
    """Budgets in latency of a model that was never timed."""
    model = tiny()
    settings = ArenaSettings(granularity="channel", unit="latency", methods=("uniform",))
    next(contenders(model, find_groups(model, "channel"), settings))


@MAKERS
def arena_no_images(folder):
    """No images to measure on."""
    ArenaSettings(num_samples=0)


@MAKERS
def arena_plan_of_another_granularity(folder):
    """A plan of single weights among channels."""
    ArenaSettings(granularity="channel", own=PruningPlan({"conv1": 0.5}))


@MAKERS
def arena_plan_leaves_too_much(folder):
    """A plan of one layer scaled to a budget that this layer cannot meet."""
    groups = find_groups(tiny(), "weight")
    scale_plan(groups, PruningPlan({groups.prunable[0].name: 0.5}), Budget("params", 0.1))
