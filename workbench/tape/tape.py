"""The tape itself: recording, running, running a part again."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench.tape.fuse import FusedConv, can_fuse, fuse, norm_of
from workbench.tape.nodes import IMAGES, Call, Stretch, stretch_of
from workbench.tape.record import UnrepeatableError, record_calls

Values = Mapping[int, Tensor]
"""What a run kept: slot number to tensor."""
_TOLERANCE = 1e-3
"""Largest difference of a class score, against the largest score, that rounding may make."""


class Tape:
    """A network as a straight list of torch calls, for batches of one size.

    Convolutions take the BatchNorm and the ReLU behind them along (see ``workbench.tape.fuse``),
    images and weights lie channels last. The tensors are those of the network as it was when it
    was recorded; changed ones are given to ``rerun``.

    Args:
        module: In eval mode, on the device of the images; it stays as it is.
        images: A batch ``(samples, channels, height, width)``; others of its size can be run.
        shared: A tape of the same module for another batch size, to share its tensors.

    Raises:
        UnrepeatableError: If the network cannot be replayed call by call, with the reason.

    Attributes:
        batch_size: Images in a batch.
        activation_bytes: Size of the largest tensor on the way, in bytes.
    """

    def __init__(self, module: nn.Module, images: Tensor, shared: "Tape | None" = None) -> None:
        own = [*module.named_parameters(remove_duplicate=False),
               *module.named_buffers(remove_duplicate=False)]  # fmt: skip
        names: dict[int, str] = {}
        self._name_of = {name: names.setdefault(id(tensor), name) for name, tensor in own}
        self.tensors: Mapping[str, Tensor] = shared.tensors if shared else {
            name: _channels_last(tensor.detach())
            for name, tensor in own if self._name_of[name] == name
        }  # fmt: skip
        placed = _channels_last(images)
        recording = record_calls(module, placed, names)
        calls = recording.calls
        if can_fuse(images.device):
            calls = fuse(recording, self.tensors)
        self._scores = recording.scores
        self._calls = _needed(calls, self._scores)
        self.batch_size = len(images)
        self.activation_bytes = 4 * max(map(_numel, recording.shapes.values()))
        self._stretches: dict[frozenset[str], Stretch] = {}
        self._whole = stretch_of(self._calls, frozenset({self._scores}))
        self._folded: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._check(placed, recording.values)

    def _check(self, images: Tensor, wanted: Tensor) -> None:
        found, _ = self.run(images)
        largest = float(wanted.nan_to_num(0, 0, 0).abs().max()) if wanted.numel() else 0.0
        if not torch.allclose(
            found, wanted, rtol=0, atol=_TOLERANCE * max(1e-3, largest), equal_nan=True
        ):
            raise UnrepeatableError("Run call by call, the network gives other class scores.")

    def stretch(self, names: Iterable[str]) -> Stretch:
        """The calls that changed tensors can change.

        Args:
            names: Of parameters and buffers in the state dict.
        """
        key = frozenset(self._name_of[name] for name in names)
        if key not in self._stretches:
            touched: set[int] = set()
            calls = []
            for call in self._calls:
                if call.named & key or call.reads & touched:
                    calls.append(call)
                    touched.update(call.makes)
            self._stretches[key] = stretch_of(tuple(calls), frozenset({self._scores}))
        return self._stretches[key]

    def run(
        self, images: Tensor, keep: Collection[int] = (), statistics: "Statistics | None" = None,
        changed: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Values]:  # fmt: skip
        """Classify a batch, and keep what parts run later will need.

        Args:
            images: ``(batch_size, channels, height, width)``.
            keep: Slots to keep: the union of ``stretch(...).needs``.
            statistics: Where given, every BatchNorm works with the statistics of the batch, which
                are added there.
            changed: Parameters and buffers that differ from the network's, by name.

        Returns:
            Class scores ``(batch_size, classes)`` and the kept values.
        """
        values = {IMAGES: _channels_last(images)}
        kept = {IMAGES: values[IMAGES]} if IMAGES in keep else {}
        self._perform(self._whole, values, changed or {}, statistics, kept, frozenset(keep))
        return values[self._scores], kept

    def rerun(
        self, values: Values, changed: Mapping[str, Tensor],
        statistics: "Statistics | None" = None, names: Collection[str] | None = None,
    ) -> Tensor:  # fmt: skip
        """Classify the batch of an earlier run again with some tensors changed.

        Args:
            values: What that run kept; it stays as it is.
            changed: The changed parameters and buffers by name.
            statistics: As for ``run``.
            names: What decides where the rerun begins; the names in ``changed`` if None.

        Returns:
            Class scores ``(batch_size, classes)``.
        """
        return self.resume(values, changed, (), statistics, names)[0]

    def resume(
        self, values: Values, changed: Mapping[str, Tensor], keep: Collection[int],
        statistics: "Statistics | None" = None, names: Collection[str] | None = None,
    ) -> tuple[Tensor, Values]:  # fmt: skip
        """Like ``rerun``, and keep what parts run after it will need.

        Args:
            values: As for ``rerun``.
            changed: As for ``rerun``.
            keep: Slots to keep; those that this part does not fill come from ``values``.
            statistics: As for ``run``.
            names: As for ``rerun``.

        Returns:
            Class scores ``(batch_size, classes)`` and the kept values.
        """
        stretch = self.stretch(changed if names is None else names)
        kept = {number: values[number] for number in keep if number in values}
        if not stretch.calls:
            return values[self._scores], kept
        own = {number: values[number] for number in stretch.needs}
        self._perform(stretch, own, changed, statistics, kept, frozenset(keep))
        return own[self._scores], kept

    @property
    def names(self) -> tuple[frozenset[str], ...]:
        """Parameters and buffers that each call reads, in the order of the calls."""
        return tuple(call.named for call in self._calls)

    def closed(self, names: Iterable[str]) -> frozenset[str]:
        """The same names and those of statistics that would be averaged over more calls.

        A BatchNorm that is called several times keeps one average: where one of its calls can
        change, all of them have to be seen. Tensors with several names go by the first.
        """
        found = frozenset(self._name_of[name] for name in names)
        while True:
            inside = set(self.stretch(found).calls)
            touched = frozenset(name for call in inside for name in _statistics_of(call))
            outside = frozenset(
                name for call in self._calls if call not in inside for name in _statistics_of(call)
            )
            more = found | (touched & outside)
            if more == found:
                return found
            found = more

    def needs(self, names: Iterable[str]) -> frozenset[int]:
        """Slots that ``rerun`` needs where these tensors change."""
        stretch = self.stretch(names)
        return stretch.needs if stretch.calls else frozenset({self._scores})

    @torch.inference_mode()
    def _perform(
        self, stretch: Stretch, values: dict[int, Tensor], changed: Mapping[str, Tensor],
        statistics: "Statistics | None", kept: dict[int, Tensor], keep: frozenset[int],
    ) -> None:  # fmt: skip
        own = {self._name_of[name]: tensor for name, tensor in changed.items()}
        tensors = {**self.tensors, **own} if own else self.tensors
        for call, drops in zip(stretch.calls, stretch.drops, strict=True):
            if statistics is not None and statistics.take(call, values, tensors):
                pass
            elif isinstance(call, FusedConv) and not (own and call.named & own.keys()):
                call.apply(values, *self._fold(call))
            else:
                call.perform(values, tensors)
            if keep:
                kept.update((number, values[number]) for number in call.makes if number in keep)
            for number in drops:
                values.pop(number, None)

    def _fold(self, call: FusedConv) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a fused convolution of the unchanged network, computed once."""
        number = call.makes[0]
        if number not in self._folded:
            weight, bias = call.folded(self.tensors)
            self._folded[number] = (_channels_last(weight), bias)
        return self._folded[number]


