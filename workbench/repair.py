"""Repair: recovery after pruning that needs no labels and takes seconds."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workbench.data import Data
from workbench.device import on_device
from workbench.errors import SettingsError
from workbench.method import Method
from workbench.model import check_fit
from workbench.names import suggest
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.prune import Pruned
from workbench.reconstruct import RepairStep as RepairStep
from workbench.reconstruct import affordable_images, reconstruct_

NUM_SAMPLES = 2_000
BATCH = 250
JUDGING = 250
"""Images that judge which repair comes closest to the dense model."""
JUDGING_STATISTICS = 500
"""Images that give the statistics to be judged."""
_STOPPED = "It was stopped, so the model is as it was."


@dataclass(frozen=True, kw_only=True)
class Repair(Method):
    """One way to repair, and what is told of it."""


REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair(
            name="none",
            title="None",
            summary="Leaves the pruned model as it is.",
            explanation=(
                "The network is used as the cut left it: pruned weights are zero or gone, all "
                "others have their old values. What accuracy it has then is the raw price of the "
                "cut. It is the number to look at when criteria are compared by themselves, and "
                "the right choice where something else follows that recovers more, such as long "
                "fine-tuning. Everywhere else a repair gains much in seconds: the activations of "
                "a cut network have other means and spreads than those that its later layers "
                "were trained for."
            ),
            strengths="Takes no time and no data; shows what the cut itself did.",
            limits=(
                "At high sparsity the raw accuracy says little about what a plan is worth after "
                "recovery."
            ),
        ),
        Repair(
            name="bn",
            title="BatchNorm statistics",
            summary="Measures the mean and variance in every BatchNorm layer again on unlabelled "
            "images.",
            explanation=(
                "A BatchNorm layer subtracts a mean and divides by a spread that were measured "
                "while the dense network was trained. After a cut the values that arrive there "
                "are others, and the old statistics shift and stretch them wrongly, layer upon "
                "layer. This repair sends some unlabelled calibration images through the pruned "
                "network and takes the mean and variance of what arrives now. No weight changes "
                "and no label is needed. It often brings back most of the lost accuracy within a "
                "second; a network without BatchNorm has nothing to measure."
            ),
            formula=(
                r"\hat\mu_c = \frac{1}{N} \sum_{n} x_{n,c}, \quad "
                r"\hat\sigma_c^2 = \frac{1}{N} \sum_{n} (x_{n,c} - \hat\mu_c)^2"
            ),
            paper=(
                'Li et al. 2020, "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network '
                'Pruning", section 3.3'
            ),
            needs=("images",),
            options=("repair_samples",),
            strengths="Under a second, safe, and often most of what can be had without training.",
            limits="Needs BatchNorm layers; cannot make up for directions that are gone.",
        ),
        Repair(
            name="full",
            title="Full repair",
            summary="Solves every layer for the weights that give what the dense model gives on "
            "unlabelled images, by least squares.",
            explanation=(
                "Layer by layer, from the first to the last, the weights that are left are solved "
                "anew: which values give, from the inputs that the cut network really has here, "
                "outputs nearest to those of the dense network? That is a ridge regression on up "
                "to 2,000 unlabelled images, with a solution in closed form; pruned weights "
                "stay zero and removed channels stay gone. A weight that several places share is "
                "solved once for all of them; each use counts the same, by the part of its "
                "outputs' variance that it gets wrong. A step is kept only where it lowers "
                "the error, and the whole only where the result comes nearer to the dense "
                "network on images held out. It takes seconds and no labels."
            ),
            formula=(
                r"\min_{W} \; \lVert X W - Y_{\text{dense}} \rVert_F^2 "
                r"+ \lambda \lVert W - W_0 \rVert_F^2"
            ),
            paper=(
                'He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", '
                "section 3.1"
            ),
            needs=("images",),
            options=("repair_samples",),
            strengths="Recovers far more than statistics alone, above all after channels went.",
            limits=(
                "Seconds to a minute on large networks; with few images it can fit them too "
                "closely, which is why held-out images have the last word."
            ),
        ),
    )
}


def get_repair(name: str) -> Repair:
    """The repair of that name.

    Raises:
        SettingsError: If there is none.
    """
    if name not in REPAIRS:
        raise SettingsError(f"There is no repair {name!r}.", suggest(name, REPAIRS))
    return REPAIRS[name]


@dataclass(frozen=True)
class RepairRecord:
    """What a repair did: what ``repair`` returned, but for the model.

    Attributes:
        steps: What it did to each layer and what that gained; empty for other methods than full.
        chosen: The method whose result was taken: that asked for, or a milder one that came closer
            to the dense model.
        distances: Method to the distance of its class probabilities from those of the dense model
            on held-out calibration images (mean Kullback-Leibler divergence, in nats); empty where
            there was nothing to choose between.
        notes: What was left as it is and why.
    """

    steps: tuple[RepairStep, ...] = ()
    chosen: str = "none"
    distances: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "steps": [step.to_dict() for step in self.steps],
            "chosen": self.chosen,
            "distances": dict(self.distances),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RepairRecord":
        """The reverse of ``to_dict``."""
        steps = tuple(RepairStep.from_dict(step) for step in values["steps"])
        return cls(**dict(values) | {"steps": steps, "notes": tuple(values["notes"])})


@dataclass(frozen=True, eq=False)
class Repaired:
    """A repaired model and how it got there.

    Attributes:
        pruned: The model with its masks; the very one given where nothing was changed.
        record: What was done.
        seconds: Time from start to end.
    """

    pruned: Pruned
    record: RepairRecord
    seconds: float

    @property
    def steps(self) -> tuple[RepairStep, ...]:
        """What was done to each layer."""
        return self.record.steps

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left as it is and why."""
        return self.record.notes


