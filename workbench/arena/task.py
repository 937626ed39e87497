"""An arena in a worker process: its entries are in the store as they come."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.allocation import LatencyTable
from workbench.arena.contenders import needs_curves
from workbench.arena.running import fitting_curves, measure_arena_curves, run_arena
from workbench.arena.settings import ArenaSettings
from workbench.arena.values import Arena, ArenaEntry
from workbench.curve_cache import JsonLinesCache
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.device import choose_device
from workbench.metrics import Score
from workbench.model import Model
from workbench.plan_tasks import LATENCY_TABLES
from workbench.progress import Progress, Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model
from workbench.sensitivity import sample_curves
from workbench.store import DataRef, ModelRef, Store
from workbench.store.files import make_folder, write_file

Arguments = Mapping[str, Any]
FOLDER = "arena"
"""Folder of the store that holds arenas, and in ``points`` every plan they measured."""


def arena(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Let allocations and the person's plan compete, and keep what comes of it.

    Curves that are at hand are used; those measured here are put on the workspace's bench.

    Args:
        store: Keeps the arena and the plans that were measured.
        workspace_id: Whose curves are used.
        arguments: ``model`` and ``data`` (references), ``settings`` (``ArenaSettings``),
            ``curves`` (keys of curves in the store, may be missing), ``device``.
        report: Hears of every step and every entry.
        should_stop: Ends with the entries so far.

    Returns:
        ``key`` of the arena (see ``load_arena``) and ``complete``.
    """
    data_ref = DataRef.from_dict(arguments["data"])
    model = reopen_model(
        ModelRef.from_dict(arguments["model"]), store, data_ref, should_stop=should_stop
    )
    data = reopen_data(data_ref, store, should_stop)
    settings = ArenaSettings.from_dict(arguments["settings"])
    device = choose_device(arguments.get("device"))
    points = JsonLinesCache(store.curves_folder)
    curves = None
    if needs_curves(settings):
        curves = fitting_curves(_at_hand(store, arguments, model, data), settings)
        if curves is None:
            curves = measure_arena_curves(
                model, data, settings, cache=points, device=device, report=report,
                should_stop=should_stop,
            )  # fmt: skip
            store.save_curves(workspace_id, curves.to_dict())
    keeper = _Keeper(store, Arena(settings, model.digest, data.digest, "validation", None, (),
                                  complete=False), report)  # fmt: skip
    found = run_arena(
        model, data, settings, curves, latencies=_latencies(store, workspace_id, model),
        cache=JsonLinesCache(store.folder / FOLDER / "points"),
        device=device, report=keeper, should_stop=should_stop,
    )  # fmt: skip
    save_arena(store, found)
    return {"key": found.key, "complete": found.complete}


def save_arena(store: Store, found: Arena) -> None:
    """Keep an arena; a later one of the same model, data and settings replaces it."""
    path = arena_path(store, found.key)
    make_folder(path.parent)
    text = json.dumps(found.to_dict(), separators=(",", ":")).encode()
    write_file(path, lambda file: file.write(text))


def load_arena(store: Store, key: str) -> Arena | None:
    """An arena as kept, whole or as far as it came; None where there is none."""
    try:
        return Arena.from_dict(json.loads(arena_path(store, key).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def arena_path(store: Store, key: str) -> Path:
    """Where an arena is kept."""
    return store.folder / FOLDER / f"{key}.json"


class _Keeper:
    """A report that keeps the arena each time an entry comes."""

    def __init__(self, store: Store, empty: Arena, report: Report) -> None:
        self._store, self._arena, self._report = store, empty, report
        self._entries: list[ArenaEntry] = []

    def __call__(self, progress: Progress) -> None:
        values: Mapping[str, Any] = progress.values
        if "dense" in values:
            self._arena = replace(self._arena, dense=Score.from_dict(values["dense"]))
        if "entry" in values:
            self._entries.append(ArenaEntry.from_dict(values["entry"]))
            self._arena = replace(self._arena, entries=tuple(self._entries))
            save_arena(self._store, self._arena)
        self._report(progress)


def _latencies(store: Store, workspace_id: str, model: Model) -> LatencyTable | None:
    """Times of the model that the workspace holds; None without."""
    workspace = store.open_workspace(workspace_id)
    tables: Any = workspace.settings.get(LATENCY_TABLES, {}) if workspace else {}
    return LatencyTable.from_dict(tables[model.digest]) if model.digest in tables else None


def _at_hand(
    store: Store, arguments: Arguments, model: Model, data: Data
) -> list[SensitivityCurves]:  # fmt: skip
    """Curves of the model on the data: those that the request names, then those that ship."""
    named = [store.load_curves(str(key)) for key in arguments.get("curves", ())]
    own = [SensitivityCurves.from_dict(values) for values in named if values is not None]
    granularity = str(arguments["settings"]["granularity"])
    found = [*own, *sample_curves(model, granularity)]
    wanted = (model.digest, data.digest)
    return [curves for curves in found if (curves.model, curves.data) == wanted]
