"""Every plan that was measured in the workspace: by instant checks, in the arena, as runs.

The prediction is corrected by them, and a chart sets them against what was predicted. All figures
are those of the validation split.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.plan import PruningPlan
from workbench.prediction import MeasuredPlan
from workbench.ui import run_shelf, session

if TYPE_CHECKING:
    from workbench.ui.run_shelf import ShelvedRun

SETTING = "measured_plans"
MOST_KEPT = 200
ORIGINS = ("check", "run", "arena")
_STAGES = {"pruned": "none", "repaired": ""}


@dataclass(frozen=True)
class RecordedPlan:
    """A plan and what was measured with it on validation images.

    Attributes:
        plan: Its ``model`` is the digest of the dense model.
        data: Digest of the data.
        repair: What was done before it was measured; a name in ``REPAIRS``.
        loss: Mean cross-entropy, in nats.
        accuracy: Fraction of images classified correctly.
        samples: Images behind both.
        origin: ``check``, ``run`` or ``arena``.
        name: What a page calls it; may be empty.
        predicted: What was predicted before it was measured, as ``Prediction.to_dict()``; None
            where nothing was.
        baseline: Loss and accuracy of the dense model on the same images; None if not known.
        seconds: When, in seconds since 1970; 0 if not known.
    """

    plan: PruningPlan
    data: str
    repair: str
    loss: float
    accuracy: float
    samples: int
    origin: str
    name: str = ""
    predicted: Mapping[str, Any] | None = None
    baseline: tuple[float, float] | None = None
    seconds: float = 0.0

    @property
    def measured(self) -> MeasuredPlan:
        """What the prediction learns from."""
        return MeasuredPlan(
            self.plan.sparsities, self.loss, self.accuracy, self.samples, self.baseline
        )

    @property
    def key(self) -> tuple[object, ...]:
        """Two records with the same key measured the same thing."""
        values = self.plan.to_dict() | {"allocation": "", "sparsities": ""}
        cut = sorted((name, value) for name, value in self.plan.sparsities.items() if value)
        return (*values.values(), tuple(cut), self.data, self.repair)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plan = self.plan
        return {
            "model": plan.model,
            "data": self.data,
            "granularity": plan.granularity,
            "channel_multiple": plan.channel_multiple,
            "criterion": plan.criterion,
            "seed": plan.seed,
            "repair": self.repair,
            "sparsities": dict(plan.sparsities),
            "loss": self.loss,
            "accuracy": self.accuracy,
            "samples": self.samples,
            "predicted": dict(self.predicted) if self.predicted else None,
            "origin": self.origin,
            "name": self.name,
            "baseline": list(self.baseline) if self.baseline else None,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecordedPlan:
        """The reverse of ``to_dict``; name, baseline and time may be missing."""
        plan = PruningPlan(
            values["sparsities"], values["granularity"], values["criterion"],
            seed=values["seed"], model=values["model"],
            channel_multiple=values["channel_multiple"],
        )  # fmt: skip
        baseline = values.get("baseline")
        return cls(
            plan, str(values["data"]), str(values["repair"]), float(values["loss"]),
            float(values["accuracy"]), int(values["samples"]), str(values["origin"]),
            str(values.get("name", "")), values.get("predicted"),
            (float(baseline[0]), float(baseline[1])) if baseline else None,
            float(values.get("seconds", 0.0)),
        )  # fmt: skip


def add(*recorded: RecordedPlan) -> None:
    """Remember measured plans in the workspace, the newest last.

    A plan that is there already is replaced, unless it was measured on more images. Losses that
    are not finite teach nothing and are left out.
    """
    kept = {one.key: one for one in _remembered()}
    for new in recorded:
        if not math.isfinite(new.loss):
            continue
        old = kept.get(new.key)
        if old is None or old.samples <= new.samples:
            kept.pop(new.key, None)
            kept[new.key] = new
    newest = [one.to_dict() for one in kept.values()][-MOST_KEPT:]
    session.remember(**{SETTING: newest})


def now() -> float:
    """The time to put into a record."""
    return round(time.time(), 1)


def recorded(plan: PruningPlan, repair: str) -> list[RecordedPlan]:
    """What was measured with the model and data on the bench, oldest first.

    Only plans of the same granularity, criterion and repair; their seed and rounding may differ.
    A plan that was measured twice counts once, with the larger number of images.

    Args:
        plan: Gives granularity and criterion.
        repair: A name in ``REPAIRS``.
    """
    data = session.workspace().data_ref
    if data is None:
        return []
    model_digest, data_digest = session.require_model().digest, session.require_data().digest
    wanted = (model_digest, data_digest, plan.granularity, plan.criterion, repair)
    found: dict[tuple[object, ...], RecordedPlan] = {}
    everything = [*_remembered(), *(one for run in run_shelf.runs() for one in _of_run(run))]
    for one in sorted(everything, key=lambda one: one.seconds):
        own = one.plan
        if (own.model, one.data, own.granularity, own.criterion, one.repair) != wanted:
            continue
        other = found.get(one.key)
        if other is None or other.samples < one.samples:
            found.pop(one.key, None)
            found[one.key] = one
    return list(found.values())


def _remembered() -> Iterable[RecordedPlan]:
    """The records among the settings; those of another version are passed over."""
    for values in session.setting(SETTING, []):
        try:
            yield RecordedPlan.from_dict(values)
        except (KeyError, TypeError, ValueError, IndexError, WorkbenchError):
            continue


def _of_run(shelved: ShelvedRun) -> Iterable[RecordedPlan]:
    """What the stages of a run say about its plan, before fine-tuning."""
    run = shelved.run
    dense = run.stage("dense")
    baseline = (dense.validation.loss, dense.validation.accuracy) if dense else None
    plan = PruningPlan.from_dict(run.plan.to_dict() | {"model": run.model_digest})
    for stage in run.stages:
        if stage.name not in _STAGES or not math.isfinite(stage.validation.loss):
            continue
        yield RecordedPlan(
            plan, run.data_digest, _STAGES[stage.name] or run.repair, stage.validation.loss,
            stage.validation.accuracy, stage.validation.samples, "run", shelved.name,
            baseline=baseline, seconds=shelved.stored.created,
        )  # fmt: skip