def repair(
    pruned: Pruned, data: Data, method: str, *, num_samples: int = NUM_SAMPLES, seed: int = 0,
    device: torch.device | str = "cpu", report: Report = ignore, should_stop: ShouldStop = never,
) -> Repaired:  # fmt: skip
    """Recover a pruned model on calibration images, without their labels.

    ``bn`` leaves a model without BatchNorm unchanged. ``full`` takes the reconstructed model only
    if it comes closer to the dense one than the pruned model and the one with new statistics, on
    calibration images that were held out.

    Args:
        pruned: The pruned model; it stays as it is.
        data: Its calibration split is used.
        method: A name in ``REPAIRS``.
        num_samples: Calibration images, at least 2; ``full`` takes fewer where they are large or
            each already says much.
        seed: Chooses the images and the places that are looked at.
        device: Where to run.
        report: Hears of every batch and every layer.
        should_stop: True ends within about a second; the model comes back as it was.

    Raises:
        SettingsError: If the method is unknown or there are too few images.
        DataError: If the data do not fit the model.
    """
    start = time.perf_counter()
    module: nn.Module | None
    get_repair(method)
    if num_samples < 2:
        raise SettingsError(f"Repair got {num_samples} images.", "Choose at least 2.")
    if method == "none" or (method == "bn" and not has_batch_norm(pruned.model.module)):
        return Repaired(pruned, RepairRecord(), 0.0)
    check_fit(pruned.model, data)
    if method == "full":
        place = torch.device(device)
        place = torch.device("cpu") if place.type == "mps" else place  # it has no double precision
        work = _FullRepair(pruned, data, num_samples, seed, place)
        module, record = work.run(report, should_stop)
    else:
        module = pruned.model.copy_module().to(device)
        images = data.split("calibration", num_samples, seed).images.to(device)
        done = reestimate_batch_norm_(module, images, report, should_stop)
        record = RepairRecord(chosen="bn") if done else RepairRecord(notes=(_STOPPED,))
        module = module if done else None
    if module is not None:
        pruned = pruned.with_module(module.cpu())
    return Repaired(pruned, record, time.perf_counter() - start)


