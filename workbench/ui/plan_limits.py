"""What a person keeps the allocations from: bounds and locks of single groups, frozen layers.

They belong to the model on the bench and are remembered in the workspace; bounds and locks belong
to a granularity as well, patterns of frozen layers hold at all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from workbench.plan import PruningPlan
from workbench.ui import bench, session
from workbench.ui.i18n import _

_SETTING = "plan_limits"
_FREEZE = "plan_freeze"
FREE = (0.0, 1.0)


def bounds(granularity: str) -> dict[str, tuple[float, float]]:
    """Group name to its least and most sparsity; groups that are free are left out."""
    kept: Mapping[str, Any] = _kept().get(granularity, {}).get("bounds", {})
    return {name: (float(low), float(high)) for name, (low, high) in kept.items()}


def locked(granularity: str) -> tuple[str, ...]:
    """Groups that keep the value they have, whatever acts on the others."""
    return tuple(str(name) for name in _kept().get(granularity, {}).get("locked", ()))


def lock_reasons(granularity: str) -> dict[str, str]:
    """Locked and frozen groups and why, in a sentence."""
    reason = _("You locked it; the table of bounds and locks sets it free.")
    why = _("Frozen by {pattern}; take that out of the field Freeze to set it free.")
    named = {name: why.format(pattern=pattern) for name, pattern in frozen(granularity).items()}
    return dict.fromkeys(locked(granularity), reason) | named


def patterns() -> tuple[str, ...]:
    """What is frozen, as it was typed; some may fit nothing at the present granularity."""
    kept: Mapping[str, Any] = session.setting(_FREEZE, {})
    return tuple(map(str, kept["patterns"])) if kept.get("of") == _owner() else ()


def remember_patterns(frozen: Collection[str]) -> None:
    """Freeze by these patterns from now on."""
    session.remember(**{_FREEZE: {"of": _owner(), "patterns": list(frozen)}})


def frozen(granularity: str) -> dict[str, str]:
    """Frozen groups of a granularity, each with the pattern that names it."""
    asked = patterns()
    if not asked:
        return {}
    from workbench.freezing import fitting_patterns, frozen_groups

    groups = session.groups(granularity)
    return frozen_groups(groups, fitting_patterns(groups, asked))


def held(granularity: str) -> tuple[str, ...]:
    """Groups that no allocation moves: locked ones, and frozen ones."""
    return tuple(dict.fromkeys([*locked(granularity), *frozen(granularity)]))


def with_frozen(plan: PruningPlan) -> PruningPlan:
    """A plan with its frozen groups dense."""
    cut = [name for name in frozen(plan.granularity) if plan.sparsities.get(name)]
    if not cut:
        return plan
    values = {**plan.sparsities, **dict.fromkeys(cut, 0.0)}
    return plan.with_sparsities(values, plan.allocation)


def remember(
    granularity: str, within: Mapping[str, tuple[float, float]], held: Collection[str]
) -> None:
    """Keep the bounds and locks of a granularity in the workspace; the others stay."""
    own = {
        "bounds": {name: list(ends) for name, ends in within.items() if tuple(ends) != FREE},
        "locked": list(held),
    }
    session.remember(**{_SETTING: {"of": _owner(), "kept": _kept() | {granularity: own}}})


def _kept() -> dict[str, Any]:
    """Everything kept for the model on the bench, by granularity."""
    kept = session.setting(_SETTING, {})
    return dict(kept["kept"]) if kept.get("of") == _owner() else {}


def _owner() -> str:
    return bench.key_of(session.model_ref())
