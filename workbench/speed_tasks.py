"""Timing in a worker process: a dense model beside a pruned one, and the staircase of a group."""

from collections.abc import Mapping
from typing import Any

from workbench.latency import RUNTIMES, LatencyComparison
from workbench.plan import PruningPlan
from workbench.progress import Report, ShouldStop
from workbench.prune import prune
from workbench.reopen import reopen_model
from workbench.saving import part_of
from workbench.speedup import measure_speedup
from workbench.staircase import measure_staircase
from workbench.store import DataRef, ModelRef, Store

Arguments = Mapping[str, Any]
LATENCIES, STAIRCASES = "latencies", "staircases"
"""Settings of the workspace that hold the results by key, the newest last."""
MAX_LATENCIES, MAX_STAIRCASES = 40, 12


def latency(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Time the pruned model beside the dense one, in turns, and keep the result.

    Args:
        store: Keeps the results among the workspace's settings, as ``latencies``.
        workspace_id: Gets them.
        arguments: ``model`` and perhaps ``data`` (references), ``plan``, ``batch``, ``threads``,
            ``keys`` (runtime to the key under which its result is kept).
        report: Hears of every step.
        should_stop: Ends early; a runtime that has no 20 turns is left out.

    Returns:
        ``speedups``: runtime to ``LatencyComparison.to_dict()``.
    """
    data = arguments.get("data")
    dense = reopen_model(
        ModelRef.from_dict(arguments["model"]), store,
        DataRef.from_dict(data) if data else None, should_stop=should_stop,
    )  # fmt: skip
    pruned = prune(dense, PruningPlan.from_dict(arguments["plan"]))
    keys: Mapping[str, str] = arguments["keys"]
    speedups: dict[str, LatencyComparison] = {}
    for number, runtime in enumerate(keys):
        found = measure_speedup(
            dense, pruned.model, runtime=runtime, batch=arguments["batch"],
            threads=arguments["threads"],
            report=part_of(report, number, len(keys), RUNTIMES.get(runtime, runtime)),
            should_stop=should_stop,
        )  # fmt: skip
        if found is not None:
            speedups[runtime] = found
            _keep(store, workspace_id, LATENCIES, MAX_LATENCIES, keys[runtime], found.to_dict())
    return {"speedups": {runtime: found.to_dict() for runtime, found in speedups.items()}}


def staircase(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Time a model with one group cut to several widths, in turns, and keep the result.

    Args:
        store: Keeps the result among the workspace's settings, as ``staircases``.
        workspace_id: Gets it.
        arguments: ``model`` (reference), ``group``, ``batch``, ``threads``, ``runtime``, ``key``
            (under which the result is kept).
        report: Hears of every step.
        should_stop: Ends early; with fewer than 20 turns nothing is kept.

    Returns:
        ``complete``: whether there is a result.
    """
    model_ref = ModelRef.from_dict(arguments["model"])
    found = measure_staircase(
        reopen_model(model_ref, store, should_stop=should_stop), arguments["group"],
        batch=arguments["batch"], threads=arguments["threads"], runtime=arguments["runtime"],
        report=report, should_stop=should_stop,
    )  # fmt: skip
    if found is not None:
        key = arguments["key"]
        _keep(store, workspace_id, STAIRCASES, MAX_STAIRCASES, key, found.to_dict())
    return {"complete": found is not None}


def _keep(
    store: Store, workspace_id: str, name: str, limit: int, key: str, result: Mapping[str, object]
) -> None:
    """Add a result to those of the workspace; of too many the oldest go."""
    workspace = store.open_workspace(workspace_id)
    before: Any = workspace.settings.get(name, {}) if workspace else {}
    held = {old: value for old, value in before.items() if old != key}
    newest = [*held.items(), (key, dict(result))][-limit:]
    store.save_settings(workspace_id, {name: dict(newest)})