class Statistics:
    """Mean and variance of every BatchNorm's input, averaged over batches.

    The same average as ``workbench.repair.reestimate_batch_norm_`` takes.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[Any]] = {}

    def take(
        self, call: Call, values: dict[int, Tensor], tensors: Mapping[str, Tensor]
    ) -> bool:  # fmt: skip
        """Do a call with the statistics of the batch if it holds a BatchNorm.

        Returns:
            Whether it does, and so was done.
        """
        if isinstance(call, FusedConv):
            if call.norm is None:
                return False
            norm, number = call.norm, call.makes[0]
            call.plain.perform(values, tensors)
            source = values[number]
        else:
            found = norm_of(call)
            if found is None:
                return False
            norm, number = found, call.makes[0]
            source = values[next(iter(call.reads))]
        weight = tensors[norm.weight.name] if norm.weight else None
        bias = tensors[norm.bias.name] if norm.bias else None
        made, mean, inverse = torch.native_batch_norm(
            source, weight, bias, None, None, True, 0.0, norm.eps
        )
        values[number] = made
        count = source.numel() // max(1, source.shape[1])
        var = (inverse.double().pow(-2) - norm.eps).clamp_min(0) * (count / max(1, count - 1))
        self._add((norm.mean.name, norm.var.name), mean.double(), var)
        if isinstance(call, FusedConv):
            call.finish(values)
        return True

    def _add(self, key: tuple[str, str], mean: Tensor, var: Tensor, count: int = 1) -> None:
        entry = self._sums.setdefault(key, [0.0, 0.0, 0])
        entry[0], entry[1], entry[2] = entry[0] + mean, entry[1] + var, entry[2] + count

    def add(self, other: "Statistics") -> None:
        """Take in the batches that another one has seen."""
        for key, (mean, var, count) in other._sums.items():
            self._add(key, mean, var, count)

    def buffers(self) -> dict[str, Tensor]:
        """The averages, by the names of the running means and variances."""
        found = {}
        for (mean_name, var_name), (mean, var, count) in self._sums.items():
            found[mean_name] = (mean / count).float()
            found[var_name] = (var / count).float()
        return found


def _statistics_of(call: Call) -> tuple[str, ...]:
    """Names of the running mean and variance that a call reads; none without BatchNorm."""
    norm = call.norm if isinstance(call, FusedConv) else norm_of(call)
    return (norm.mean.name, norm.var.name) if norm else ()


def _needed(calls: Iterable[Call], scores: int) -> tuple[Call, ...]:
    """The calls that the class scores depend on."""
    wanted, needed = {scores}, []
    for call in reversed([*calls]):
        if wanted.intersection(call.makes):
            wanted |= call.reads
            needed.append(call)
    return tuple(reversed(needed))


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