class _FullRepair:
    """Reconstruction, judged on held-out images beside what costs less."""

    def __init__(
        self, pruned: Pruned, data: Data, num_samples: int, seed: int, device: torch.device
    ) -> None:  # fmt: skip
        self._pruned, self._seed = pruned, seed
        self._raw = on_device(pruned.model.module, device)
        self._dense = on_device(pruned.dense.module, device)
        few = data.split("calibration", 2, seed).images.to(device)
        count = affordable_images(self._raw, self._dense, few, num_samples)
        images = data.split("calibration", count, seed).images.to(device)
        judging = min(JUDGING, len(images) // 8) or len(images)
        self._judging = images[-judging:]
        self._fitting = images[:-judging] if judging < len(images) else images

    def run(
        self, report: Report, should_stop: ShouldStop
    ) -> tuple[nn.Module | None, RepairRecord]:  # fmt: skip
        """The repaired module and what was done; no module where nothing is better."""
        module = copy.deepcopy(self._raw)
        try:
            return self._judged(module, report, should_stop)
        except StoppedError:
            return None, RepairRecord(notes=(_STOPPED,))

    def _judged(
        self, module: nn.Module, report: Report, should_stop: ShouldStop
    ) -> tuple[nn.Module | None, RepairRecord]:  # fmt: skip
        """Reconstruct a module in place, and take what comes closest to the dense one."""
        done = reconstruct_(
            module, self._dense, self._fitting, masks=self._pruned.masks,
            kept=self._pruned.kept_outputs, report=report, should_stop=should_stop,
            seed=self._seed,
        )  # fmt: skip
        if done is None:
            raise StoppedError
        modules: dict[str, nn.Module | None] = {"none": None, "full": module}
        if has_batch_norm(self._raw):
            few = self._fitting[:JUDGING_STATISTICS]
            modules["bn"] = self._with_statistics(few, should_stop)
        wanted = _log_probabilities(self._dense, self._judging, should_stop)
        distances = {
            name: _distance(
                wanted, _log_probabilities(candidate or self._raw, self._judging, should_stop)
            )
            for name, candidate in modules.items()
        }
        chosen = min(distances, key=lambda name: (distances[name], name != "none"))
        if chosen == "bn":
            modules["bn"] = self._with_statistics(self._fitting, should_stop)
        return modules[chosen], RepairRecord(done.steps, chosen, distances, done.notes)

    def _with_statistics(self, images: Tensor, should_stop: ShouldStop) -> nn.Module:
        module = copy.deepcopy(self._raw)
        if not reestimate_batch_norm_(module, images, should_stop=should_stop):
            raise StoppedError
        return module


@torch.no_grad()
def _log_probabilities(module: nn.Module, images: Tensor, should_stop: ShouldStop) -> Tensor:
    """``(samples, classes)``; scores that are no numbers make every class unlikely."""
    found = []
    for batch in images.split(BATCH):
        raise_if_stopped(should_stop)
        found.append(module(batch))
    scores = torch.cat(found)
    return scores.double().log_softmax(1).nan_to_num(nan=-1e3, neginf=-1e3)


def _distance(wanted: Tensor, found: Tensor) -> float:
    """Mean Kullback-Leibler divergence of log-probabilities ``(samples, classes)``, in nats."""
    return float((wanted.exp() * (wanted - found)).sum(1).mean())


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps BatchNorm statistics."""
    return bool(_batch_norms(module))


@torch.no_grad()
def reestimate_batch_norm_(
    module: nn.Module, images: Tensor, report: Report = ignore, should_stop: ShouldStop = never
) -> bool:  # fmt: skip
    """Measure the statistics of every BatchNorm again, in place; leaves the module in eval mode.

    Each statistic becomes the plain average over batches of equal size; everything but BatchNorm
    runs in eval mode.

    Args:
        module: The network, on the device of the images.
        images: ``(samples, channels, height, width)``, at least 2.
        report: Hears of every batch.
        should_stop: Asked before every batch; True ends with statistics of those so far.

    Returns:
        Whether all batches were seen.

    Reference:
        Li et al. 2020, "EagleEye", section 3.3 (adaptive batch normalisation).
    """
    module.eval()
    norms = _batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the average of all batches
            norm.train()
        batches = images.tensor_split(max(1, len(images) // BATCH))
        for number, batch in enumerate(batches, 1):
            if should_stop():
                return False
            module(batch)
            report(Progress(number, len(batches), "Measuring BatchNorm statistics"))
        return True
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]
