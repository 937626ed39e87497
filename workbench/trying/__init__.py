"""Trying a method: it and the usual choice, pruned alike and measured on the same images."""

from workbench.trying.costs import Cost, costs_key, measure_costs
from workbench.trying.values import (
    GRANULARITIES,
    ONCE,
    PLAIN,
    STEPS,
    TRIED,
    Side,
    Trial,
    TryingSettings,
    trial_key,
)
from workbench.trying.work import try_method

__all__ = [
    "GRANULARITIES",
    "ONCE",
    "PLAIN",
    "STEPS",
    "TRIED",
    "Cost",
    "Side",
    "Trial",
    "TryingSettings",
    "costs_key",
    "measure_costs",
    "trial_key",
    "try_method",
]
