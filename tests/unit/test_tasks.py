"""What a worker can do: called directly, then through a real worker process."""

import time
from pathlib import Path

import pytest

from workbench.errors import StorageError
from workbench.jobs import Jobs, JobView, worker_command
from workbench.loading import load_data, load_model
from workbench.progress import Progress, ignore, never
from workbench.sensitivity import SensitivityCurves, SensitivitySettings, measure_sensitivity
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS

MODEL = ModelRef("digits-mlp", sample="digits-mlp")
DATA = DataRef("digits", sample="digits")
SETTINGS = SensitivitySettings(levels=(0.5, 0.9), num_samples=50)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def workspace(store: Store) -> str:
    return store.create_workspace()


def sensitivity_request(model: ModelRef = MODEL, data: DataRef = DATA) -> dict[str, object]:
    return {
        "model": model.to_dict(),
        "data": data.to_dict(),
        "settings": SETTINGS.to_dict(),
        "device": "cpu",
    }


def wait(jobs: Jobs, view: JobView) -> JobView:
    deadline = time.monotonic() + 60
    while view.active and time.monotonic() < deadline:
        time.sleep(0.02)
        view = jobs.get(view.owner, view.id)
    return view


def kept_curves(store: Store, workspace: str) -> SensitivityCurves:
    values = store.load_curves(store.open_workspace(workspace).curves)
    assert values is not None
    return SensitivityCurves.from_dict(values)


def test_sensitivity_leaves_on_the_bench_what_the_core_measures(
    store: Store, workspace: str
) -> None:
    expected = measure_sensitivity(load_model("digits-mlp"), load_data("digits"), SETTINGS)
    told: list[Progress] = []
    result = TASKS["sensitivity"](store, workspace, sensitivity_request(), told.append, never)
    kept = kept_curves(store, workspace)
    assert result == {"key": store.open_workspace(workspace).curves, "complete": True}
    assert (kept.baseline, kept.points) == (expected.baseline, expected.points)
    assert told[-1].done == told[-1].total == len(expected.points) + 1


def test_sensitivity_that_was_stopped_goes_on_where_it_ended(store: Store, workspace: str) -> None:
    asked: list[int] = []

    def stop_soon() -> bool:
        asked.append(1)
        return len(asked) > 4

    run = TASKS["sensitivity"]
    assert run(store, workspace, sensitivity_request(), ignore, stop_soon)["complete"] is False
    part = kept_curves(store, workspace)
    assert run(store, workspace, sensitivity_request(), ignore, never)["complete"] is True
    whole = kept_curves(store, workspace)
    assert 0 < len(part.points) < len(whole.points)
    assert whole.evaluations == len(whole.points) - len(part.points)


def test_uploads_are_rebuilt_from_the_store(store: Store, workspace: str) -> None:
    sample = load_model("digits-mlp")
    model = store.save_model_ref(
        workspace,
        ModelRef("mine", architecture="mlp", arguments=dict(sample.arguments)),
        sample.module.state_dict(),
    )
    data = store.save_data_ref(workspace, DataRef("my digits"), load_data("digits"))
    TASKS["sensitivity"](store, workspace, sensitivity_request(model, data), ignore, never)
    kept = kept_curves(store, workspace)
    assert (kept.model, kept.data) == (sample.digest, load_data("digits").digest)


def test_a_worker_process_finds_the_same_and_tells_every_point(
    store: Store, workspace: str
) -> None:
    jobs = Jobs(worker_command(store.folder), ledger=store.jobs, keep_ready=False)
    try:
        done = wait(
            jobs, jobs.submit(workspace, "sensitivity", "Sensitivity", sensitivity_request())
        )
        upload = {**MODEL.to_dict(), "sample": "", "tensors": "0" * 16, "architecture": "mlp"}
        refused = sensitivity_request(ModelRef.from_dict(upload))
        failed = wait(jobs, jobs.submit(workspace, "sensitivity", "Sensitivity", refused))
    finally:
        jobs.close()
    assert (done.state, done.error) == ("done", "")
    expected = measure_sensitivity(load_model("digits-mlp"), load_data("digits"), SETTINGS)
    for found, point in zip(kept_curves(store, workspace).points, expected.points, strict=True):
        assert (found.group, found.level) == (point.group, point.level)
        assert found.loss == pytest.approx(point.loss, rel=1e-4)  # other numbers of threads
    assert {point["group"] for point in done.series} == {"", *expected.groups}
    assert failed.state == "failed"
    with pytest.raises(StorageError) as here:
        store.load_tensors("0" * 16)
    assert (failed.error, failed.hint) == (here.value.message, here.value.hint)
    assert store.jobs.take_interrupted(workspace) == ()
