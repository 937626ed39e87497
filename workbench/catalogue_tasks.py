"""Trying and timing methods in a worker process; what is found stays in the workspace."""

from collections.abc import Mapping
from typing import Any

from workbench.arena import ArenaSettings, fitting_curves
from workbench.curves import SensitivityCurves
from workbench.data import Data
from workbench.device import choose_device
from workbench.model import Model
from workbench.progress import Progress, Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model
from workbench.sensitivity import sample_curves
from workbench.store import DataRef, ModelRef, Store
from workbench.trying import TryingSettings, costs_key, measure_costs, trial_key, try_method

Arguments = Mapping[str, Any]
TRIALS, COSTS = "method_trials", "method_costs"
"""Settings of the workspace that hold the results by key, the newest last."""
MAX_TRIALS, MAX_COSTS = 60, 8


def trying(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Try a method beside the usual choice, and keep what was found.

    Args:
        store: Keeps it among the workspace's settings, as ``method_trials``.
        workspace_id: Gets it.
        arguments: ``model`` and ``data`` (references), ``settings`` (``TryingSettings``),
            ``curves`` (keys of curves in the store, may be missing), ``device``.
        report: Hears of every step.
        should_stop: Ends early; then nothing is kept.

    Returns:
        ``key`` of the trial; empty where it was stopped.
    """
    model, data = _opened(store, arguments, should_stop)
    settings = TryingSettings.from_dict(arguments["settings"])
    found = try_method(
        model, data, settings, curves=_curves(store, arguments, model, data, settings.granularity),
        device=choose_device(arguments.get("device")), report=report, should_stop=should_stop,
    )  # fmt: skip
    if found is None:
        return {"key": ""}
    key = trial_key(model.digest, data.digest, settings)
    _keep(store, workspace_id, TRIALS, MAX_TRIALS, key, found.to_dict())
    return {"key": key}


def method_costs(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Time every method on a model, and keep the seconds.

    Args:
        store: Keeps them among the workspace's settings, as ``method_costs``.
        workspace_id: Gets them.
        arguments: ``model`` and ``data`` (references), ``granularity``, ``curves`` (keys of curves
            in the store, may be missing), ``device``.
        report: Hears of every method.
        should_stop: Ends with those so far, which are kept.

    Returns:
        ``key`` of the costs, and ``complete``.
    """
    model, data = _opened(store, arguments, should_stop)
    granularity = str(arguments["granularity"])
    key = costs_key(model.digest, data.digest, granularity)
    told: dict[str, object] = {}

    def keeping(progress: Progress) -> None:
        cost: Any = progress.values.get("cost")
        if cost:
            told[f"{cost['family']}.{cost['method']}"] = cost
            _keep(store, workspace_id, COSTS, MAX_COSTS, key, told)
        report(progress)

    measure_costs(
        model, data, granularity, device=choose_device(arguments.get("device")),
        curves=_curves(store, arguments, model, data, granularity), report=keeping,
        should_stop=should_stop,
    )  # fmt: skip
    return {"key": key, "complete": not should_stop()}


def _opened(store: Store, arguments: Arguments, should_stop: ShouldStop) -> tuple[Model, Data]:
    data = reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop)
    model_ref = ModelRef.from_dict(arguments["model"])
    return reopen_model(model_ref, store, should_stop=should_stop), data


def _curves(
    store: Store, arguments: Arguments, model: Model, data: Data, granularity: str
) -> SensitivityCurves | None:  # fmt: skip
    """The curves at hand that tell most: those that the request names, and those that ship."""
    named = [store.load_curves(str(key)) for key in arguments.get("curves", ())]
    own = [SensitivityCurves.from_dict(values) for values in named if values is not None]
    wanted = (model.digest, data.digest)
    found = [
        curves
        for curves in (*own, *sample_curves(model, granularity))
        if (curves.model, curves.data) == wanted
    ]
    return fitting_curves(found, ArenaSettings(granularity=granularity))


def _keep(
    store: Store, workspace_id: str, name: str, limit: int, key: str, result: Mapping[str, object]
) -> None:
    """Add a result to those of the workspace; of too many the oldest go."""
    workspace = store.open_workspace(workspace_id)
    before: Any = workspace.settings.get(name, {}) if workspace else {}
    held = {old: value for old, value in before.items() if old != key}
    newest = [*held.items(), (key, dict(result))][-limit:]
    store.save_settings(workspace_id, {name: dict(newest)})
