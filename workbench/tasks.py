"""What a worker process can do: plain requests in, plain results out, everything kept on the way.

Every task takes the store, the workspace that asks, its arguments, ``report`` and ``should_stop``.
Arguments name the model and data by their references (``ModelRef.to_dict()``,
``DataRef.to_dict()``), so that the work needs nothing of the server's memory, and what it finds is
in the store before the result is told: it survives a server that ends and a page nobody looks at.
A task that is stopped gives what is whole by then, or raises ``StoppedError`` where nothing is.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workbench.arena.task import arena
from workbench.catalogue_tasks import method_costs, trying
from workbench.class_tasks import class_metrics
from workbench.curve_cache import JsonLinesCache
from workbench.device import choose_device
from workbench.ensemble_tasks import ensemble
from workbench.experiment import Run, finetune_and_measure, known_dense, run_experiment
from workbench.finetune_settings import FineTuneSettings
from workbench.metrics import score
from workbench.model import Model, check_fit
from workbench.plan import PruningPlan
from workbench.plan_tasks import floor, latency_fit, latency_table, refine, trade_off
from workbench.progress import Progress, Report, ShouldStop
from workbench.prune import prune
from workbench.ray_points import ray_points
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.replacement_tasks import replacement
from workbench.robustness_tasks import robustness
from workbench.run_export import export
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.sparse_tasks import sparse_training
from workbench.speed_tasks import latency, staircase
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
            ``device``, perhaps ``ray`` (address of a cluster that measures in its stead).
        report: Receives every point.
        should_stop: Ends with the points so far.

    Returns:
        ``key`` of the curves in the store and ``complete``.
    """
    model_ref, ray = ModelRef.from_dict(arguments["model"]), arguments.get("ray")
    curves = measure_sensitivity(
        reopen_model(
            model_ref, store, DataRef.from_dict(arguments["data"]), should_stop=should_stop
        ),
        reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop),
        SensitivitySettings.from_dict(arguments["settings"]),
        cache=JsonLinesCache(store.curves_folder),
        source=ray_points(ray, factory=model_ref.factory) if ray else None,
        device=choose_device(arguments.get("device")),
        report=report,
        should_stop=should_stop,
    )
    key = store.save_curves(workspace_id, curves.to_dict())
    return {"key": key, "complete": curves.complete}


def experiment(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Prune, repair, fine-tune and measure, and add the run to the workspace.

    Args:
        store: Keeps the run and its weights.
        workspace_id: Gets the run.
        arguments: ``model`` and ``data`` (references), ``plan``, ``repair``, ``finetune``
            (``FineTuneSettings`` or None for no training), ``name`` (may be empty), ``device``.
        report: Hears of every step; see ``run_experiment``.
        should_stop: Ends with the stages measured so far.

    Returns:
        ``run``: its number, or None where it was stopped before the pruned model was measured.
    """
    model_ref = ModelRef.from_dict(arguments["model"])
    data_ref = DataRef.from_dict(arguments["data"])
    model = reopen_model(model_ref, store, data_ref, should_stop=should_stop)
    data = reopen_data(data_ref, store, should_stop)
    settings = arguments.get("finetune")
    run, pruned = run_experiment(
        model,
        data,
        PruningPlan.from_dict(arguments["plan"]),
        repair=arguments["repair"],
        finetune=None if settings is None else FineTuneSettings.from_dict(settings),
        dense=known_dense(
            [Run.from_dict(one.record) for one in store.runs(workspace_id)], model, data
        ),
        report=report,
        should_stop=should_stop,
        device=choose_device(arguments.get("device")),
    )
    if not run.stages or run.final.name == "dense":
        return {"run": None}
    if run.final.digest != pruned.model.digest:  # stopped between repair and its measurement
        pruned = prune(model, run.plan)
    stored = store.add_run(
        workspace_id,
        run.to_dict(),
        model_ref=model_ref,
        data_ref=data_ref,
        weights={run.final.name: pruned.tensors()},
        name=arguments.get("name", ""),
    )
    return {"run": stored.number}


def finetune(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Train the model of a run further, and add the outcome to the workspace as another run.

    Args:
        store: Keeps the runs and their weights.
        workspace_id: Holds the run and gets the new one.
        arguments: ``run`` (its number), ``finetune`` (``FineTuneSettings``), ``teacher`` (see
            ``_teacher``; the dense model if left out), ``name`` (may be empty), ``device``.
        report: Hears of every step; see ``finetune_and_measure``.
        should_stop: Ends training with its best epoch, which is then measured.

    Returns:
        ``run``: the number of the new run.
    """
    before = store.run(workspace_id, arguments["run"])
    run, tuned = finetune_and_measure(
        Run.from_dict(before.record),
        reopen_run(before, store, should_stop),
        reopen_data(before.data_ref, store, should_stop),
        FineTuneSettings.from_dict(arguments["finetune"]),
        teacher=_teacher(store, workspace_id, arguments.get("teacher"), should_stop),
        report=report,
        should_stop=should_stop,
        device=choose_device(arguments.get("device")),
    )
    stored = store.add_run(
        workspace_id,
        run.to_dict(),
        model_ref=before.model_ref,
        data_ref=before.data_ref,
        weights={**before.weights, run.final.name: tuned.tensors()},
        name=arguments.get("name", ""),
    )
    return {"run": stored.number}


def evaluate(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Measure the accuracy of the model on the bench on the test split, and keep it there.

    Args:
        store: Keeps the accuracy among the workspace's settings, as ``measured``.
        workspace_id: Gets it.
        arguments: ``model`` and ``data`` (references), ``key`` (kept with the result), ``device``.
        report: Hears of the beginning.
        should_stop: Ends with the images scored so far, and then nothing is kept.

    Returns:
        ``accuracy, ci_low, ci_high, samples, split``.
    """
    model = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
    data = reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop)
    check_fit(model, data)
    split = data.split("test")
    report(Progress(0, 1, f"Classifying {len(split):,} images"))
    device = choose_device(arguments.get("device"))
    scored = score(model.module, split, device=device, should_stop=should_stop)
    measured: dict[str, object] = {
        "accuracy": scored.accuracy,
        "ci_low": scored.ci_low,
        "ci_high": scored.ci_high,
        "samples": scored.samples,
        "split": split.name,
    }
    if not should_stop():
        kept = {"key": arguments["key"], "accuracy": measured}
        store.save_settings(workspace_id, {"measured": kept})
    return measured


def _teacher(
    store: Store, workspace_id: str, asked: Arguments | None, should_stop: ShouldStop
) -> Model | None:
    """The model whose answers are learnt: that of a ``run``, by its number, or a ``sample``."""
    if not asked:
        return None
    if "run" in asked:
        stored = store.run(workspace_id, asked["run"])
        return replace(reopen_run(stored, store, should_stop).model, name=stored.name)
    sample = ModelRef(name=asked["sample"], sample=asked["sample"])
    return reopen_model(sample, store, should_stop=should_stop)


TASKS: dict[str, StoreTask] = {
    "sensitivity": sensitivity,
    "experiment": experiment,
    "finetune": finetune,
    "sparse_training": sparse_training,
    "export": export,
    "evaluate": evaluate,
    "latency": latency,
    "staircase": staircase,
    "arena": arena,
    "floor": floor,
    "refine": refine,
    "latency_table": latency_table,
    "latency_fit": latency_fit,
    "trying": trying,
    "method_costs": method_costs,
    "trade_off": trade_off,
    "robustness": robustness,
    "replacement": replacement,
    "ensemble": ensemble,
    "class_metrics": class_metrics,
}
"""Every task by the name that a job's ``kind`` gives it."""
