"""An experiment: prune, repair, fine-tune, and measure every stage on the same images."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from workbench.data import Data
from workbench.errors import DataError
from workbench.finetune import FineTuned, FineTuneSettings, TrainingRecord, finetune
from workbench.metrics import Measurement, Score, measure, score
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never
from workbench.prune import Pruned, prune
from workbench.repair import Repaired, RepairRecord, get_repair, repair

TOTAL = 1_000
TRAINING_COST = 3
MESSAGES = {
    "dense": "Measuring the dense model",
    "pruned": "Measuring the pruned model",
    "repaired": "Measuring the repaired model",
    "finetuned": "Measuring the fine-tuned model",
}


@dataclass(frozen=True)
class Stage:
    """One measured state of the model.

    Attributes:
        name: ``dense``, ``pruned``, ``repaired`` or ``finetuned``.
        measurement: On the test split: the final numbers.
        validation: On the validation split, where plans are chosen and accuracy is predicted.
        digest: Of the model at this stage (``Model.digest``).
        seconds: Time to get from the stage before to this one; measuring is not counted.
        training: How it was trained; None before fine-tuning.
        repair: How it was repaired; only for ``repaired``.
    """

    name: str
    measurement: Measurement
    validation: Score
    digest: str
    seconds: float
    training: TrainingRecord | None = None
    repair: RepairRecord | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "measurement": self.measurement.to_dict(),
            "validation": self.validation.to_dict(),
            "training": self.training.to_dict() if self.training else None,
            "repair": self.repair.to_dict() if self.repair else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Stage":
        """The reverse of ``to_dict``."""
        training, repaired = values.get("training"), values.get("repair")
        return cls(
            **dict(values)
            | {
                "measurement": Measurement.from_dict(values["measurement"]),
                "validation": Score.from_dict(values["validation"]),
                "training": TrainingRecord.from_dict(training) if training else None,
                "repair": RepairRecord.from_dict(repaired) if repaired else None,
            }
        )


@dataclass(frozen=True)
class Run:
    """One attempt: a plan, what was done with it and what came out.

    Attributes:
        plan: What was pruned.
        stages: In order; the last one is the result. Training again adds a stage of the same name.
        repair: A name in ``REPAIRS``.
        model_name: Name of the dense model.
        model_digest: Of the dense model.
        data_name: Name of the data.
        data_digest: Of the data.
        stopped: Whether it was asked to stop before its end.
        made_by: Settings of the sparse training that made the zeros; empty where a trained model
            was cut.
    """

    plan: PruningPlan
    stages: tuple[Stage, ...]
    repair: str
    model_name: str
    model_digest: str
    data_name: str
    data_digest: str
    stopped: bool = False
    made_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> Stage:
        """The last stage that was measured."""
        return self.stages[-1]

    @property
    def training(self) -> TrainingRecord | None:
        """How the last fine-tuning went; None if there was none."""
        return self.final.training if self.stages else None

    def stage(self, name: str) -> Stage | None:
        """The last stage of that name, or None."""
        return next((stage for stage in reversed(self.stages) if stage.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "plan": self.plan.to_dict(),
            "stages": [stage.to_dict() for stage in self.stages],
            "made_by": dict(self.made_by),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Run":
        """The reverse of ``to_dict``."""
        stages = tuple(Stage.from_dict(stage) for stage in values["stages"])
        plan = PruningPlan.from_dict(values["plan"])
        return cls(**dict(values) | {"plan": plan, "stages": stages})


def known_dense(runs: Iterable[Run], model: Model, data: Data) -> Stage | None:
    """The dense model as the latest run with the same model and data measured it, or None."""
    for run in reversed([*runs]):
        if (run.model_digest, run.data_digest) == (model.digest, data.digest):
            return run.stage("dense")
    return None


def run_experiment(
    model: Model, data: Data, plan: PruningPlan, *, repair: str = "full",
    finetune: FineTuneSettings | None = None, teacher: Model | None = None,
    dense: Stage | None = None, report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> tuple[Run, Pruned]:  # fmt: skip
    """Prune, repair and fine-tune a model, and measure every stage.

    Args:
        model: The dense model; it stays as it is.
        data: Images that fit it.
        plan: What to prune.
        repair: A name in ``REPAIRS``.
        finetune: How to train; None does not train.
        teacher: Whose answers are learnt, where ``finetune`` asks for distillation; None takes the
            dense model.
        dense: The dense stage of another run of this model and data, to spare measuring again.
        report: Hears of every step; ``values`` names the ``stage``, and brings its
            ``measurement`` once it is there.
        should_stop: True ends before the next stage; a fine-tuning that has begun ends with its
            best epoch, which is measured and recorded.
        device: Where to compute. The result is on the CPU.

    Returns:
        The run, and the model of its last step; the dense one where it was stopped before the cut.

    Raises:
        PlanError: If the plan does not fit the model.
        DataError: If the data do not fit the model.
        SettingsError: If the repair is unknown.
    """
    before = _cost_of_measuring(data) * (2 + (repair != "none") - (dense is not None))
    training = _cost_of_training(data, finetune) if finetune else 0
    first = _part(report, 0, before / (before + training))
    run, pruned = prune_and_measure(
        model, data, plan, repair=repair, dense=dense, report=first, should_stop=should_stop,
        device=device,
    )  # fmt: skip
    if finetune is None or run.stopped:
        return run, pruned
    second = _part(report, before / (before + training), 1)
    return finetune_and_measure(
        run, pruned, data, finetune, teacher=teacher, report=second, should_stop=should_stop,
        device=device,
    )  # fmt: skip


def prune_and_measure(
    model: Model, data: Data, plan: PruningPlan, *, repair: str = "full",
    dense: Stage | None = None, report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> tuple[Run, Pruned]:  # fmt: skip
    """Prune and repair a model; measure it dense, pruned and, where that changed it, repaired.

    Arguments, errors and results are those of ``run_experiment``.
    """
    get_repair(repair)
    model = with_data(model, data, should_stop)
    start = time.perf_counter()
    stages = [dense] if dense else []
    run = Run(plan, (), repair, model.name, model.digest, data.name, data.digest)
    try:
        pruned = result = prune(model, plan)
    except StoppedError:
        uncut = Pruned(model, {}, plan.with_sparsities({}), model)
        return replace(run, stages=tuple(stages), stopped=True), uncut
    seconds = time.perf_counter() - start
    share = 1 / (2 - len(stages) + (repair != "none"))
    done = 0.0

    def add(name: str, subject: Model, spent: float, record: RepairRecord | None = None) -> bool:
        nonlocal done
        part, done = _part(report, done, done + share), done + share
        stage = None if should_stop() else measure_stage(
            name, subject, data, seconds=spent, report=part, should_stop=should_stop,
            device=device,
        )  # fmt: skip
        if stage is not None:
            stages.append(replace(stage, repair=record))
        return stage is not None

    whole = dense is not None or add("dense", model, 0.0)
    whole = whole and add("pruned", pruned.model, seconds)
    if whole and repair != "none":
        share /= 2
        part, done = _part(report, done, done + share, "repaired"), done + share
        repaired = _repaired(pruned, data, repair, part, should_stop, device)
        whole = not should_stop()
        if whole and repaired.pruned is not pruned:
            result = repaired.pruned
            whole = add("repaired", result.model, repaired.seconds, repaired.record)
    return replace(run, stages=tuple(stages), stopped=not whole), result


def finetune_and_measure(
    run: Run, pruned: Pruned, data: Data, settings: FineTuneSettings, *,
    teacher: Model | None = None, report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> tuple[Run, Pruned]:  # fmt: skip
    """Fine-tune the model of a run, measure it and add the stage; also to train further.

    A training that is stopped is measured all the same, and the run says that it was stopped. An
    automatic learning rate is a tenth of the usual one after a full repair: from there large steps
    lead down first, and a short training does not come back.

    Args:
        run: Ends with ``pruned``; it stays as it is.
        pruned: The model of the run's last stage.
        data: The data of the run.
        settings: How to train.
        teacher: Whose answers are learnt, where the settings ask for distillation; None takes the
            dense model.
        report: Hears of every step.
        should_stop: Ends training with its best epoch.
        device: Where to train. The result is on the CPU.

    Raises:
        DataError: If the data are not those of the run.
    """
    if run.data_digest != data.digest:
        raise DataError(
            f"The run was measured on {run.data_name}, digest {run.data_digest}; this is "
            f"{data.name}, digest {data.digest}.",
            "Fine-tune on the data that the run was measured on.",
        )
    measuring = _cost_of_measuring(data)
    training_part = 1 - measuring / (measuring + _cost_of_training(data, settings))
    tuned = finetune(
        pruned, data, settings, teacher=teacher, gentle=_was_fully_repaired(run),
        report=_part(report, 0, training_part, "finetuned"), should_stop=should_stop,
        device=device,
    )  # fmt: skip
    record = TrainingRecord(
        settings, tuned.history, tuned.best_epoch, tuned.seconds, tuned.stopped,
        tuned.samples_per_second, tuned.note,
        teacher.name if teacher and settings.distillation else "", tuned.highest_lr,
    )  # fmt: skip
    stage = _finetuned_stage(run, tuned, record, data, _part(report, training_part, 1), device)
    grown = replace(run, stages=(*run.stages, stage), stopped=run.stopped or tuned.stopped)
    return grown, tuned.pruned


def measure_stage(
    name: str, model: Model, data: Data, *, seconds: float = 0.0,
    training: TrainingRecord | None = None, validation: Score | None = None,
    report: Report = ignore, should_stop: ShouldStop = never,
    device: torch.device | str = "cpu",
) -> Stage | None:  # fmt: skip
    """Measure a model on the test and validation splits.

    Args:
        name: Of the stage.
        model: What to measure.
        data: Images that fit it.
        seconds: What the stage took.
        training: How it was trained.
        validation: Its validation score, where known.
        report: Hears of every batch, then of the measurement.
        should_stop: True gives up.
        device: Where to run.

    Returns:
        The stage, or None if stopped: a number from part of the images is no final number.
    """
    part = _part(report, 0, 1, name, MESSAGES[name])
    measurement = measure(model, data, device=device, report=part, should_stop=should_stop)
    split = data.split("validation")
    if validation is None and not should_stop():
        validation = score(model.module, split, device=device, should_stop=should_stop)
    if validation is None or measurement.samples < len(data.y_test):
        return None
    if validation.samples < len(split):
        return None
    values = {"stage": name, "measurement": measurement.to_dict()}
    report(Progress(TOTAL, TOTAL, MESSAGES[name], values))
    return Stage(name, measurement, validation, model.digest, seconds, training)


def _was_fully_repaired(run: Run) -> bool:
    """Whether the model was repaired in full, perhaps trained since."""
    stage = run.stage("repaired")
    return stage is not None and stage.repair is not None and stage.repair.chosen == "full"


def _finetuned_stage(
    run: Run, tuned: FineTuned, record: TrainingRecord, data: Data, report: Report,
    device: torch.device | str,
) -> Stage:  # fmt: skip
    """The stage after a training; weights that did not change are not measured again."""
    model = tuned.pruned.model
    if run.stages and run.final.digest == model.digest:
        return replace(run.final, name="finetuned", seconds=tuned.seconds, training=record)
    complete = tuned.validation.samples == len(data.split("validation"))
    stage = measure_stage(
        "finetuned", model, data, seconds=tuned.seconds, training=record,
        validation=tuned.validation if complete else None, report=report, device=device,
    )  # fmt: skip
    assert stage is not None  # nothing asks it to stop
    return stage


def _repaired(
    pruned: Pruned, data: Data, method: str, report: Report, should_stop: ShouldStop,
    device: torch.device | str,
) -> Repaired:  # fmt: skip
    return repair(
        pruned, data, method, seed=pruned.plan.seed, device=device, report=report,
        should_stop=should_stop,
    )  # fmt: skip


def _cost_of_measuring(data: Data) -> float:
    """Work to measure a stage, in images classified."""
    return len(data.y_test) + len(data.split("validation"))


def _cost_of_training(data: Data, settings: FineTuneSettings) -> float:
    """Work to train, in images classified; a guess where the training goes by seconds."""
    epochs = settings.epochs if settings.seconds is None else 10
    return epochs * len(data.y_train) * TRAINING_COST + _cost_of_measuring(data)


def _part(report: Report, start: float, end: float, stage: str = "", message: str = "") -> Report:
    """A report of its own for a part of the work, from ``start`` to ``end`` out of 1."""

    def report_part(progress: Progress) -> None:
        inside = progress.done / progress.total if progress.total else 0.0
        done = round(TOTAL * (start + (end - start) * inside))
        values = ({"stage": stage} if stage else {}) | dict(progress.values)
        report(Progress(done, TOTAL, message or progress.message, values))

    return report_part
