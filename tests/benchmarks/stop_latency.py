"""Seconds from pressing Stop to the end of the job, for every kind of job.

    python -m tests.benchmarks.stop_latency [--models NAME ...] [--kinds KIND ...] [--presses 3]
    python -m tests.benchmarks.stop_latency --gaps [--most 60]

Each job runs in a worker process as on the pages; Stop is pressed at moments spread over its first
``--most`` seconds. "Noticed" is when the work first sees that it should end: nothing new begins
after that. "Ended" is when the job is over, with what is kept by then measured and stored. With
``--gaps`` every kind runs once in this process and the longest times between two questions whether
to stop are printed, each with the line of code that took it.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from workbench.arena import ArenaSettings
from workbench.curves import SensitivitySettings
from workbench.ensembles.values import EnsembleSettings
from workbench.finetune_settings import FineTuneSettings
from workbench.jobs import Jobs, worker_command
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.plan_tasks import key_of_curves
from workbench.progress import ignore, never
from workbench.replacement import ReplacementSettings
from workbench.robustness import RobustnessSettings
from workbench.sensitivity import sample_curves
from workbench.sparse_training import SparseTrainingSettings
from workbench.store import DataRef, ModelRef, Store
from workbench.tasks import TASKS
from workbench.trying import TryingSettings

MODELS = {"digits-mlp": "digits", "fashion-resnet20": "fashion-mnist"}
LONG = 0.25
"""Seconds between two questions from which the code in between is told."""
Request = dict[str, Any]


def requests_of(model: str, runs: list[int]) -> dict[str, Request]:
    """What each kind of job is asked, with a name for each; the kind stands before the colon."""
    layers = {"digits-mlp": ("hidden.0", "hidden.1"), "fashion-resnet20": ("stages.0.0.conv1",)}
    plan = PruningPlan(dict.fromkeys(layers[model], 0.7), seed=1)
    base: Request = {
        "model": ModelRef(model, sample=model).to_dict(),
        "data": DataRef(MODELS[model], sample=MODELS[model]).to_dict(),
        "device": "cpu",
    }
    search = {
        "plan": plan.to_dict(), "method": "uniform", "unit": "params", "curves": "",
        "protected": [], "locked": [], "bounds": {}, "repair": "full", "num_samples": 1000,
        "kept": 0.5,
    }  # fmt: skip
    long_training = FineTuneSettings(epochs=20).to_dict()
    timing = {"batch": 1, "threads": 1}
    found: dict[str, Request] = {
        "sensitivity": {"settings": SensitivitySettings(repair="full").to_dict()},
        "sensitivity:obs": {
            "settings": SensitivitySettings(criterion="obs", repair="none").to_dict()
        },
        "experiment": {
            "plan": plan.to_dict(), "repair": "full", "finetune": long_training, "name": "",
        },
        "experiment:obs": {
            "plan": PruningPlan(plan.sparsities, criterion="obs").to_dict(), "repair": "full",
            "finetune": None, "name": "",
        },
        "finetune": {"run": runs[0], "finetune": long_training},
        "sparse_training": {
            "settings": SparseTrainingSettings(
                training=FineTuneSettings(epochs=10)).to_dict(), "strengths": [],
        },
        "sparse_training:iterative": {
            "settings": SparseTrainingSettings(
                method="iterative", training=FineTuneSettings(epochs=1)).to_dict(),
            "strengths": [],
        },
        "export": {"run": runs[0]},
        "export:dense": {"run": None},
        "evaluate": {"key": "x"},
        "latency": {
            "plan": plan.to_dict(), **timing, "keys": {"onnxruntime": "b", "torch": "a"},
        },
        "staircase": {"group": _group_of(model), **timing, "runtime": "torch", "key": "s"},
        "staircase:onnxruntime": {
            "group": _group_of(model), **timing, "runtime": "onnxruntime", "key": "s",
        },
        "arena": {"settings": ArenaSettings().to_dict()},
        "arena:channel": {"settings": ArenaSettings(granularity="channel").to_dict()},
        "arena:obs": {"settings": ArenaSettings(
            methods=("uniform", "global"), criterion="obs").to_dict()},
        "floor": {**search, "floor": 0.5},
        "refine": {**search, "evaluations": 40, "curves": _shipped(model)},
        "latency_table": {},
        "latency_fit": {**search, "unit": "latency", "plan": _channels(), "kept": 0.8},
        "trade_off": {**search, "method": "cost_aware", "unit": "macs"},
        "method_costs": {"granularity": "weight"},
        "method_costs:channel": {"granularity": "channel"},
        "robustness": {"runs": runs, "settings": RobustnessSettings().to_dict()},
        "ensemble": {"runs": runs, "settings": EnsembleSettings().to_dict()},
        "class_metrics": {"run": runs[0]},
    }  # fmt: skip
    for method in ("obs", "taylor", "fisher", "wanda", "movement"):
        found[f"trying:{method}"] = {"settings": TryingSettings("criterion", method).to_dict()}
    for family, method in (("allocation", "optimal"), ("schedule", "iterative"),
                           ("finetuning", "distillation"), ("repair", "full")):  # fmt: skip
        found[f"trying:{method}"] = {"settings": TryingSettings(family, method).to_dict()}
    for replacement in ("int8_static", "int8_dynamic", "cluster", "nm", "channel_multiple"):
        settings = ReplacementSettings(method=replacement, samples=2000, tune_epochs=3)
        found[f"replacement:{replacement}"] = {"run": runs[0], "settings": [settings.to_dict()]}
    return {name: {**base, **values} for name, values in found.items()}


def _group_of(model: str) -> str:
    return {"digits-mlp": "hidden.0"}.get(model, "stages.0.0.conv1")


def _shipped(model: str) -> str:
    """The key of curves that ship with a model, or empty."""
    found = sample_curves(load_model(model), "weight")
    return key_of_curves(found[0]) if found else ""


def _channels() -> Request:
    return PruningPlan({}, granularity="channel").to_dict()


def prepare(store: Store, workspace: str, model: str) -> list[int]:
    """Runs for the jobs that need some, and times of the model."""
    numbers = []
    for name, sparsity in (("hidden.0", 0.5), ("hidden.1", 0.6)):
        layer = name if model == "digits-mlp" else {"hidden.0": "stages.0.0.conv1"}.get(
            name, "stages.1.0.conv1")  # fmt: skip
        request = requests_of(model, [0])["experiment"]
        request |= {"plan": PruningPlan({layer: sparsity}).to_dict(), "repair": "bn",
                    "finetune": None}  # fmt: skip
        made: Any = TASKS["experiment"](store, workspace, request, ignore, never)
        numbers.append(made["run"])
    timing = requests_of(model, [0])["latency_table"] | {"runtime": "torch"}  # no ONNX is written
    TASKS["latency_table"](store, workspace, timing, ignore, never)
    return numbers


class Gaps:
    """Times between two questions whether to stop, and what the code did meanwhile."""

    def __init__(self, most: float) -> None:
        self._most, self._begun = most, time.monotonic()
        self._last, self._over = self._begun, False
        self._main = threading.get_ident()
        self._places: list[str] = []
        self.found: list[tuple[float, str]] = []
        self.stopped_at = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def should_stop(self) -> bool:
        """Note the question; True after the allowed seconds."""
        now = time.monotonic()
        if not self.stopped_at:
            self._note(now)
            self._last = now
            if now - self._begun > self._most:
                self.stopped_at = now
        return bool(self.stopped_at)

    def end(self) -> None:
        """The work is over."""
        self._over = True
        if not self.stopped_at:
            self._note(time.monotonic())

    def _note(self, now: float) -> None:
        places, self._places = self._places, []
        if now - self._last > LONG:
            where = max(places, key=places.count) if places else "?"
            self.found.append((now - self._last, where))

    def _watch(self) -> None:
        while not self._over:
            time.sleep(0.05)
            if time.monotonic() - self._last > LONG / 2:
                frame = sys._current_frames().get(self._main)
                stack = [one for one in traceback.extract_stack(frame)
                         if "/workbench/" in one.filename]  # fmt: skip
                self._places.append(
                    " < ".join(
                        f"{Path(one.filename).stem}:{one.lineno}" for one in reversed(stack[-5:])
                    )
                )


def print_gaps(model: str, kinds: Callable[[str], bool], most: float) -> None:
    """The longest gaps of every kind, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        workspace = store.create_workspace()
        runs = prepare(store, workspace, model)
        for name, request in requests_of(model, runs).items():
            if not kinds(name):
                continue
            gaps = Gaps(most)
            begun, error = time.monotonic(), ""
            try:
                TASKS[name.split(":")[0]](store, workspace, request, ignore, gaps.should_stop)
            except Exception as problem:
                error = f"{type(problem).__name__}: {str(problem)[:90]}"
            gaps.end()
            ended = time.monotonic()
            after = f", ended {ended - gaps.stopped_at:.2f} s later" if gaps.stopped_at else ""
            print(f"{model} {name}: {ended - begun:.1f} s{after} {error}", flush=True)
            worst: dict[str, tuple[float, int]] = {}
            for seconds, where in gaps.found:
                longest, count = worst.get(where, (0.0, 0))
                worst[where] = (max(longest, seconds), count + 1)
            for where, (seconds, count) in sorted(worst.items(), key=lambda one: -one[1][0])[:4]:
                print(f"    {seconds:5.2f} s  x{count}  {where}", flush=True)


