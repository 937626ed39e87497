"""Robustness in a worker process: every condition is in the store as it comes."""

from collections.abc import Mapping
from typing import Any

from workbench.curve_cache import JsonLinesCache
from workbench.device import choose_device
from workbench.model import Model
from workbench.progress import Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.robustness import RobustnessSettings, measure_robustness
from workbench.store import DataRef, ModelRef, Store

FOLDER = "robustness"
"""Folder of the store that holds what every model recognises."""


def robustness(
    store: Store, workspace_id: str, arguments: Mapping[str, Any], report: Report,
    should_stop: ShouldStop,
) -> Mapping[str, object]:  # fmt: skip
    """Measure the dense model and runs on corrupted test images.

    Args:
        store: Keeps what was measured (see ``robustness_cache``).
        workspace_id: Holds the runs.
        arguments: ``model`` and ``data`` (references), ``runs`` (their numbers), ``settings``
            (``RobustnessSettings``), ``device``.
        report: Hears of every condition of every model.
        should_stop: Ends with what is there so far, which a later job goes on from.

    Returns:
        ``complete``: whether everything is measured.
    """
    dense = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
    models: dict[str, Model] = {"dense": dense}
    for number in arguments["runs"]:
        stored = store.run(workspace_id, number)
        models[f"run {number}"] = reopen_run(stored, store, should_stop).model
    found = measure_robustness(
        models, reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop),
        RobustnessSettings.from_dict(arguments["settings"]), cache=robustness_cache(store),
        device=choose_device(arguments.get("device")), report=report, should_stop=should_stop,
    )  # fmt: skip
    return {"complete": found.complete}


def robustness_cache(store: Store) -> JsonLinesCache:
    """Where the store keeps what every model recognises."""
    return JsonLinesCache(store.folder / FOLDER)
