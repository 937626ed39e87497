"""Ensembles in a worker process: what is found is in the store."""

import json
from collections.abc import Mapping
from typing import Any

from workbench.device import choose_device
from workbench.ensembles.combining import combine_models
from workbench.ensembles.values import Ensembles, EnsembleSettings
from workbench.model import Model
from workbench.outputs import OutputCache
from workbench.plan import digest_of_json
from workbench.progress import Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.store import DataRef, ModelRef, Store
from workbench.store.files import make_folder, write_file

FOLDER, OUTPUTS = "ensembles", "outputs"
"""Folders of the store that hold ensembles, and what models answered."""


def ensemble(
    store: Store, workspace_id: str, arguments: Mapping[str, Any], report: Report,
    should_stop: ShouldStop,
) -> Mapping[str, object]:  # fmt: skip
    """Combine runs of a workspace, compare them with the dense model, and keep the outcome.

    Args:
        store: Keeps it (see ``load_ensembles``), and what every model answered.
        workspace_id: Holds the runs.
        arguments: ``model`` and ``data`` (references), ``runs`` (their numbers), ``settings``
            (``EnsembleSettings``), ``device``.
        report: Hears of every step.
        should_stop: Gives up; what models answered is kept.

    Returns:
        ``key`` under which it is kept; None if stopped.
    """
    settings = EnsembleSettings.from_dict(arguments["settings"])
    dense = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
    data = reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop)
    models: dict[str, Model] = {}
    for number in arguments["runs"]:
        stored = store.run(workspace_id, number)
        models[str(number)] = reopen_run(stored, store, should_stop).model
    found = combine_models(
        dense, models, data, settings, cache=output_cache(store),
        device=choose_device(arguments.get("device")), report=report, should_stop=should_stop,
    )  # fmt: skip
    if found is None:
        return {"key": None}
    key = ensembles_key(workspace_id, dense.digest, data.digest, arguments["runs"], settings)
    path = store.folder / FOLDER / f"{key}.json"
    make_folder(path.parent)
    text = json.dumps(found.to_dict(), separators=(",", ":")).encode()
    write_file(path, lambda file: file.write(text))
    return {"key": key}


def load_ensembles(store: Store, key: str) -> Ensembles | None:
    """Ensembles as kept; the names of the members are the numbers of their runs."""
    try:
        return Ensembles.from_dict(json.loads((store.folder / FOLDER / f"{key}.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensembles_key(
    workspace_id: str, dense: str, data: str, runs: list[int], settings: EnsembleSettings
) -> str:
    """Names the runs of a workspace, the dense model, the data and what was asked."""
    return digest_of_json({
        "workspace": workspace_id, "dense": dense, "data": data, "runs": sorted(runs),
        "settings": settings.to_dict(),
    })  # fmt: skip


def output_cache(store: Store) -> OutputCache:
    """Where the store keeps what models answer."""
    return OutputCache(store.folder / OUTPUTS)
