"""A sweep: many cuts of one network, measured on the same images by replaying what they change.

Each batch of images goes through the dense network once; of every cut only the calls behind it are
done again (see ``workbench.tape``). Batches are spread over the processor's cores.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from workbench.curves import SensitivitySettings
from workbench.data import Data, Split
from workbench.device import on_device
from workbench.groups import Groups
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import ShouldStop, never, raise_if_stopped
from workbench.prune import build_masks
from workbench.repair import BATCH as REPAIR_BATCH
from workbench.repair import has_batch_norm
from workbench.tape import Statistics, Tape, UnrepeatableError, Values

REPAIR_SAMPLES = 2_000
"""Calibration images of a BatchNorm re-estimation."""
_CACHE_BYTES = 8 * 2**20
_HELD_BYTES = 512 * 2**20
"""Most that is held of what the dense network gave, to spare a pass through it."""
_LEAST_BATCH, _MOST_BATCH = 32, 500
_SHARES = 4
"""Several batches come in multiples of this, so that 2 or 4 cores end together; the same on every
machine, so that the numbers are."""
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Cut:
    """What a cut changes of the dense network.

    Attributes:
        weights: Parameter name to its tensor with zeros.
        statistics: BatchNorm's means and variances after repair, by name.
    """

    weights: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def num_weights(self) -> int:
        """Entries of the changed weights."""
        return sum(tensor.numel() for tensor in self.weights.values())

    @property
    def changed(self) -> dict[str, Tensor]:
        """Everything that differs from the dense network, by name."""
        return {**self.weights, **self.statistics}


class Sweep:
    """A network and images, ready to be classified under many cuts.

    Args:
        model: The dense model; it stays as it is.
        data: Its validation split is classified; its calibration split serves for repair.
        settings: Images, criterion, granularity, repair (``none`` or ``bn``) and seed.
        groups: What ``find_groups(model, settings.granularity)`` returned.
        device: Where to run.
        should_stop: Asked before every pass; True raises ``StoppedError`` there.
        repair_samples: Calibration images of a BatchNorm re-estimation.

    Raises:
        UnrepeatableError: If the network cannot be replayed.

    Attributes:
        split: The images that are classified, and their labels.
        batches: Where each batch of them lies.
    """

    def __init__(
        self, model: Model, data: Data, settings: SensitivitySettings, groups: Groups,
        device: torch.device | str = "cpu", should_stop: ShouldStop = never,
        repair_samples: int = REPAIR_SAMPLES,
    ) -> None:  # fmt: skip
        self._model, self._settings, self._groups = model, settings, groups
        self._device, self._should_stop = torch.device(device), should_stop
        self._module = on_device(model.module, device)
        self.split: Split = data.split("validation", settings.num_samples, settings.seed)
        images = self.split.images
        self._tapes: dict[int, Tape] = {}
        self._held: dict[int, Values] = {}
        self._held_bytes, self._lock = 0, threading.Lock()
        few = self._tape(images[: min(len(images), 8)].to(self._device))
        each = few.activation_bytes // few.batch_size
        size = min(_MOST_BATCH, max(_LEAST_BATCH, _CACHE_BYTES // max(1, each)))
        self.batches = even_parts(len(images), size, _SHARES)
        self._calibration: tuple[Tensor, ...] = ()
        if settings.repair == "bn" and has_batch_norm(self._module):
            calibration = data.split("calibration", repair_samples, settings.seed).images
            count = max(1, len(calibration) // REPAIR_BATCH)
            self._calibration = calibration.tensor_split(count)
        self._dense = Cut()
        for part in {len(images[self.batches[0]]), len(images[self.batches[-1]])}:
            self._tape(images[:part].to(self._device))
        for batch in self._calibration[:1] + self._calibration[-1:]:
            self._tape(batch.to(self._device))

    def _tape(self, images: Tensor) -> Tape:
        size = len(images)
        if size not in self._tapes:
            other = next(iter(self._tapes.values()), None)
            self._tapes[size] = Tape(self._module, images, other)
        return self._tapes[size]

    # Cuts

    def plan(self, group: str, level: float) -> PruningPlan:
        """The plan that cuts one group."""
        settings = self._settings
        return PruningPlan(
            {group: level} if group else {}, settings.granularity, settings.criterion,
            seed=settings.seed,
        )  # fmt: skip

    def cut(self, plan: PruningPlan) -> Cut:
        """What a plan changes, before repair."""
        masks = build_masks(self._model, plan, self._groups) if plan.sparsities else {}
        weights = {}
        for name, mask in masks.items():
            if not bool(mask.all()):
                tensor = self._module.get_parameter(name).detach()
                weights[name] = tensor * mask.to(tensor.device)
        return Cut(weights)

    def repair(self, cuts: Sequence[Cut]) -> list[Cut]:
        """The same cuts after the repair that the settings ask for, all in one go."""
        if not self._calibration:
            return [*cuts]
        names = [self._closed(cut.weights) for cut in cuts]
        everything = [Statistics() for _ in range(len(cuts) + 1)]
        keep = self._needs(names)

        def estimate(batch: Tensor) -> list[Statistics]:
            found = [Statistics() for _ in everything]
            tape = self._tape(batch)
            _, values = tape.run(batch.to(self._device), keep[len(batch)], found[0])
            for own, cut, begin in zip(found[1:], cuts, names, strict=True):
                self._raise_if_stopped()
                tape.rerun(values, cut.weights, own, begin)
            return found

        for found in self._spread(estimate, self._calibration):
            for total, part in zip(everything, found, strict=True):
                total.add(part)
        self._dense = Cut({}, everything[0].buffers())
        return [
            Cut(cut.weights, own.buffers()) for cut, own in zip(cuts, everything[1:], strict=True)
        ]

    # Classifying

    def classify(
        self, cuts: Sequence[Cut], take: Callable[[slice, int, Tensor], T],
        batches: Iterable[slice] | None = None,
    ) -> list[list[T]]:  # fmt: skip
        """Class scores of images under every cut.

        Args:
            cuts: Repaired; one without changes is the dense network (after the same repair).
            take: Gets where the batch lies, the number of the cut, and class scores
                ``(samples, classes)`` on the CPU; may be called from several threads.
            batches: Which; all if None.

        Returns:
            For each batch what ``take`` made of every cut.
        """
        names = [self._closed(cut.weights) for cut in cuts]
        keep = self._needs(names)

        def run(place: slice) -> list[T]:
            images = self.split.images[place].to(self._device)
            tape = self._tape(images)
            self._raise_if_stopped()
            values = self._dense_values(place.start, images, tape, keep[len(images)])
            found = []
            for number, (cut, begin) in enumerate(zip(cuts, names, strict=True)):
                self._raise_if_stopped()
                scores = tape.rerun(values, cut.changed if begin else {}, names=begin)
                found.append(take(place, number, scores.float().cpu()))
            return found

        return self._spread(run, self.batches if batches is None else batches)

    def _dense_values(self, start: int, images: Tensor, tape: Tape, keep: frozenset[int]) -> Values:
        """What reruns need of the dense network for a batch: held from before, or computed."""
        values = self._held.get(start, {})
        if keep <= values.keys():
            return values
        _, values = tape.run(images, keep, changed=self._dense.statistics)
        size = sum(value.numel() * value.element_size() for value in values.values())
        with self._lock:
            before = self._held.pop(start, {})
            self._held_bytes -= sum(v.numel() * v.element_size() for v in before.values())
            if not self._calibration and self._held_bytes + size <= _HELD_BYTES:
                self._held[start] = values
                self._held_bytes += size
        return values

    def plain_scores(self, cut: Cut, numbers: Tensor) -> Tensor:
        """Class scores ``(samples, classes)`` of a few images by the network as it was written.

        Args:
            cut: Repaired.
            numbers: Of the images in the split, ``(samples,)``.
        """
        images = self.split.images[numbers].to(self._device)
        changed = {**self._dense.statistics, **cut.changed}
        with torch.inference_mode():
            scores = functional_call(self._module, changed, (images,))
        return scores.float().cpu()

    def _closed(self, weights: Collection[str]) -> frozenset[str]:
        """What a rerun begins with: the changed weights, and statistics shared with them."""
        tape = next(iter(self._tapes.values()))
        return tape.closed(weights) if self._calibration else frozenset(weights)

    def _needs(self, names: Sequence[frozenset[str]]) -> dict[int, frozenset[int]]:
        """For each batch size the slots that reruns read."""
        distinct: set[frozenset[str]] = {*names, frozenset()}
        return {
            size: frozenset().union(*(tape.needs(one) for one in distinct))
            for size, tape in self._tapes.items()
        }

    def _raise_if_stopped(self) -> None:
        raise_if_stopped(self._should_stop)

    def _spread(self, work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        return spread(work, parts, self._device)


def sweep_of(
    model: Model, data: Data, settings: SensitivitySettings, groups: Groups,
    device: torch.device | str = "cpu", should_stop: ShouldStop = never,
    repair_samples: int = REPAIR_SAMPLES,
) -> Sweep | None:  # fmt: skip
    """A sweep, or None where points cannot be measured by replaying.

    That is so after full repair, which changes the network before and behind every cut, and where
    the way through the network depends on the values of tensors.
    """
    if settings.repair == "full":
        return None
    try:
        return Sweep(model, data, settings, groups, device, should_stop, repair_samples)
    except UnrepeatableError:
        return None


def why_not_replayed(model: Model) -> str:
    """Why a network has to be run as a whole for every cut, a sentence; empty where it has not."""
    images = torch.zeros(2, *model.input_shape)
    try:
        Tape(on_device(model.module, "cpu"), images)
    except UnrepeatableError as error:
        return str(error)
    return ""


def spread(work: Callable[[T], R], parts: Iterable[T], device: torch.device) -> list[R]:
    """Do work on every part, on as many cores as PyTorch would use; results in order."""
    parts, threads = [*parts], torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(work, parts))
    finally:  # also where a part failed or a person pressed Ctrl+C: what has not begun never does
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def even_parts(count: int, most: int, shares: int = 1) -> list[slice]:
    """Cut a row into parts of at most ``most``, as even as can be, the larger ones first.

    Args:
        count: Length of the row, at least 1.
        most: Longest part.
        shares: Several parts come in multiples of this.
    """
    number = max(1, -(-count // most))
    if number > 1:
        number = min(count, -(-number // shares) * shares)
    sizes = [count // number + (i < count % number) for i in range(number)]
    ends = [sum(sizes[: i + 1]) for i in range(number)]
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]
