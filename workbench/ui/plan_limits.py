"""What a person keeps the allocations from: bounds and locks of single groups.

They belong to the model on the bench and to a granularity, and are remembered in the workspace.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from workbench.ui import bench, session
from workbench.ui.i18n import _

_SETTING = "plan_limits"
FREE = (0.0, 1.0)


def bounds(granularity: str) -> dict[str, tuple[float, float]]:
    """Group name to its least and most sparsity; groups that are free are left out."""
    kept: Mapping[str, Any] = _kept().get(granularity, {}).get("bounds", {})
    return {name: (float(low), float(high)) for name, (low, high) in kept.items()}


def locked(granularity: str) -> tuple[str, ...]:
    """Groups that keep the value they have, whatever acts on the others."""
    return tuple(str(name) for name in _kept().get(granularity, {}).get("locked", ()))


def lock_reasons(granularity: str) -> dict[str, str]:
    """Locked groups and why, in a sentence."""
    reason = _("You locked it; the table of bounds and locks sets it free.")
    return dict.fromkeys(locked(granularity), reason)


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
