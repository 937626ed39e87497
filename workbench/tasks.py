"""What a worker process can do: plain requests in, plain results out, everything kept on the way.

Every task takes the store, the workspace that asks, its arguments, ``report`` and ``should_stop``.
Arguments name the model and data by their references (``ModelRef.to_dict()``,
``DataRef.to_dict()``), so that the work needs nothing of the server's memory, and what it finds is
in the store before the result is told: it survives a server that ends and a page nobody looks at.
"""

from collections.abc import Callable, Mapping
from typing import Any

from workbench.curve_cache import JsonLinesCache
from workbench.device import choose_device
from workbench.progress import Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.store import DataRef, ModelRef, Store

Arguments = Mapping[str, Any]
StoreTask = Callable[[Store, str, Arguments, Report, ShouldStop], Mapping[str, object]]


def sensitivity(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Measure sensitivity curves and put them on the workspace's bench.

    Args:
        store: Keeps points and curves.
        workspace_id: Gets the curves.
        arguments: ``model`` and ``data`` (references), ``settings`` (``SensitivitySettings``),
            ``device``.
        report: Receives every point.
        should_stop: Ends with the points so far.

    Returns:
        ``key`` of the curves in the store and ``complete``.
    """
    curves = measure_sensitivity(
        reopen_model(ModelRef.from_dict(arguments["model"]), store),
        reopen_data(DataRef.from_dict(arguments["data"]), store),
        SensitivitySettings.from_dict(arguments["settings"]),
        cache=JsonLinesCache(store.curves_folder),
        device=choose_device(arguments.get("device")),
        report=report,
        should_stop=should_stop,
    )
    key = store.save_curves(workspace_id, curves.to_dict())
    return {"key": key, "complete": curves.complete}


TASKS: dict[str, StoreTask] = {
    "sensitivity": sensitivity,
}
"""Every task by the name that a job's ``kind`` gives it."""
