"""A layer and its BatchNorm as one weight and one bias: read, measured again, written back."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.reconstruct.calls import Parts
from workbench.reconstruct.graph import Layer


class Folded:
    """A layer of the pruned network, seen together with the BatchNorm behind it.

    Shapes: g groups, r rows, k inputs of a group, o outputs of a group.

    Args:
        parts: The pruned network's.
        layer: Which layer.
        inputs: Its inputs at the chosen places, ``(g, r, k)``.
        masks: Parameter name to mask.
    """

    def __init__(
        self, parts: Parts, layer: Layer, inputs: Tensor, masks: Mapping[str, Tensor]
    ) -> None:  # fmt: skip
        self.layer, self.inputs = layer, inputs
        self._module: Any = parts.modules[layer.path]
        self._bias: Any = parts.parameters.get(layer.bias)
        self._norm: Any = parts.modules[layer.norm] if layer.norm else None
        self._masks = masks
        self._shape = (len(inputs), -1, inputs.shape[2])

    @property
    def weight(self) -> Tensor:
        """``(g, o, k)``, the BatchNorm's factor included."""
        return self.whole_weight().reshape(self._shape)

    @property
    def bias(self) -> Tensor:
        """``(g, o)``, the BatchNorm's shift included; zeros where there is none."""
        return self.whole_bias().reshape(len(self.inputs), -1)

    @property
    def own_weight(self) -> Tensor:
        """``(g, o, k)`` without the BatchNorm's factor."""
        weight: Tensor = self._module.weight
        return weight.reshape(self._shape)

    @property
    def has_bias(self) -> bool:
        """Whether it can take a new bias."""
        return self._norm is not None or self._bias is not None

    @property
    def mask(self) -> Tensor:
        """``(g, o, k)``, True = kept."""
        mask = self._masks.get(f"{self.layer.path}.weight")
        if mask is None:
            return torch.ones_like(self.weight, dtype=torch.bool)
        return mask.to(self.inputs.device).reshape(self._shape)

    @property
    def gone(self) -> Tensor:
        """``(g, o)``: outputs that are held at zero because their channel is pruned as a whole."""
        gone = torch.zeros_like(self.bias, dtype=torch.bool)
        for name in (f"{self.layer.norm}.bias", self.layer.bias):
            mask = self._masks.get(name)
            if mask is not None:
                return ~mask.to(gone.device).view_as(gone)
        return gone

    def whole_weight(self) -> Tensor:
        """The folded weight in the shape of the layer's own."""
        weight: Tensor = self._module.weight
        if self._norm is None:
            return weight
        return weight * self._factor().view(-1, *[1] * (weight.dim() - 1))

    def whole_bias(self) -> Tensor:
        """The folded bias, ``(outputs,)``."""
        weight, bias = self._module.weight, self._bias
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        if self._norm is None:
            return bias
        shifted: Tensor = self._norm.bias + (bias - self._norm.running_mean) * self._factor()
        return shifted

    def remeasured(self) -> tuple[Tensor, Tensor]:
        """Folded weight and bias if the BatchNorm measured its statistics again."""
        if self._norm is None:
            return self.weight, self.bias
        factor, bias = self.remeasured_factor()
        return self.own_weight * factor[..., None], bias

    def remeasured_factor(self) -> tuple[Tensor, Tensor]:
        """The BatchNorm's factor and shift ``(g, o)`` if it measured its statistics again."""
        var, mean = self._statistics()
        factor = self._norm.weight / (var + self._norm.eps).sqrt()
        bias = self._norm.bias - (mean - self._own_bias()) * factor
        shape = len(self.inputs), -1
        return factor.reshape(shape), bias.reshape(shape)

    def remeasure_(self) -> None:
        """Measure the statistics of the BatchNorm again."""
        if self._norm is not None:
            var, mean = self._statistics()
            self._norm.running_var.copy_(var)
            self._norm.running_mean.copy_(mean)

    def write_(self, weight: Tensor, bias: Tensor) -> None:
        """Store a folded weight ``(g, o, k)`` and bias ``(g, o)``.

        A BatchNorm gets the statistics of the new outputs and the factor and shift that undo
        them, so that it gives the same in training mode; weights keep their length.
        """
        new, shift = weight.reshape(len(self._module.weight), -1), bias.flatten()
        if self._norm is None:
            self._module.weight.copy_(new.reshape(self._module.weight.shape))
            if self._bias is not None:
                self._bias.copy_(shift)
        else:
            scale = same_length(self._module.weight.flatten(1), new)
            scaled = new * scale[:, None]
            self._module.weight.copy_(scaled.reshape(self._module.weight.shape))
            if self._bias is not None:
                self._bias.zero_()
            self.remeasure_()
            norm = self._norm
            norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)
            norm.bias.copy_(shift + norm.running_mean / scale)
        self.hold_masks()

    @property
    def factor(self) -> Tensor:
        """``(g, o)``, by which the BatchNorm multiplies; ones where there is none."""
        weight: Tensor = self._module.weight
        factor = weight.new_ones(len(weight)) if self._norm is None else self._factor()
        return factor.reshape(len(self.inputs), -1)

    def set_norm_(self, factor: Tensor, shift: Tensor) -> None:
        """Make the BatchNorm multiply what the weights give by a factor and add a shift.

        Args:
            factor: ``(g, o)``.
            shift: ``(g, o)``; what the layer's own bias adds is taken off.
        """
        self.remeasure_()
        norm = self._norm
        norm.weight.copy_(factor.flatten() * (norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(shift.flatten() + (norm.running_mean - self._own_bias()) * factor.flatten())
        self.hold_masks()

    def _factor(self) -> Tensor:
        factor: Tensor = self._norm.weight / (self._norm.running_var + self._norm.eps).sqrt()
        return factor

    def _own_bias(self) -> Tensor | float:
        return 0.0 if self._bias is None else self._bias

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Variance and mean of the layer's outputs at the chosen places, ``(outputs,)``."""
        found = self.inputs @ self._module.weight.reshape(self._shape).mT
        var, mean = torch.var_mean(found, 1)
        return var.flatten(), mean.flatten() + self._own_bias()

    def hold_masks(self) -> None:
        """Put what is pruned back to zero."""
        norm = self._norm
        for name, tensor in (
            (f"{self.layer.path}.weight", self._module.weight), (self.layer.bias, self._bias),
            (f"{self.layer.norm}.weight", None if norm is None else norm.weight),
            (f"{self.layer.norm}.bias", None if norm is None else norm.bias),
        ):  # fmt: skip
            mask = self._masks.get(name)
            if tensor is not None and mask is not None:
                tensor.masked_fill_(~mask.to(self.inputs.device), 0)


def measure_shared_norms_(network: Any, paths: Sequence[str], images: Tensor) -> None:
    """Set the statistics of BatchNorms that are called several times to the average of all calls.

    Args:
        network: In eval mode; run once on all images.
        paths: Of these BatchNorms.
        images: ``(samples, channels, height, width)``.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {path: [] for path in paths}
    handles = []
    for path in paths:

        def note(_: Any, inputs: tuple[Tensor], path: str = path) -> None:
            own = inputs[0]
            found[path].append(torch.var_mean(own, [0, *range(2, own.dim())]))

        handles.append(network.get_submodule(path).register_forward_pre_hook(note))
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    for path, calls in found.items():
        if not calls:  # the way of these images does not lead there
            continue
        norm = network.get_submodule(path)
        norm.running_var.copy_(torch.stack([var for var, _ in calls]).mean(0))
        norm.running_mean.copy_(torch.stack([mean for _, mean in calls]).mean(0))


def measure_norm_(norm: Any, inputs: Tensor) -> None:
    """Set the statistics of a BatchNorm to those of its inputs ``(samples, channels, ...)``."""
    var, mean = torch.var_mean(inputs, [0, *range(2, inputs.dim())])
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)


def same_length(before: Tensor, after: Tensor) -> Tensor:
    """Factors that give new weights the length of the old, so that training goes on as before."""
    old, new = before.norm(dim=1), after.norm(dim=1)
    usable = (old > 1e-6) & (new > 1e-6)
    return torch.where(usable, old / new.clamp(min=1e-12), torch.ones_like(new))
