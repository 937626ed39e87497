"""Sparse training in a worker process: one strength, or several in turn."""

from collections.abc import Mapping
from typing import Any

from workbench.device import choose_device
from workbench.experiment import Run, Stage, known_dense
from workbench.finetune_settings import FineTuneSettings
from workbench.progress import Progress, Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model
from workbench.sparse_training.measured import train_sparse_and_measure
from workbench.sparse_training.reporting import TOTAL, part_of
from workbench.sparse_training.settings import SparseTrainingSettings
from workbench.sparse_training.sweeping import (
    SWEEP,
    Tried,
    choose_strength,
    prunable_sparsity,
    settings_of_sweep,
)
from workbench.store import DataRef, ModelRef, Store

Arguments = Mapping[str, Any]


def sparse_training(
    store: Store, workspace_id: str, arguments: Arguments, report: Report, should_stop: ShouldStop
) -> Mapping[str, object]:
    """Train a model sparse, once or with several strengths, and add every outcome as a run.

    Args:
        store: Keeps the runs and their weights, and which of several strengths one goes on with.
        workspace_id: Gets the runs.
        arguments: ``model`` and ``data`` (references), ``settings``
            (``SparseTrainingSettings``), ``strengths`` (tried in turn; empty takes that of the
            settings), ``finetune`` (``FineTuneSettings`` for training on without penalty, or
            None), ``name`` (may be empty), ``device``.
        report: Hears of every step; ``values`` also tell ``number`` of the attempt and, when it
            is measured, ``attempt`` with its strength, sparsity and accuracy.
        should_stop: Ends with what the last whole epoch left; no further strength is tried.

    Returns:
        ``runs``: the numbers of the new runs.
    """
    model_ref = ModelRef.from_dict(arguments["model"])
    data_ref = DataRef.from_dict(arguments["data"])
    model = reopen_model(model_ref, store, data_ref, should_stop=should_stop)
    data = reopen_data(data_ref, store, should_stop)
    after = arguments.get("finetune")
    finetune = None if after is None else FineTuneSettings.from_dict(after)
    asked = SparseTrainingSettings.from_dict(arguments["settings"])
    tries = settings_of_sweep(asked, arguments.get("strengths") or ())
    recorded = [Run.from_dict(one.record) for one in store.runs(workspace_id)]
    dense = known_dense(recorded, model, data)
    numbers: list[int] = []
    found: list[Tried] = []
    for index, settings in enumerate(tries):
        part = part_of(
            report, index / len(tries), (index + 1) / len(tries), values={"number": index}
        )
        run, pruned = train_sparse_and_measure(
            model, data, settings, finetune=finetune, dense=dense, report=part,
            should_stop=should_stop, device=choose_device(arguments.get("device")),
        )  # fmt: skip
        if pruned is None:
            break
        dense = run.stage("dense")
        stored = store.add_run(
            workspace_id, run.to_dict(), model_ref=model_ref, data_ref=data_ref,
            weights={run.final.name: pruned.tensors()},
            name=_name(str(arguments.get("name", "")), settings, len(tries)),
        )  # fmt: skip
        numbers.append(stored.number)
        found.append(Tried(prunable_sparsity(pruned), run.final.validation.accuracy))
        if len(tries) > 1 and dense is not None:
            choice = choose_strength(found, settings.used_target, dense.validation.accuracy)
            sweep = {"runs": [*numbers], "best": numbers[choice.index], "why": choice.why,
                     "among": choice.among}  # fmt: skip
            store.save_settings(workspace_id, {SWEEP: sweep})
        told = {"attempt": attempt_of(settings, run.final, prunable_sparsity(pruned))}
        done = round(TOTAL * (index + 1) / len(tries))
        report(Progress(done, TOTAL, f"Run {stored.number} is there", told))
        if run.stopped or should_stop():
            break
    return {"runs": numbers}


def attempt_of(
    settings: SparseTrainingSettings, stage: Stage, sparsity: float
) -> dict[str, float | None]:
    """A point of penalty strength against sparsity and accuracy, on validation images."""
    has_strength = settings.chosen.strength is not None
    return {
        "strength": settings.used_strength if has_strength else None,
        "sparsity": sparsity,
        "accuracy": stage.validation.accuracy,
    }


def _name(given: str, settings: SparseTrainingSettings, tries: int) -> str:
    """What the run is called; the method's title where nothing was given."""
    name = given or settings.chosen.title
    return f"{name}, {settings.used_strength:g}" if tries > 1 else name
