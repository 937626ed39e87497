"""Which calls of a forward pass matter to reconstruction, recognised as they happen."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from workbench.reconstruct.recurrent import RECURRENT, can_solve

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose weights can be solved for."""
CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}
ADDITIONS = {
    torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__
}  # fmt: skip
RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
CONVOLUTION_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")

Function = Callable[..., Any]
Arguments = Sequence[Any]
Keywords = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of a function.

    Attributes:
        kind: ``layer``, ``norm``, ``recurrent``, ``add``, ``clamp`` or ``other``.
        path: Of the layer, normalisation or recurrent module.
        bounds: Of a clamp: lowest and highest value that passes.
    """

    kind: str
    path: str = ""
    bounds: tuple[float, float] | None = None


OTHER = Call("other")


class Parts:
    """The layers and normalisations of a network, found by the tensors they hold.

    Args:
        network: Any module.
    """

    def __init__(self, network: nn.Module) -> None:
        self.modules = dict(network.named_modules())
        self.parameters = dict(network.named_parameters())
        self._names = {id(own): name for name, own in self.parameters.items()}
        self._layers: dict[int, str] = {}
        self._norms: dict[int, str] = {}
        self._recurrent: dict[int, str] = {}
        for path, module in self.modules.items():
            if isinstance(module, LAYERS):
                self._layers.setdefault(id(module.weight), path)  # a shared weight has one path
            elif isinstance(module, _BatchNorm) and module.running_mean is not None:
                self._norms[id(module.running_mean)] = path
            elif isinstance(module, nn.RNNBase) and can_solve(module):
                self._recurrent[id(module.weight_ih_l0)] = path

    def bias_name(self, args: Arguments, kwargs: Keywords) -> str:
        """Name of the bias that a call of a layer adds; empty where it adds none that is known."""
        return self._names.get(id(argument(args, kwargs, 2, "bias")), "")

    def recognise(self, function: Function, args: Arguments, kwargs: Keywords) -> Call:
        """What a call is."""
        if function in CONVOLUTIONS or function is F.linear:
            path = self._layers.get(id(argument(args, kwargs, 1, "weight")))
            return Call("layer", path) if path is not None else OTHER
        if function is F.batch_norm:
            path = self._norms.get(id(argument(args, kwargs, 1, "running_mean")))
            return Call("norm", path) if path is not None else OTHER
        if function in RECURRENT and isinstance(args[2], list):  # else the sequence is packed
            path = self._recurrent.get(id(args[2][0]))
            return Call("recurrent", path) if path is not None else OTHER
        if function in ADDITIONS:
            return Call("add") if _adds_alike(args) and not kwargs else OTHER
        return _clamp(function, args, kwargs)


def named(args: Arguments, kwargs: Keywords) -> dict[str, Any]:
    """The arguments of a call of a layer, by their names."""
    return dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)) | dict(kwargs)


def argument(args: Arguments, kwargs: Keywords, place: int, name: str) -> Any:
    """An argument, however it was passed; None where it was not."""
    return args[place] if len(args) > place else kwargs.get(name)


def _adds_alike(args: Arguments) -> bool:
    """Whether two tensors of the same shape are added, so that both are parts of a sum."""
    tensors = [value for value in args if isinstance(value, Tensor)]
    return len(args) == len(tensors) == 2 and tensors[0].shape == tensors[1].shape


def _clamp(function: Function, args: Arguments, kwargs: Keywords) -> Call:
    if function in RELUS:
        return Call("clamp", bounds=(0.0, math.inf))
    if function is F.relu6:
        return Call("clamp", bounds=(0.0, 6.0))
    if function is F.hardtanh:
        low = argument(args, kwargs, 1, "min_val")
        high = argument(args, kwargs, 2, "max_val")
        return Call("clamp", bounds=(-1.0 if low is None else low, 1.0 if high is None else high))
    return OTHER
