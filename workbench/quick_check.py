"""A quick check: what a plan really does, measured on a few hundred images in well under a second.

The network is written down once as a list of calls (see ``workbench.tape``). What every image gave
on its way through the plan that was checked last is kept at some places, so that the next check
begins at the last of them before the first layer whose weights are others now. The dense network
has classified every validation image beforehand: each image is compared with itself, which makes a
few hundred say about as much as thousands alone would (see ``workbench.sampling``).
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.data import Data
from workbench.device import on_device
from workbench.groups import Groups, find_groups
from workbench.layers import inspect
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.progress import ShouldStop, never, raise_if_stopped
from workbench.prune import build_masks, prune
from workbench.quick_replay import BATCH, Replay
from workbench.repair import BATCH as REPAIR_BATCH
from workbench.repair import get_repair, has_batch_norm, repair
from workbench.sampling import DenseOutputs, PairedSample
from workbench.sweep import even_parts, spread
from workbench.tape import UnrepeatableError

WORK = 16_000_000_000
"""Multiply-accumulates for each of the two passes, through calibration and validation images."""
LEAST_IMAGES = 100
MOST_IMAGES, MOST_CALIBRATION = 2_000, 1_000
MOST_DENSE = 5
"""The dense network classifies so many times the images that a check looks at."""
FULL_REPAIR_SAMPLES = 500
"""Calibration images of a full repair."""
KEPT_BYTES = 192 * 2**20
"""Most that is kept of what the images gave on their way, about; twice that during a check."""


@dataclass(frozen=True)
class Check:
    """What a quick check found.

    Attributes:
        loss: Mean cross-entropy on all validation images, estimated from those looked at, in nats;
            infinite where an output is not finite.
        accuracy: Fraction of all validation images classified correctly, estimated likewise.
        ci_low: Lower end of the 95 % interval of that accuracy.
        ci_high: Upper end.
        samples: Validation images that the pruned model looked at.
        repair: What was done before; a name in ``REPAIRS``.
        calibration: Calibration images that served for it.
        baseline: Loss and accuracy of the dense model on all validation images.
        seconds: How long it took.
    """

    loss: float
    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    repair: str
    calibration: int
    baseline: tuple[float, float]
    seconds: float


class QuickChecker:
    """A model and images, ready to measure one plan after the other.

    Not for use from several threads at once.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is classified, its calibration split serves for repair.
        num_samples: Validation images that a check looks at; by the size of the model if None.
        num_calibration: Calibration images of a BatchNorm re-estimation, likewise.
        seed: Orders the images.
        device: Where to run.
        kept_bytes: Most that is kept from one check to the next, about.

    Raises:
        DataError: If the data do not fit the model.
    """

    def __init__(
        self, model: Model, data: Data, *, num_samples: int | None = None,
        num_calibration: int | None = None, seed: int = 0, device: torch.device | str = "cpu",
        kept_bytes: int = KEPT_BYTES,
    ) -> None:  # fmt: skip
        model = with_data(model, data)
        self._model, self._data, self._seed = model, data, seed
        self._device, self._kept_bytes = torch.device(device), kept_bytes
        usual = affordable_images(model)
        self._num_samples = num_samples or usual
        self._num_calibration = max(2, num_calibration or min(usual, MOST_CALIBRATION))
        self._dense: DenseOutputs | None = None
        self._replay: Replay | None = None
        self._images: Tensor | None = None
        self._classified: dict[int, Tensor] = {}  # by where the batch begins
        self._groups: dict[str, Groups] = {}

    def prepare(self, should_stop: ShouldStop = never) -> DenseOutputs:
        """Classify images with the dense network and write it down as calls, once.

        A check does it where it was not done before.

        Raises:
            StoppedError: Where it should stop.
        """
        if self._dense is None:
            most = MOST_DENSE * self._num_samples
            split = self._data.split("validation", most, self._seed)
            module = on_device(self._model.module, self._device)
            if self._images is None:
                self._images = split.images[: self._num_samples]
                self._replay = self._recorded(module, self._images)
            done, replay = self._classified, self._replay
            scores = self._classify(module, split.images, should_stop, replay, done)
            self._dense = DenseOutputs(scores, split.labels)
            done.clear()
        return self._dense

    def _recorded(self, module: torch.nn.Module, images: Tensor) -> Replay | None:
        """The network as a list of calls; None if it cannot be replayed."""
        calibration: tuple[Tensor, ...] = ()
        if has_batch_norm(module):
            found = self._data.split("calibration", self._num_calibration, self._seed).images
            calibration = found.tensor_split(max(1, len(found) // REPAIR_BATCH))
        try:
            return Replay(module, images, calibration, self._device, self._kept_bytes)
        except UnrepeatableError:
            return None

    def check(
        self, plan: PruningPlan, repair: str = "bn", groups: Groups | None = None,
        should_stop: ShouldStop = never,
    ) -> Check:  # fmt: skip
        """Prune, repair, and classify a few hundred validation images.

        The numbers are those of ``prune``, ``repair`` and classifying the same images, within
        float error.

        Args:
            plan: What to prune.
            repair: What to do before measuring; ``bn`` is ``none`` for a model without BatchNorm.
                ``full`` takes seconds.
            groups: What ``find_groups(model, plan.granularity)`` returned, to spare a second look.
            should_stop: Asked before every pass.

        Raises:
            PlanError: If the plan does not fit the model.
            SettingsError: If there is no such repair.
            StoppedError: Where it should stop.
        """
        start = time.perf_counter()
        get_repair(repair)
        dense = self.prepare(should_stop)
        if repair == "bn" and not has_batch_norm(self._model.module):
            repair = "none"
        groups = groups or self._found_groups(plan.granularity)
        if repair == "full" or self._replay is None:
            scores, calibration = self._plainly(plan, repair, groups, should_stop)
        else:
            weights = self._cut_weights(plan, groups, should_stop)
            scores = self._replay.scores(weights, repair == "bn", should_stop)
            calibration = self._replay.num_calibration if repair == "bn" else 0
        sample = PairedSample(dense)
        sample.add(torch.arange(len(scores)), scores)
        found, base = sample.estimate(), dense.baseline
        return Check(
            found.loss, found.accuracy, found.low, found.high, found.samples, repair, calibration,
            (base.loss, base.accuracy), time.perf_counter() - start,
        )  # fmt: skip

    def _found_groups(self, granularity: str) -> Groups:
        if granularity not in self._groups:
            self._groups[granularity] = find_groups(self._model, granularity)
        return self._groups[granularity]

    def _cut_weights(
        self, plan: PruningPlan, groups: Groups, should_stop: ShouldStop
    ) -> dict[str, Tensor]:
        """The weights that the plan changes, by name."""
        model = self._model.asking(should_stop)
        masks = build_masks(model, plan, groups) if plan.sparsities else {}
        return {
            name: self._model.module.get_parameter(name)
            .detach()
            .masked_fill(~mask, 0)
            .to(self._device)
            for name, mask in masks.items()
            if not bool(mask.all())
        }

    def _plainly(
        self, plan: PruningPlan, method: str, groups: Groups, should_stop: ShouldStop
    ) -> tuple[Tensor, int]:  # fmt: skip
        """Class scores of the images, and calibration images, without replaying anything."""
        count = FULL_REPAIR_SAMPLES if method == "full" else self._num_calibration
        repaired = repair(
            prune(self._model.asking(should_stop), plan, groups), self._data, method,
            num_samples=count,
            seed=self._seed, device=self._device, should_stop=should_stop,
        )  # fmt: skip
        module = on_device(repaired.pruned.model.module, self._device)
        assert self._images is not None
        scores = self._classify(module, self._images, should_stop)
        calibration = len(self._data.split("calibration", count, self._seed).images)
        return scores, calibration if method != "none" else 0

    def _classify(
        self, module: torch.nn.Module, images: Tensor, should_stop: ShouldStop,
        replay: Replay | None = None, done: dict[int, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        """Class scores ``(samples, classes)`` by a module, call by call as far as it has a tape.

        What is in ``done`` is not classified again; the rest is put there batch by batch.
        """
        done = {} if done is None else done

        @torch.inference_mode()
        def one(place: slice) -> Tensor:
            if place.start not in done:
                raise_if_stopped(should_stop)
                batch = images[place].to(self._device)
                tape = replay.tapes.get(len(batch)) if replay else None
                scores: Tensor = tape.run(batch)[0] if tape else module(batch)
                done[place.start] = scores.float().cpu()
            return done[place.start]

        return torch.cat(spread(one, even_parts(len(images), BATCH), self._device))


def affordable_images(model: Model) -> int:
    """How many images of each split a check has time for."""
    count = WORK // max(1, inspect(model).macs)
    whole = count // LEAST_IMAGES * LEAST_IMAGES  # batches of one size are quickest
    return max(LEAST_IMAGES, min(MOST_IMAGES, whole))
