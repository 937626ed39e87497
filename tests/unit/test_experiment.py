"""Experiments: every stage is what the single steps give, is measured, and survives JSON."""

import json

import pytest
import torch
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.data import Data
from workbench.errors import DataError, PlanError, SettingsError
from workbench.experiment import (
    Run,
    finetune_and_measure,
    prune_and_measure,
    run_experiment,
)
from workbench.finetune import FineTuneSettings, finetune
from workbench.metrics import Measurement, score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import Progress
from workbench.prune import prune
from workbench.repair import repair

PLAN = PruningPlan({"conv2": 0.5, "fc": 0.7}, seed=3)
SETTINGS = FineTuneSettings(epochs=4, batch_size=16, shift=0, lr=0.05)


@pytest.fixture(scope="module")
def data() -> Data:
    return stripes_data()


def timeless(measurement: Measurement) -> dict[str, object]:
    return {k: v for k, v in measurement.to_dict().items() if not k.startswith("latency")}


def test_every_stage_is_what_the_single_steps_give(data: Data) -> None:
    model = small_model()
    run, final = run_experiment(model, data, PLAN, finetune=SETTINGS)
    pruned = prune(model, PLAN)
    repaired = repair(pruned, data, "full", seed=3).pruned
    tuned = finetune(repaired, data, SETTINGS)
    models = [model, pruned.model, repaired.model, tuned.pruned.model]
    assert [stage.name for stage in run.stages] == ["dense", "pruned", "repaired", "finetuned"]
    assert [stage.digest for stage in run.stages] == [each.digest for each in models]
    assert final.model.digest == tuned.pruned.model.digest
    for stage, each in zip(run.stages, models, strict=True):
        on_test = score(each.module, data.split("test"))
        assert stage.measurement.split == "test"
        assert stage.measurement.accuracy == on_test.accuracy
        assert stage.measurement.loss == on_test.loss
        assert stage.measurement.latency_ms > 0
        assert stage.validation == score(each.module, data.split("validation"))
    assert run.training.best_epoch == tuned.best_epoch
    assert run.training.settings == SETTINGS
    assert run.final.validation.accuracy >= run.stage("repaired").validation.accuracy
    assert not run.stopped
    assert run.stage("exported") is None


def test_a_run_survives_json(data: Data) -> None:
    run, _ = run_experiment(small_model(), data, PLAN, finetune=SETTINGS)
    text = json.dumps(run.to_dict(), allow_nan=False)
    again = Run.from_dict(json.loads(text))
    assert again == run
    assert json.dumps(again.to_dict()) == text


def test_stages_that_change_nothing_are_left_out(data: Data) -> None:
    run, _ = prune_and_measure(small_model(), data, PLAN, repair="none")
    assert [stage.name for stage in run.stages] == ["dense", "pruned"]
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    without_norm = Model("mlp", network, (1, 6, 6), 3)
    run, _ = prune_and_measure(without_norm, data, PruningPlan({"1": 0.5}), repair="bn")
    assert [stage.name for stage in run.stages] == ["dense", "pruned"]


def test_a_dense_stage_can_be_taken_from_another_run(data: Data) -> None:
    model = small_model()
    first, _ = prune_and_measure(model, data, PLAN)
    seen: list[Progress] = []
    second, _ = run_experiment(
        model, data, PLAN, dense=first.stages[0], report=seen.append, finetune=SETTINGS
    )
    assert second.stages[0] is first.stages[0]
    assert "dense" not in {progress.values.get("stage") for progress in seen}


def test_training_further_adds_a_stage(data: Data) -> None:
    run, pruned = prune_and_measure(small_model(), data, PLAN)
    once, tuned = finetune_and_measure(run, pruned, data, SETTINGS)
    twice, further = finetune_and_measure(once, tuned, data, SETTINGS)
    assert [s.name for s in twice.stages] == [s.name for s in run.stages] + ["finetuned"] * 2
    assert twice.stage("finetuned") is twice.final
    assert twice.final.digest == further.model.digest
    assert twice.final.validation.accuracy >= once.final.validation.accuracy
    assert len(run.stages) == 3


