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

import streamlit as st

from workbench.errors import PlanError, WorkbenchError
from workbench.plan import PruningPlan
from workbench.prediction import MeasuredPlan
from workbench.ui import bench, run_shelf, session
from workbench.ui.equaliser import Grounds

if TYPE_CHECKING:
    from workbench.groups import Groups
    from workbench.store import DataRef, ModelRef
    from workbench.ui.run_shelf import ShelvedRun

SETTING = "measured_plans"
MOST_KEPT = 200
MOST_VALUES = 6_000
"""Sparsities kept in all, so that the settings of a deep network stay quick to read."""
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
        interval: Ends of the 95 % interval of the accuracy, of a check; None for others, whose
            interval is that of so many images.
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
    interval: tuple[float, float] | None = None

    def measured_with(self, groups: Groups) -> MeasuredPlan | None:
        """What the prediction learns from, the sparsities as they were cut; None if it is unfit.

        Args:
            groups: Of the model at the plan's granularity.
        """
        structured = groups.granularity.structured
        cut = {}
        try:
            for name, value in self.plan.sparsities.items():
                group = groups.group(name)
                gone = groups.num_pruned(name, value, self.plan.channel_multiple)
                cut[name] = gone / (group.num_units if structured else group.num_params)
        except PlanError:
            return None
        return MeasuredPlan(cut, self.loss, self.accuracy, self.samples, self.baseline)

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
            "interval": list(self.interval) if self.interval else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecordedPlan:
        """The reverse of ``to_dict``; name, baseline, time and interval may be missing."""
        plan = PruningPlan(
            values["sparsities"], values["granularity"], values["criterion"],
            seed=values["seed"], model=values["model"],
            channel_multiple=values["channel_multiple"],
        )  # fmt: skip
        baseline, interval = values.get("baseline"), values.get("interval")
        return cls(
            plan, str(values["data"]), str(values["repair"]), float(values["loss"]),
            float(values["accuracy"]), int(values["samples"]), str(values["origin"]),
            str(values.get("name", "")), values.get("predicted"),
            (float(baseline[0]), float(baseline[1])) if baseline else None,
            float(values.get("seconds", 0.0)),
            (float(interval[0]), float(interval[1])) if interval else None,
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
    newest: list[dict[str, Any]] = []
    values = 0
    for one in [*kept.values()][: -MOST_KEPT - 1 : -1]:
        values += len(one.plan.sparsities)
        if newest and values > MOST_VALUES:
            break
        newest.append(one.to_dict())
    session.remember(**{SETTING: newest[::-1]})


def now() -> float:
    """The time to put into a record."""
    return round(time.time(), 1)


def recorded(granularity: str, criterion: str, repair: str) -> list[RecordedPlan]:
    """What was measured with the model and data on the bench, oldest first.

    A plan that was measured twice counts once, with the larger number of images.

    Args:
        granularity: Of the plans; their rounding and seed may differ.
        criterion: Of the plans.
        repair: After which they were measured; a name in ``REPAIRS``.
    """
    wanted = (granularity, criterion, repair)
    return [
        one for one in on_bench()
        if (one.plan.granularity, one.plan.criterion, one.repair) == wanted
    ]  # fmt: skip


def grounds(granularity: str, criterion: str, repairs: Iterable[str]) -> Grounds:
    """What the prediction of a plan takes into account.

    Args:
        granularity: Of the plan.
        criterion: Of the plan.
        repairs: After which it is predicted; the last is the one that the model will get.
    """
    groups, wanted = session.groups(granularity), list(repairs)
    plans = {
        repair: tuple(
            measured
            for one in recorded(granularity, criterion, repair)
            if (measured := one.measured_with(groups)) is not None
        )
        for repair in wanted
    }
    return Grounds(criterion, wanted[-1], plans)


def stamp() -> tuple[object, ...]:
    """Changes with everything that was measured in the workspace."""
    kept = tuple((one.get("seconds"), one.get("loss")) for one in session.setting(SETTING, []))
    return kept, tuple(run.number for run in run_shelf.runs())


def on_bench() -> tuple[RecordedPlan, ...]:
    """Everything that was measured with the model and data on the bench, oldest first."""
    data = session.workspace().data_ref
    if data is None:
        return ()
    return _found(session.workspace_id(), session.model_ref(), data, repr(stamp()))


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=bench.BY_REFERENCE)
def _found(
    workspace_id: str,  # noqa: ARG001  part of the key
    model: ModelRef,
    data: DataRef,
    stamp: str,  # noqa: ARG001  part of the key
) -> tuple[RecordedPlan, ...]:
    """The plans measured with a model and data, each once, oldest first."""
    wanted = (bench.model(model).digest, bench.data(data).digest)
    found: dict[tuple[object, ...], RecordedPlan] = {}
    everything = [*_remembered(), *(one for run in run_shelf.runs() for one in _of_run(run))]
    for one in sorted(everything, key=lambda one: one.seconds):
        if (one.plan.model, one.data) != wanted:
            continue
        other = found.get(one.key)
        if other is None or other.samples < one.samples:
            found.pop(one.key, None)
            found[one.key] = one
    return tuple(found.values())


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
