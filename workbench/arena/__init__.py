"""The arena: every allocation and the person's plan at the same budgets, measured alike."""

from workbench.arena.contenders import needs_curves, scale_plan
from workbench.arena.running import (
    curve_settings,
    fitting_curves,
    measure_arena_curves,
    run_arena,
)
from workbench.arena.settings import FACTORS, MAX_REFINE, OWN, REFINED, UNITS, ArenaSettings
from workbench.arena.values import AXES, Arena, ArenaEntry, arena_key, least_apart, sign_test

__all__ = [
    "AXES",
    "FACTORS",
    "MAX_REFINE",
    "OWN",
    "REFINED",
    "UNITS",
    "Arena",
    "ArenaEntry",
    "ArenaSettings",
    "arena_key",
    "curve_settings",
    "fitting_curves",
    "least_apart",
    "measure_arena_curves",
    "needs_curves",
    "run_arena",
    "scale_plan",
    "sign_test",
]
