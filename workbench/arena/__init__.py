"""The arena: every allocation and the person's plan at the same budgets, measured alike."""

from workbench.arena.contenders import needs_curves, scale_plan
from workbench.arena.running import (
    curve_settings,
    fitting_curves,
    measure_arena_curves,
    run_arena,
)
from workbench.arena.settings import FACTORS, OWN, UNITS, ArenaSettings
from workbench.arena.values import AXES, Arena, ArenaEntry, arena_key, told_apart

__all__ = [
    "AXES",
    "FACTORS",
    "OWN",
    "UNITS",
    "Arena",
    "ArenaEntry",
    "ArenaSettings",
    "arena_key",
    "curve_settings",
    "fitting_curves",
    "measure_arena_curves",
    "needs_curves",
    "run_arena",
    "scale_plan",
    "told_apart",
]
