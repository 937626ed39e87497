"""Export of what a workspace holds: a run or its dense model, kept in the store's folder."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import ExportError
from workbench.experiment import Run
from workbench.export import Exported, export_model
from workbench.export.folder import storage_errors
from workbench.plan import digest_of_json
from workbench.progress import Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.store import DataRef, ModelRef, Store

QUANTISED = "-quantised"
"""Ends the name of the folder that holds a run's weight replacements."""


def export(
    store: Store,
    workspace_id: str,
    arguments: Mapping[str, Any],
    report: Report,
    should_stop: ShouldStop,
) -> Mapping[str, object]:
    """Export a run of a workspace, or its dense model, and check every file.

    Args:
        store: Holds the weights; the files go into its folder ``exports``.
        workspace_id: Holds the run.
        arguments: ``model`` and ``data`` (references), ``run`` (its number, None for the dense
            model).
        report: Receives the steps.
        should_stop: Ends between the steps, and leaves no files.

    Returns:
        ``exported``: ``Exported.to_dict()``, or None where it was stopped.

    Raises:
        ExportError: If a file does not reproduce the model.
        StorageError: If the folder cannot be written, or the run is there no more.
    """
    number = arguments.get("run")
    model_ref = ModelRef.from_dict(arguments["model"])
    folder = export_folder(store, workspace_id, model_ref, number)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    if number is None:
        model, run, dense = reopen_model(model_ref, store, should_stop=should_stop), None, None
        data = reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop)
    else:
        stored = store.run(workspace_id, number)
        pruned, run = reopen_run(stored, store, should_stop), Run.from_dict(stored.record)
        model, dense = pruned.model, pruned.dense
        data = reopen_data(stored.data_ref, store, should_stop)
    try:
        exported = export_model(
            model, data, run.plan if run else None, folder, run=run, dense=dense, accuracy=True,
            report=report, should_stop=should_stop,
        )  # fmt: skip
    except ExportError:
        if should_stop():
            return {"exported": None}
        raise
    values = exported.to_dict()
    with storage_errors(folder):
        folder.with_suffix(".json").write_text(json.dumps(values), encoding="utf-8")
    return {"exported": values}


def load_export(
    store: Store, workspace_id: str, model_ref: ModelRef, number: int | None
) -> Exported | None:
    """The last export of a run, or of the dense model; None where there is none."""
    folder = export_folder(store, workspace_id, model_ref, number)
    try:
        values = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return replace(Exported.from_dict(values), folder=folder) if folder.is_dir() else None


def delete_export(store: Store, workspace_id: str, number: int) -> None:
    """Delete the exported files of a run and its quantised ones, if there are any."""
    folder = store.folder / "exports" / workspace_id / f"run-{number}"
    folder.with_suffix(".json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.with_name(f"{folder.name}{QUANTISED}"), ignore_errors=True)


def export_folder(store: Store, workspace_id: str, model_ref: ModelRef, number: int | None) -> Path:
    """Where the files of a run go; numbers of runs are never used twice."""
    dense = digest_of_json({**model_ref.to_dict(), "name": ""})
    name = f"dense-{dense}" if number is None else f"run-{number}"
    return store.folder / "exports" / workspace_id / name
