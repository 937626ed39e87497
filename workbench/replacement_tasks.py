"""Replacing weights in a worker process; what comes out is kept beside the exports of a run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import Data
from workbench.device import choose_device
from workbench.export.folder import storage_errors
from workbench.model import Model
from workbench.progress import Progress, Report, ShouldStop, raise_if_stopped
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.replacement import ReplacementSettings
from workbench.replacing import Replaced, State, describe_state, replace_weights
from workbench.run_export import QUANTISED, export_folder
from workbench.saving import part_of
from workbench.store import DataRef, ModelRef, Store

RECORD = "replacements.json"


@dataclass(frozen=True)
class Replacements:
    """All replacements of one model that a workspace keeps.

    Attributes:
        folder: Where the files lie.
        digest: Of the model.
        data: Digest of the data.
        dense: The dense model, measured; the same as ``before`` where that is it.
        before: The model whose weights were replaced, measured.
        results: One for each key of settings, in the order in which they were first made.
    """

    folder: Path
    digest: str
    data: str
    dense: State
    before: State
    results: tuple[Replaced, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "digest": self.digest, "data": self.data, "dense": self.dense.to_dict(),
            "before": self.before.to_dict(),
            "results": [found.to_dict() for found in self.results],
        }  # fmt: skip


def replacement(
    store: Store, workspace_id: str, arguments: Mapping[str, Any], report: Report,
    should_stop: ShouldStop,
) -> Mapping[str, object]:  # fmt: skip
    """Replace the weights of a run, or of the dense model, in several ways, and keep all files.

    Args:
        store: Holds the weights; the files go into its folder ``exports``.
        workspace_id: Holds the run.
        arguments: ``model`` and ``data`` (references), ``run`` (its number, None for the dense
            model), ``settings`` (a list of ``ReplacementSettings``), ``device``.
        report: Receives the steps.
        should_stop: Ends with the replacements that are finished.

    Returns:
        ``made``: keys of what was finished.

    Raises:
        WorkbenchError: If the model cannot be written in one of the forms; what was finished
            before stays.
    """
    wanted = [ReplacementSettings.from_dict(values) for values in arguments["settings"]]
    number = arguments.get("run")
    model_ref = ModelRef.from_dict(arguments["model"])
    device = choose_device(arguments.get("device"))
    folder = replacement_folder(store, workspace_id, model_ref, number)
    dense, model, data = _open(store, workspace_id, arguments, number, should_stop)
    report(Progress(0, 0, "Measuring the model as it is"))
    kept = load_replacements(store, workspace_id, model_ref, number)
    if kept is None or (kept.digest, kept.data) != (model.digest, data.digest):
        before = describe_state(model, data, device=device, should_stop=should_stop)
        raise_if_stopped(should_stop)
        whole = before if dense is model else describe_state(
            dense, data, device=device, should_stop=should_stop
        )  # fmt: skip
        kept = Replacements(folder, model.digest, data.digest, whole, before, ())
    made: list[str] = []
    for place, settings in enumerate(wanted):
        if should_stop():
            break
        title = settings.key
        if len(wanted) > 1:
            title += f" ({place + 1} of {len(wanted)})"
        found = replace_weights(
            model, data, settings, folder, report=part_of(report, place, len(wanted), title),
            should_stop=should_stop, device=device,
        )  # fmt: skip
        if found is None:
            break
        kept = _with_result(kept, found)
        with storage_errors(folder):
            (folder / RECORD).write_text(json.dumps(kept.to_dict()), encoding="utf-8")
        made.append(settings.key)
    return {"made": made}


def load_replacements(
    store: Store, workspace_id: str, model_ref: ModelRef, number: int | None
) -> Replacements | None:
    """What is kept of a run, or of the dense model; None where there is nothing."""
    folder = replacement_folder(store, workspace_id, model_ref, number)
    try:
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        results = tuple(Replaced.from_dict(entry) for entry in values["results"])
        dense, before = State(**values["dense"]), State(**values["before"])
        return Replacements(folder, values["digest"], values["data"], dense, before, results)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def replacement_folder(
    store: Store, workspace_id: str, model_ref: ModelRef, number: int | None
) -> Path:
    """Where the files of a run go."""
    folder = export_folder(store, workspace_id, model_ref, number)
    return folder.with_name(f"{folder.name}{QUANTISED}")


def _open(
    store: Store,
    workspace_id: str,
    arguments: Mapping[str, Any],
    number: int | None,
    should_stop: ShouldStop,
) -> tuple[Model, Model, Data]:
    """The dense model, the one to replace weights in, and the data."""
    if number is None:
        data_ref = DataRef.from_dict(arguments["data"])
        dense = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
        return dense, dense, reopen_data(data_ref, store, should_stop)
    stored = store.run(workspace_id, number)
    pruned = reopen_run(stored, store, should_stop)
    return pruned.dense, pruned.model, reopen_data(stored.data_ref, store, should_stop)


def _with_result(kept: Replacements, found: Replaced) -> Replacements:
    """The same with a result in the place of the one of the same key, or behind all."""
    key = found.settings.key
    results = {entry.settings.key: entry for entry in kept.results} | {key: found}
    return Replacements(
        kept.folder, kept.digest, kept.data, kept.dense, kept.before, tuple(results.values())
    )