def test_training_that_kept_epoch_zero_repeats_the_numbers(data: Data) -> None:
    run, pruned = prune_and_measure(small_model(), data, PLAN)
    after, _ = finetune_and_measure(run, pruned, data, FineTuneSettings(epochs=0))
    assert after.final.name == "finetuned"
    assert after.final.measurement == run.final.measurement
    assert after.final.training.best_epoch == 0


def test_progress_rises_to_the_end_and_brings_each_measurement(data: Data) -> None:
    seen: list[Progress] = []
    run, _ = run_experiment(small_model(), data, PLAN, finetune=SETTINGS, report=seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert seen[-1].done == seen[-1].total
    assert {progress.total for progress in seen} == {seen[-1].total}
    assert all(progress.message for progress in seen)
    brought = {
        p.values["stage"]: p.values["measurement"] for p in seen if "measurement" in p.values
    }
    assert brought == {stage.name: stage.measurement.to_dict() for stage in run.stages}
    epochs = [p.values["epoch"] for p in seen if "validation_loss" in p.values]
    assert epochs == list(range(5))
    assert {p.values["stage"] for p in seen if "epoch" in p.values} == {"finetuned"}
    json.dumps([dict(progress.values) for progress in seen], allow_nan=False)


def test_a_stopped_training_is_measured_and_recorded(data: Data) -> None:
    seen: list[Progress] = []

    def stop() -> bool:
        return any(progress.values.get("epoch") == 2 for progress in seen)

    run, final = run_experiment(
        small_model(), data, PLAN, finetune=FineTuneSettings(epochs=100, batch_size=16, shift=0),
        report=seen.append, should_stop=stop,
    )  # fmt: skip
    assert run.stopped
    assert run.training.stopped
    assert run.final.name == "finetuned"
    assert run.final.digest == final.model.digest
    assert timeless(run.final.measurement)["samples"] == 60


@pytest.mark.parametrize("stages", [0, 1, 2])
def test_a_stop_before_training_keeps_the_measured_stages(data: Data, stages: int) -> None:
    seen: list[Progress] = []

    def stop() -> bool:
        return len([p for p in seen if "measurement" in p.values]) >= stages

    run, _ = run_experiment(
        small_model(), data, PLAN, finetune=SETTINGS, report=seen.append, should_stop=stop
    )
    assert run.stopped
    assert [stage.name for stage in run.stages] == ["dense", "pruned", "repaired"][:stages]
    assert Run.from_dict(run.to_dict()) == run


def test_a_stage_is_not_recorded_from_part_of_the_images(data: Data) -> None:
    seen: list[Progress] = []
    large = Data("large", data.x_train, data.y_train, data.x_test.repeat(5, 0),
                 data.y_test.repeat(5), class_names=("a", "b", "c"))  # fmt: skip
    run, _ = prune_and_measure(
        small_model(), large, PLAN, report=seen.append, should_stop=lambda: len(seen) > 1
    )
    assert run.stopped
    assert run.stages == ()


def test_what_does_not_fit_is_refused_before_anything_is_measured(data: Data) -> None:
    seen: list[Progress] = []
    model = small_model()
    with pytest.raises(SettingsError, match="There is no repair 'batch'"):
        run_experiment(model, data, PLAN, repair="batch", report=seen.append)
    with pytest.raises(PlanError, match="no layer 'conv7'"):
        run_experiment(model, data, PruningPlan({"conv7": 0.5}), report=seen.append)
    assert not seen
    run, pruned = prune_and_measure(model, data, PLAN)
    other = Data("other", data.x_train + 1, data.y_train, data.x_test, data.y_test,
                 class_names=("a", "b", "c"))  # fmt: skip
    with pytest.raises(DataError, match="The run was measured on stripes"):
        finetune_and_measure(run, pruned, other, SETTINGS)
