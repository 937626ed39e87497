"""What a worker can do: called directly, then through a real worker process."""

import time
from pathlib import Path

import pytest

from workbench.errors import StorageError
from workbench.experiment import Run
from workbench.finetune_settings import FineTuneSettings
from workbench.jobs import Jobs, JobView, worker_command
from workbench.loading import load_data, load_model
from workbench.metrics import measure
from workbench.plan import PruningPlan
from workbench.progress import Progress, StoppedError, ignore, never
from workbench.reopen import reopen_run
from workbench.sensitivity import SensitivityCurves, SensitivitySettings, measure_sensitivity
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS

MODEL = ModelRef("digits-mlp", sample="digits-mlp")
DATA = DataRef("digits", sample="digits")
PLAN = PruningPlan({"hidden.0": 0.9, "hidden.1": 0.5}, seed=3)
BRIEF = FineTuneSettings(epochs=1, shift=0)
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
    deadline = time.monotonic() + 150
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
    told: list[Progress] = []
    run = TASKS["sensitivity"]
    stopped = run(store, workspace, sensitivity_request(), told.append, lambda: len(told) > 2)
    assert stopped["complete"] is False
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


def experiment_request(**more: object) -> dict[str, object]:
    request = {
        "model": MODEL.to_dict(),
        "data": DATA.to_dict(),
        "plan": PLAN.to_dict(),
        "repair": "none",
        "device": "cpu",
    }
    return request | more


def test_an_experiment_becomes_a_run_whose_model_can_be_opened_again(
    store: Store, workspace: str
) -> None:
    request = experiment_request(finetune=BRIEF.to_dict(), name="Half ✂")
    assert TASKS["experiment"](store, workspace, request, ignore, never) == {"run": 1}
    (stored,) = store.runs(workspace)
    run = Run.from_dict(stored.record)
    assert (stored.name, stored.model_ref, stored.data_ref) == ("Half ✂", MODEL, DATA)
    assert [stage.name for stage in run.stages] == ["dense", "pruned", "finetuned"]
    assert (run.plan, run.training.settings) == (PLAN, BRIEF)

    opened = reopen_run(stored, store)
    assert opened.model.digest == run.final.digest
    again = measure(opened.model, load_data("digits"), latency=False)
    assert again.accuracy == run.final.measurement.accuracy
    assert again.num_nonzero == run.final.measurement.num_nonzero


def test_the_dense_model_is_measured_once_per_workspace(store: Store, workspace: str) -> None:
    for _ in range(2):
        TASKS["experiment"](store, workspace, experiment_request(), ignore, never)
    first, second = (Run.from_dict(stored.record) for stored in store.runs(workspace))
    assert first.stage("dense") == second.stage("dense")  # latency and all
    other = store.create_workspace()
    TASKS["experiment"](store, other, experiment_request(), ignore, never)
    (third,) = (Run.from_dict(stored.record) for stored in store.runs(other))
    assert third.stage("dense").measurement.accuracy == first.stage("dense").measurement.accuracy
    assert third.stage("dense") != first.stage("dense")


def test_training_a_run_further_makes_another_run(store: Store, workspace: str) -> None:
    TASKS["experiment"](store, workspace, experiment_request(), ignore, never)
    request = {"run": 1, "finetune": BRIEF.to_dict(), "name": "", "device": "cpu"}
    assert TASKS["finetune"](store, workspace, request, ignore, never) == {"run": 2}
    assert TASKS["finetune"](store, workspace, {**request, "run": 2}, ignore, never) == {"run": 3}
    first, second, third = store.runs(workspace)
    names = [[s.name for s in Run.from_dict(x.record).stages] for x in (first, second, third)]
    assert names == [
        ["dense", "pruned"],
        ["dense", "pruned", "finetuned"],
        ["dense", "pruned", "finetuned", "finetuned"],
    ]
    store.delete_run(workspace, 1)
    store.delete_run(workspace, 2)
    assert reopen_run(third, store).model.digest == Run.from_dict(third.record).final.digest
    with pytest.raises(StorageError, match=r"This workspace has no run 1\."):
        TASKS["finetune"](store, workspace, request, ignore, never)


def test_an_experiment_stopped_at_once_leaves_no_run(store: Store, workspace: str) -> None:
    told: list[Progress] = []
    result = TASKS["experiment"](
        store, workspace, experiment_request(), told.append, lambda: bool(told)
    )
    assert result == {"run": None}
    with pytest.raises(StoppedError):
        TASKS["experiment"](store, workspace, experiment_request(), ignore, lambda: True)
    assert store.runs(workspace) == ()


def test_a_stopped_training_is_kept_and_its_plan_held(store: Store, workspace: str) -> None:
    stage = ""

    def listen(progress: Progress) -> None:
        nonlocal stage
        stage = str(progress.values.get("stage", stage))

    request = experiment_request(finetune=FineTuneSettings(epochs=500).to_dict())
    stop = lambda: stage == "finetuned"  # noqa: E731
    assert TASKS["experiment"](store, workspace, request, listen, stop) == {"run": 1}
    (stored,) = store.runs(workspace)
    assert Run.from_dict(stored.record).stopped
    pruned = reopen_run(stored, store)
    weight = pruned.model.module.get_parameter("hidden.0.weight")
    assert int((weight == 0).sum()) == round(0.9 * weight.numel())