def press(jobs: Jobs, owner: str, kind: str, request: Request, after: float) -> str:
    """Press Stop some seconds after the work began; what came of it as a line."""
    view = jobs.submit(owner, kind, kind, request)
    while view.active and not view.message:
        time.sleep(0.01)
        view = jobs.get(owner, view.id) or view
    begun = time.monotonic()
    while view.active and time.monotonic() - begun < after:
        time.sleep(0.01)
        view = jobs.get(owner, view.id) or view
    if not view.active:
        return f"over before {after:.1f} s ({view.state}{': ' if view.error else ''}{view.error})"
    pressed = time.monotonic()
    jobs.stop(owner, view.id)
    while view.active:
        time.sleep(0.005)
        view = jobs.get(owner, view.id) or view
    return f"{time.monotonic() - pressed:5.2f} s  pressed at {after:.1f} s  {view.state}"


def moments(presses: int, most: float) -> Iterator[float]:
    """Seconds after the beginning, spread over the first ``most``; early ones lie closer."""
    for number in range(presses):
        yield most * ((number + 0.5) / presses) ** 2


def print_presses(model: str, kinds: Callable[[str], bool], presses: int, most: float) -> None:
    """Press Stop on every kind, each time in a worker process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        workspace = store.create_workspace()
        runs = prepare(store, workspace, model)
        jobs = Jobs(worker_command(store.folder), ledger=store.jobs)
        try:
            for name, request in requests_of(model, runs).items():
                if not kinds(name):
                    continue
                for after in moments(presses, most):
                    told = press(jobs, workspace, name.split(":")[0], request, after)
                    print(f"{model:16} {name:26} {told}", flush=True)
        finally:
            jobs.close()


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--kinds", nargs="*", default=[], help="kinds, or names such as trying:obs")
    parser.add_argument("--presses", type=int, default=3)
    parser.add_argument("--most", type=float, default=10.0)
    parser.add_argument("--gaps", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(2)

    def wanted(name: str) -> bool:
        return not asked.kinds or name in asked.kinds or name.split(":")[0] in asked.kinds

    for model in asked.models:
        if asked.gaps:
            print_gaps(model, wanted, asked.most)
        else:
            print_presses(model, wanted, asked.presses, asked.most)
    os._exit(0)  # as a worker ends: an exporter that was left may still be at work


if __name__ == "__main__":
    main()
