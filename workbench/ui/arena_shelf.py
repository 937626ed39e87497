"""The arenas of this workspace, as far as they came, and what others may learn from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from workbench.ui import bench, plan_record, session
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.arena import Arena, ArenaSettings

_OWN, _SHOWN, _LEARNT = "arenas", "shown_arena", "arenas_learnt"
_MOST_KEPT = 20


def shelf() -> dict[str, Arena]:
    """Arenas of the model and data on the bench by their key, the newest first."""
    if session.workspace().data_ref is None:
        return {}
    wanted = (session.require_model().digest, bench.data(session.data_ref()).digest)
    found = {key: _stored(key) for key in _keys()}
    return {
        key: arena
        for key, arena in found.items()
        if arena is not None and (arena.model, arena.data) == wanted
    }


def current_key() -> str:
    """Key of the arena that the page shows: the chosen one, else the newest; empty if none."""
    found = shelf()
    chosen = str(session.setting(_SHOWN, ""))
    return chosen if chosen in found else next(iter(found), "")


def choose(key: str) -> None:
    """Show an arena."""
    session.remember(**{_SHOWN: key})


def expect(settings: ArenaSettings) -> None:
    """Make the arena that is about to run the one that is shown, as soon as it is there."""
    from workbench.arena import arena_key

    key = arena_key(session.require_model().digest, session.require_data().digest, settings)
    keys = [key, *(other for other in _keys() if other != key)]
    session.remember(**{_OWN: keys[:_MOST_KEPT], _SHOWN: key})


def learn(key: str, arena: Arena) -> None:
    """Let the prediction learn from what was measured, once for every arena."""
    learnt = session.setting(_LEARNT, {})
    if arena.settings.finetune is not None or learnt.get(key) == len(arena.measured):
        return
    dense = arena.dense
    plan_record.add(*(
        plan_record.RecordedPlan(
            entry.plan, arena.data, arena.settings.repair, entry.score.loss, entry.score.accuracy,
            entry.score.samples, "arena", _("Arena: {method}").format(method=entry.method),
            baseline=(dense.loss, dense.accuracy) if dense else None, seconds=plan_record.now(),
        )
        for entry in arena.measured
        if entry.plan is not None and entry.score is not None and entry.plan.model == arena.model
    ))  # fmt: skip
    kept = {old: count for old, count in learnt.items() if old in _keys()}
    session.remember(**{_LEARNT: kept | {key: len(arena.measured)}})


def _keys() -> list[str]:
    return [str(key) for key in session.setting(_OWN, [])]


def _stored(key: str) -> Arena | None:
    """An arena from the store, read again only where the file has changed."""
    from workbench.arena.task import arena_path

    try:
        changed = arena_path(bench.store(), key).stat().st_mtime_ns
    except OSError:
        return None
    return _read(key, changed)


@st.cache_resource(show_spinner=False, max_entries=64)
def _read(key: str, changed: int) -> Arena | None:  # noqa: ARG001  part of the key
    from workbench.arena.task import load_arena

    return load_arena(bench.store(), key)
