"""How everybody in an arena is pruned, repaired, trained and measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.allocation import LatencyTable
from workbench.arena.contenders import allocated
from workbench.arena.settings import ArenaSettings
from workbench.cost_trade_off import LEARNT, learn_trade_off
from workbench.curves import SensitivityCurves
from workbench.data import Data, Split, SplitName
from workbench.finetune import finetune
from workbench.groups import Groups
from workbench.metrics import Score, score
from workbench.model import Model
from workbench.plan import PruningPlan, digest_of_json
from workbench.progress import Progress, Report, ShouldStop
from workbench.prune import Pruned, prune
from workbench.refine import refine
from workbench.repair import repair
from workbench.speedup import measure_speedup
from workbench.trials import TrialSettings

REFINING_SAMPLES = 2_000
LEARNING_SAMPLES = 1_000
PARTS = 1_000
"""Steps of progress in one measurement."""


@dataclass(frozen=True)
class Measured:
    """What is remembered of a plan: see ``ArenaEntry``."""

    score: Score
    hits: str
    seconds: float = 0.0
    latency: float | None = None


class Bench:
    """Prunes, repairs, trains and measures, everybody alike."""

    def __init__(
        self, model: Model, data: Data, settings: ArenaSettings, groups: Groups,
        curves: SensitivityCurves | None, latencies: LatencyTable | None, split: SplitName,
        device: torch.device | str, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._model, self._data, self._settings, self.groups = model, data, settings, groups
        self._curves, self._latencies = curves, latencies
        self._device, self._should_stop = device, should_stop
        images = data.split(split, settings.num_samples, settings.seed)
        placed = images.images.to(device).to(memory_format=torch.channels_last)
        self._images = Split(images.name, placed, images.labels)
        asked = settings.to_dict()
        self.key = digest_of_json({
            "model": model.digest, "data": data.digest, "split": split,
            **{k: asked[k] for k in ("seed", "repair", "finetune", "num_samples", "timed")},
            "runtime": latencies.runtime if latencies and settings.timed else "",
            "repair_samples": settings.repair_samples if settings.repair == "full" else 0,
        })  # fmt: skip

    def measure_dense(self, report: Report) -> Measured | None:
        """Measure the dense model; None where stopped."""
        return self._scored(self._model, 0.0, None, report)

    def measure(self, plan: PruningPlan, report: Report) -> Measured | None:
        """Measure a plan; None where stopped."""
        start = time.perf_counter()
        pruned = prune(self._model, plan, self.groups)
        made = self._recovered(pruned, _share(report, 0.0, 0.8))
        seconds = round(time.perf_counter() - start, 3)
        if self._should_stop():
            return None
        latency = self._timed(made.model) if self._settings.timed else None
        return self._scored(made.model, seconds, latency, _share(report, 0.8, 1.0))

    def refine(
        self, plan: PruningPlan, rivals: Sequence[PruningPlan], report: Report
    ) -> PruningPlan | None:  # fmt: skip
        """Refine the best of a plan and its rivals by measured moves; None where stopped.

        Validation images decide.
        """
        settings = self._settings
        if self._curves is None:
            return plan
        found = refine(
            self._model, self._data, plan, self._curves, settings.unit, groups=self.groups,
            rivals=rivals, evaluations=settings.refine, latencies=self._latencies,
            device=self._device, bounds=settings.bounds, locked=settings.locked,
            settings=TrialSettings(settings.repair, REFINING_SAMPLES, settings.seed),
            report=report, should_stop=self._should_stop,
        )  # fmt: skip
        return None if self._should_stop() else found.plan

    def learn(self, factor: float, report: Report) -> PruningPlan | None:
        """The cost-aware plan of the exponent that loses least at a budget; None where stopped.

        Validation images decide, after the repair that everybody gets.
        """
        settings = self._settings
        found = learn_trade_off(
            self._model, self._data,
            lambda trade_off: allocated(
                self._model, self.groups, settings, LEARNT, factor, latencies=self._latencies,
                trade_off=trade_off,
            ),
            groups=self.groups,
            settings=TrialSettings(settings.repair, LEARNING_SAMPLES, settings.seed),
            device=self._device, report=report, should_stop=self._should_stop,
        )  # fmt: skip
        return None if found is None or self._should_stop() else found.plan

    def _recovered(self, pruned: Pruned, report: Report) -> Pruned:
        settings = self._settings
        trains = settings.finetune is not None
        repaired = repair(
            pruned, self._data, settings.repair, num_samples=settings.repair_samples,
            seed=settings.seed, device=self._device, should_stop=self._should_stop,
            report=_share(report, 0.0, 0.3 if trains else 1.0),
        )  # fmt: skip
        if settings.finetune is None or self._should_stop():
            return repaired.pruned
        return finetune(
            repaired.pruned, self._data, settings.finetune, device=self._device,
            gentle=repaired.record.chosen == "full", report=_share(report, 0.3, 1.0),
            should_stop=self._should_stop,
        ).pruned  # fmt: skip

    def _timed(self, model: Model) -> float | None:
        way = self._latencies
        found = measure_speedup(
            self._model, model, runtime=way.runtime if way else "torch",
            batch=way.batch if way else 1, threads=way.threads if way else 1,
            should_stop=self._should_stop,
        )  # fmt: skip
        return None if found is None else 1 / found.measured_speedup

    def _scored(
        self, model: Model, seconds: float, latency: float | None, report: Report
    ) -> Measured | None:  # fmt: skip
        module = model.copy_module().to(self._device).eval()
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        noting = _Noting(module).eval()
        found = score(
            noting, self._images, device=self._device, report=report,
            should_stop=self._should_stop,
        )  # fmt: skip
        if found.samples < len(self._images):
            return None
        return Measured(found, noting.hits(self._images.labels), seconds, latency)


class _Noting(nn.Module):
    """Passes on what a network says and notes the classes.

    Args:
        network: Gives ``(batch, classes)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self._classes: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """What the network says; scores that hold a NaN are no class."""
        outputs: Tensor = self._network(images)
        unclear = outputs.isnan().any(1)
        self._classes.append(outputs.argmax(1).masked_fill(unclear, -1).cpu())
        return outputs

    def hits(self, labels: Tensor) -> str:
        """The images whose class was recognised, as a hexadecimal number, one bit an image."""
        right = (torch.cat(self._classes) == labels).tolist()
        return f"{int(''.join('01'[hit] for hit in right), 2):x}"


def _share(report: Report, start: float, end: float) -> Report:
    """The report of a part of some work: its steps run from one share of the whole to another."""

    def retold(progress: Progress) -> None:
        share = progress.done / progress.total if progress.total else 0.0
        done = start + (end - start) * min(1.0, share)
        report(Progress(int(PARTS * done), PARTS, progress.message))

    return retold
