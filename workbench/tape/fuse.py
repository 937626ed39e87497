"""Fusing: a convolution, its BatchNorm and its ReLU as one call.

In eval mode a BatchNorm is a scale and a shift of each channel, which go into the weights of the
convolution before it. ReLU, and the sum with a shortcut, are done while the result is still in the
processor's cache. The numbers differ from those of the single calls by rounding alone.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.tape.nodes import Call, Named, Slot, fill
from workbench.tape.record import Recording

_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_USUAL = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_RELU = frozenset((F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_))
_ADD = frozenset((torch.add, Tensor.add, Tensor.__add__, Tensor.__iadd__, Tensor.add_))


@dataclass(frozen=True)
class Norm:
    """An eval-mode BatchNorm: names of its tensors, and its epsilon."""

    mean: Named
    var: Named
    weight: Named | None
    bias: Named | None
    eps: float

    def scale_and_shift(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What it multiplies by and adds, each ``(channels,)``."""
        scale = (tensors[self.var.name] + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * tensors[self.weight.name]
        shift = -tensors[self.mean.name] * scale
        return scale, shift if self.bias is None else shift + tensors[self.bias.name]

    @property
    def named(self) -> frozenset[str]:
        """Names of its tensors."""
        every = (self.mean, self.var, self.weight, self.bias)
        return frozenset(one.name for one in every if one is not None)


@dataclass(frozen=True, eq=False)
class FusedConv(Call):
    """A two-dimensional convolution with what follows it.

    Attributes:
        conv: Its arguments by name.
        norm: The BatchNorm after it.
        other: The slot that is added after that.
        attr: ``relu``, ``hardtanh`` or ``none``, which comes last.
        scalars: Arguments of ``attr``.
    """

    conv: Mapping[str, Any] = None  # type: ignore[assignment]
    norm: Norm | None = None
    other: Slot | None = None
    attr: str = "none"
    scalars: tuple[float, ...] = ()

    @cached_property
    def reads(self) -> frozenset[int]:
        """Numbers of the slots that it reads."""
        every = (self.conv["input"], self.other)
        return frozenset(one.number for one in every if isinstance(one, Slot))

    @cached_property
    def named(self) -> frozenset[str]:
        """Names of the parameters and buffers that it reads."""
        own = (self.conv["weight"], self.conv["bias"])
        found = frozenset(one.name for one in own if isinstance(one, Named))
        return found | self.norm.named if self.norm else found

    def perform(self, values: dict[int, Tensor], tensors: Mapping[str, Tensor]) -> None:
        """Fill its slot."""
        weight, bias = self.folded(tensors)
        self.apply(values, weight, bias)

    @cached_property
    def plain(self) -> "FusedConv":
        """The convolution alone."""
        return replace(self, norm=None, other=None, attr="none", scalars=())

    def finish(self, values: dict[int, Tensor]) -> None:
        """Do what follows the BatchNorm, in place."""
        made = values[self.makes[0]]
        if self.other is not None:
            made.add_(values[self.other.number])
        if self.attr == "relu":
            made.relu_()
        elif self.attr == "hardtanh":
            F.hardtanh_(made, *self.scalars)

    def folded(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the convolution that does the BatchNorm as well."""
        weight: Tensor = fill(self.conv["weight"], {}, tensors)
        bias: Tensor | None = fill(self.conv["bias"], {}, tensors)
        if self.norm is None:
            return weight, bias
        scale, shift = self.norm.scale_and_shift(tensors)
        return weight * scale.view(-1, 1, 1, 1), shift if bias is None else shift + bias * scale

    def apply(self, values: dict[int, Tensor], weight: Tensor, bias: Tensor | None) -> None:
        """Convolve with a folded weight and bias, and do what follows."""
        images = fill(self.conv["input"], values, {})
        rest = (_pair(self.conv["padding"]), _pair(self.conv["stride"]),
                _pair(self.conv["dilation"]), self.conv["groups"])  # fmt: skip
        pointwise = torch.ops.mkldnn._convolution_pointwise
        if self.other is None:
            made = pointwise(images, weight, bias, *rest, self.attr, list(self.scalars), "")
        else:
            unary = None if self.attr == "none" else self.attr
            made = pointwise.binary(
                images, values[self.other.number], weight, bias, *rest, "add", 1.0, unary,
                list(self.scalars), "",
            )  # fmt: skip
        values[self.makes[0]] = made


def can_fuse(device: torch.device) -> bool:
    """Whether this build of PyTorch has the fused call for a device."""
    return (
        device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def fuse(recording: Recording, tensors: Mapping[str, Tensor]) -> list[Call]:
    """Put convolutions together with what follows them, where nothing else reads in between.

    Args:
        recording: What the forward did.
        tensors: Parameters and buffers by name.
    """
    calls = recording.calls
    readers = Counter(number for call in calls for number in call.reads)
    readers[recording.scores] += 1
    fused: list[Call] = []
    places: dict[int, int] = {}  # slot to its fused convolution
    for call in calls:
        made = _grown(call, fused, places, readers, recording.shapes) or _begun(call, tensors)
        if made is None:
            fused.append(call)
            continue
        if isinstance(made, tuple):
            place, grown = made
            places.pop(fused[place].makes[0], None)
            fused[place] = _NOTHING  # it moves to where all that it reads is there
            made = grown
        places[made.makes[0]] = len(fused)
        fused.append(made)
    return [call for call in fused if call is not _NOTHING]


_NOTHING = Call(lambda: None, (), {}, (), ())


def _begun(call: Call, tensors: Mapping[str, Tensor]) -> FusedConv | None:
    """A plain convolution as the beginning of a fused one."""
    if call.function is not torch.conv2d:
        return None
    conv = _CONV_USUAL | dict(zip(_CONV, call.args, strict=False)) | dict(call.kwargs)
    weight = conv["weight"]
    sound = (
        isinstance(conv["input"], Slot)
        and isinstance(weight, Named)
        and tensors[weight.name].dtype == torch.float32
        and (conv["bias"] is None or isinstance(conv["bias"], Named))
        and not isinstance(conv["padding"], str)
    )
    return FusedConv(call.function, (), {}, call.makes, ((),), conv) if sound else None


def _grown(
    call: Call,
    fused: Sequence[Call],
    places: Mapping[int, int],
    readers: Mapping[int, int],
    shapes: Mapping[int, tuple[int, ...]],
) -> tuple[int, FusedConv] | None:
    """A fused convolution with one more call at its end, and the place of the shorter one."""
    for value in call.args[:2]:
        if not isinstance(value, Slot) or value.number not in places or readers[value.number] > 1:
            continue
        place = places[value.number]
        conv = fused[place]
        assert isinstance(conv, FusedConv)
        same = all(
            shapes[one.number] == shapes[value.number]
            for one in call.args[:2]
            if isinstance(one, Slot)
        )
        more = _with_next(conv, call, value) if same else None
        if more is not None:
            return place, replace(more, makes=call.makes)
    return None


def _with_next(conv: FusedConv, call: Call, value: Slot) -> FusedConv | None:
    """The convolution with a call that reads its result ``value``, if that can be put in."""
    if conv.attr != "none":
        return None
    if call.function is F.batch_norm and conv.norm is None and conv.other is None:
        norm = norm_of(call)
        return replace(conv, norm=norm) if norm and call.args[0] == value else None
    if call.function in _RELU:
        return replace(conv, attr="relu")
    if call.function is F.hardtanh:
        bounds = _bound(F.hardtanh, call)
        return replace(conv, attr="hardtanh", scalars=(bounds["min_val"], bounds["max_val"]))
    if call.function is F.relu6:
        return replace(conv, attr="hardtanh", scalars=(0.0, 6.0))
    plain = len(call.args) == 2 and not call.kwargs
    if call.function in _ADD and plain and conv.other is None:
        other = call.args[1] if call.args[0] == value else call.args[0]
        if isinstance(other, Slot) and other != value:
            return replace(conv, other=other)
    return None


def norm_of(call: Call) -> Norm | None:
    """The BatchNorm that a call is, in eval mode with statistics; None for any other call."""
    if call.function is not F.batch_norm:
        return None
    given = _bound(F.batch_norm, call)
    names = [given[key] for key in ("running_mean", "running_var", "weight", "bias")]
    mean, var, weight, bias = names
    if given["training"] or not isinstance(mean, Named) or not isinstance(var, Named):
        return None
    if not all(one is None or isinstance(one, Named) for one in (weight, bias)):
        return None
    return Norm(mean, var, weight, bias, given["eps"])


def _bound(function: Callable[..., Any], call: Call) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*call.args, **call.kwargs)
    bound.apply_defaults()
    return bound.arguments


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
