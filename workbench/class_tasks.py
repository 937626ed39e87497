"""Metrics of every class in a worker process, kept by the content of model and data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.class_metrics import ClassMetrics, measure_classes
from workbench.data import Data
from workbench.device import choose_device
from workbench.ensemble_tasks import output_cache
from workbench.model import Model, check_fit
from workbench.progress import Progress, Report, ShouldStop
from workbench.reopen import reopen_data, reopen_model, reopen_run
from workbench.store import DataRef, ModelRef, Store
from workbench.store.files import make_folder, write_file

FOLDER = "classes"


def class_metrics(
    store: Store, workspace_id: str, arguments: Mapping[str, Any], report: Report,
    should_stop: ShouldStop,
) -> Mapping[str, object]:  # fmt: skip
    """Measure what the dense model and a run do to every class of the test split.

    Args:
        store: Keeps both (see ``load_class_metrics``).
        workspace_id: Holds the run.
        arguments: ``model`` and ``data`` (references), ``run`` (its number), ``device``.
        report: Hears of every batch.
        should_stop: Gives up before the next batch; a model that is done is kept.

    Returns:
        ``complete``: whether both are measured.
    """
    data = reopen_data(DataRef.from_dict(arguments["data"]), store, should_stop)
    dense = reopen_model(ModelRef.from_dict(arguments["model"]), store, should_stop=should_stop)
    run = reopen_run(store.run(workspace_id, arguments["run"]), store, should_stop).model
    for number, model in enumerate((dense, run)):
        check_fit(model, data)
        if load_class_metrics(store, model.digest, data.digest) is not None:
            continue

        def half(progress: Progress, number: int = number) -> None:
            done = progress.done + number * progress.total
            report(Progress(done, 2 * progress.total, progress.message))

        if not _measure(store, model, data, arguments.get("device"), half, should_stop):
            return {"complete": False}
    return {"complete": True}


def load_class_metrics(store: Store, model: str, data: str) -> ClassMetrics | None:
    """What was measured of a model on the test split; None where it was not.

    Args:
        store: Where it is kept.
        model: Digest of the model.
        data: Digest of the data.
    """
    try:
        return ClassMetrics.from_dict(json.loads(_path(store, model, data).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure(
    store: Store, model: Model, data: Data, device: str | None, report: Report,
    should_stop: ShouldStop,
) -> bool:  # fmt: skip
    outputs = output_cache(store).outputs(
        model, data, "test", device=choose_device(device), report=report, should_stop=should_stop
    )
    if outputs is None:
        return False
    labels = data.split("test").labels
    found = measure_classes(outputs, labels, data.class_names)
    path = _path(store, model.digest, data.digest)
    make_folder(path.parent)
    text = json.dumps(found.to_dict(), separators=(",", ":")).encode()
    write_file(path, lambda file: file.write(text))
    return True


def _path(store: Store, model: str, data: str) -> Path:
    return store.folder / FOLDER / f"{model}-{data}.json"
