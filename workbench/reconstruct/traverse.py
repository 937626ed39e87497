"""The two passes: what the dense network gives, then the pruned network solved layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.reconstruct.calls import (
    CONVOLUTION_ARGUMENTS,
    Arguments,
    Call,
    Function,
    Keywords,
    Parts,
)
from workbench.reconstruct.graph import Graph, Layer, Target
from workbench.reconstruct.ridge import Problem, hold_out, solve
from workbench.reconstruct.rows import Places, extent_of, output_rows, patch_rows
from workbench.reconstruct.steps import RepairStep

SAME = 1e-9
"""Squared error, relative, below which a layer already gives what the dense one gives."""
_READING = {"__get__", "size", "dim", "numel", "ndimension", "is_floating_point"}


class Recorder(TorchFunctionMode):
    """Keeps the dense network's outputs at the chosen places while batches pass through it.

    Args:
        network: The dense network.
        graph: Its layers.
        places: Where to look.
        num_rows: Path of a layer to the rows it needs.
        kept: Path of a layer to the outputs that are kept; all where it is not named.
        check: Called at every layer; may raise to end the work.
    """

    def __init__(
        self, network: nn.Module, graph: Graph, places: Places, num_rows: Mapping[str, int],
        kept: Mapping[str, Tensor], check: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._parts = Parts(network)
        self._layers: dict[Target, Layer] = {}
        self.num_rows: dict[Target, int] = {}
        for layer in graph.layers.values():
            self._layers.setdefault(layer.target, layer)
            most = max(num_rows[layer.path], self.num_rows.get(layer.target, 0))
            self.num_rows[layer.target] = most
        self._places, self._kept, self._check = places, kept, check
        self._found: dict[Target, list[Tensor]] = {}
        self._num_sums = 0
        self._start = 0

    def record(self, network: nn.Module, images: Tensor) -> None:
        """Pass the next images through the network; the first batch starts with image 0."""
        self._num_sums = 0
        with self, torch.no_grad():
            network(images)
        self._start += len(images)

    def rows(self) -> dict[Target, Tensor]:
        """The outputs, ``(rows, kept channels)`` for every target."""
        return {target: torch.cat(parts) for target, parts in self._found.items()}

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        call = self._parts.recognise(func, args, kwargs)
        target = (call.kind, call.path)
        if call.kind == "add":
            target = ("add", str(self._num_sums))
            self._num_sums += 1
        layer = self._layers.get(target)
        if layer is not None:
            self._check()
            places = self._places.choose(
                extent_of(result, layer.is_linear), self.num_rows[target]
            )[self._start : self._start + len(result)]  # fmt: skip
            rows = output_rows(result, places, layer.is_linear)
            kept = self._kept.get(layer.path)
            self._found.setdefault(target, []).append(
                rows if kept is None else rows[:, kept.to(rows.device)]
            )
        return result


@dataclass(eq=False)
class _Open:
    """A layer of the pruned network on its way to its target.

    Attributes:
        layer: Which one.
        inputs: Its inputs at the chosen places, ``(groups, rows, inputs)``.
        run: Computes its output with the weights it has by then.
        norm_call: The call of its BatchNorm; None before, or without one.
        method: What is done to it: ``ridge``, ``statistics`` or nothing.
        scale: Factor between the solved weights and those that were written.
        bias: What the target needs added, ``(outputs,)``.
    """

    layer: Layer
    inputs: Tensor
    run: Callable[[], Tensor]
    norm_call: tuple[Function, Arguments, Keywords] | None = None
    method: str = ""
    scale: Tensor = field(default_factory=lambda: torch.ones(()))
    bias: Tensor = field(default_factory=lambda: torch.zeros(()))


class Solver(TorchFunctionMode):
    """Solves each layer of the pruned network when a forward pass comes to it.

    The pass then goes on with the solved layer, so that the next one sees its errors. A layer
    whose output is only added to something is solved at the sum: what its partner gets wrong is
    for it to make up for, and two layers that meet there are solved together.

    Args:
        network: The pruned network, changed in place.
        graph: Layers of the dense network.
        wanted: What ``Recorder.rows`` returned.
        num_rows: What ``Recorder.num_rows`` holds.
        places: Where was looked.
        masks: Parameter name to mask.
        tell: Called with every finished step; may raise to end the work.
    """

    def __init__(
        self, network: nn.Module, graph: Graph, wanted: Mapping[Target, Tensor],
        num_rows: Mapping[Target, int], places: Places, masks: Mapping[str, Tensor],
        tell: Callable[[RepairStep], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._parts = Parts(network)
        self._graph, self._wanted, self._num_rows = graph, wanted, num_rows
        self._places, self._masks, self._tell = places, masks, tell
        self._waiting: dict[int, tuple[Tensor, _Open]] = {}
        self._normed: dict[int, tuple[Tensor, _Open]] = {}
        self._num_sums = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        call = self._parts.recognise(func, args, kwargs)
        if call.kind == "layer" and call.path in self._graph.layers:
            return self._layer(func, args, kwargs, self._graph.layers[call.path])
        if call.kind == "norm":
            return self._norm(func, args, kwargs, call)
        if call.kind == "add":
            number, self._num_sums = str(self._num_sums), self._num_sums + 1
            if any(id(value) in self._waiting for value in args[:2]):
                return self._sum(func, args, kwargs, number)
        if self._waiting and func.__name__ not in _READING:
            args = [self._settled(value) for value in args]
        return func(*args, **kwargs)

    def _layer(self, func: Function, args: Arguments, kwargs: Keywords, layer: Layer) -> Tensor:
        args = [self._settled(value) for value in args]
        inputs: Tensor = args[0]
        output = func(inputs[:1], *args[1:], **kwargs)
        places = self._places.choose(
            extent_of(output, layer.is_linear), self._num_rows[layer.target]
        )
        if layer.is_linear:
            rows = output_rows(inputs, places, True)[None]
        else:
            rows = _patches(inputs, output, places, args, kwargs)
        opened = _Open(layer, rows, lambda: func(*args, **kwargs))
        if layer.ends_in_sum:
            # Nobody reads this before the sum, where it is replaced by what is solved there.
            empty = inputs.new_zeros(()).expand(len(inputs), *output.shape[1:])
            self._waiting[id(empty)] = (empty, opened)
            return empty
        self._solve([opened], self._wanted[layer.target], None)
        result = opened.run()
        if layer.norm:
            self._normed[id(result)] = (result, opened)
        return result

    def _norm(self, func: Function, args: Arguments, kwargs: Keywords, call: Call) -> Tensor:
        inputs = args[0]
        if id(inputs) in self._waiting:
            self._waiting[id(inputs)][1].norm_call = (func, args, kwargs)
            return inputs
        if id(inputs) in self._normed:
            self._write_norm(self._normed.pop(id(inputs))[1], inputs)
        else:
            measure_norm_(self._parts.norm(call.path), inputs)
        return func(*args, **kwargs)

    def _sum(self, func: Function, args: Arguments, kwargs: Keywords, number: str) -> Tensor:
        parts = list(args[:2])
        mine = [
            self._waiting[id(part)][1] for part in parts
            if id(part) in self._waiting
            and self._waiting[id(part)][1].layer.target == ("add", number)
        ]  # fmt: skip
        if not mine or kwargs:
            return func(*(self._settled(value) for value in args), **kwargs)
        opened_of = {id(part): self._waiting.pop(id(part))[1] for part in parts
                     if id(part) in self._waiting}  # fmt: skip
        layer = mine[0].layer
        offset = None
        for part in parts:
            if id(part) not in opened_of:
                places = self._places.choose(
                    extent_of(part, layer.is_linear), self._num_rows[layer.target]
                )
                offset = output_rows(part, places, layer.is_linear)[None]
        self._solve(mine, self._wanted[layer.target], offset)
        values = [
            self._finish(opened_of[id(part)]) if id(part) in opened_of else part for part in parts
        ]
        return func(*values, *args[2:])

    def _settled(self, value: Any) -> Any:
        """A value to compute with: what waits for its sum is computed as it is."""
        if id(value) not in self._waiting:
            return value
        return self._finish(self._waiting.pop(id(value))[1])

    def _finish(self, opened: _Open) -> Tensor:
        """The output of a layer that waited, and of its BatchNorm."""
        result = opened.run()
        if opened.norm_call is None:
            return result
        self._write_norm(opened, result)
        func, args, kwargs = opened.norm_call
        normed: Tensor = func(result, *args[1:], **kwargs)
        return normed

    def _solve(self, opened: list[_Open], wanted: Tensor, offset: Tensor | None) -> None:
        """Choose new weights for layers that meet in a target, and write them."""
        groups = len(opened[0].inputs)
        wanted = wanted.unflatten(1, (groups, -1)).transpose(0, 1)
        problem = self._problem(opened, wanted, offset)
        name = " + ".join(one.layer.path for one in opened)
        _, judging = hold_out(problem)
        before = judging.error(problem.weight, problem.bias)
        if before <= SAME:
            self._tell(RepairStep(name, "as it was", before, before, False))
            return
        found = solve(problem)
        remeasured = self._remeasured(opened, problem)
        error = before if remeasured is None else judging.error(*remeasured)
        method = "ridge, clamped" if found.clamps else "ridge"
        if found.error < min(error, before):
            self._write(opened, found.weight, found.bias)
            self._tell(RepairStep(name, method, before, found.error, True))
        elif error < before:
            for one in opened:
                one.method = "statistics" if one.layer.norm else ""
            self._tell(RepairStep(name, "statistics", before, error, True))
        else:
            self._tell(RepairStep(name, "as it was", before, before, False))

    def _problem(self, opened: list[_Open], wanted: Tensor, offset: Tensor | None) -> Problem:
        weights, biases, masks = [], [], []
        for one in opened:
            module = self._parts.layer(one.layer.path)
            shape = (len(one.inputs), -1, one.inputs.shape[2])
            factor, shift = self._affine(one)
            weights.append(module.weight.reshape(shape) * factor.reshape(shape[0], -1, 1))
            biases.append(shift.reshape(shape[0], -1))
            mask = self._masks.get(f"{one.layer.path}.weight")
            full = torch.ones_like(weights[-1], dtype=torch.bool)
            masks.append(full if mask is None else mask.to(full.device).reshape(full.shape))
        mask = torch.cat(masks, -1)
        return Problem(
            torch.cat([one.inputs for one in opened], -1), wanted, offset,
            torch.cat(weights, -1), torch.stack(biases).sum(0), None if mask.all() else mask,
            any(self._has_bias(one) for one in opened), opened[0].layer.bounds,
        )  # fmt: skip

    def _has_bias(self, opened: _Open) -> bool:
        return bool(opened.layer.norm) or self._parts.layer(opened.layer.path).bias is not None

    def _affine(self, opened: _Open) -> tuple[Tensor, Tensor]:
        """Factor and shift, per output, from weights times inputs to what the target sees."""
        weight, bias = (getattr(self._parts.layer(opened.layer.path), key) for key in
                        ("weight", "bias"))  # fmt: skip
        factor = weight.new_ones(len(weight))
        shift = torch.zeros_like(factor) if bias is None else bias
        if opened.layer.norm:
            norm = self._parts.norm(opened.layer.norm)
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            shift = norm.bias + (shift - norm.running_mean) * factor
        return factor, shift

    def _remeasured(
        self, opened: list[_Open], problem: Problem
    ) -> tuple[Tensor, Tensor] | None:  # fmt: skip
        """Weights and bias that BatchNorm gives when it measures its statistics again."""
        if not any(one.layer.norm for one in opened):
            return None
        weights, total = [], torch.zeros_like(problem.bias)
        for one in opened:
            module = self._parts.layer(one.layer.path)
            weight = module.weight.reshape(len(one.inputs), -1, one.inputs.shape[2])
            if one.layer.norm:
                norm = self._parts.norm(one.layer.norm)
                var, mean = torch.var_mean(one.inputs @ weight.mT, 1)
                factor = norm.weight.view_as(var) / (var + norm.eps).sqrt()
                total = total + norm.bias.view_as(var) - mean * factor
                weight = weight * factor[..., None]
            elif module.bias is not None:
                total = total + module.bias.view_as(total)
            weights.append(weight)
        return torch.cat(weights, -1), total

    def _write(self, opened: list[_Open], weight: Tensor, bias: Tensor) -> None:
        """Give the layers their part of the solution; a BatchNorm gets its part when it runs."""
        takers = [one for one in opened if self._has_bias(one)]
        start = 0
        for one in opened:
            module = self._parts.layer(one.layer.path)
            width = one.inputs.shape[2]
            part = weight[..., start : start + width].reshape(len(module.weight), -1)
            start += width
            one.method = "ridge"
            one.bias = (
                bias.flatten() if takers and one is takers[0] else torch.zeros_like(part[:, 0])
            )
            if one.layer.norm:
                one.scale = _same_length(module.weight.flatten(1), part)
                part = part * one.scale[:, None]
                if module.bias is not None:
                    module.bias.zero_()
            elif module.bias is not None:
                module.bias.copy_(one.bias)
            module.weight.copy_(part.reshape(module.weight.shape))
            self._hold_masks(one.layer.path)

    def _write_norm(self, opened: _Open, inputs: Tensor) -> None:
        """Make the BatchNorm of a layer give what was solved for, in training mode as well."""
        norm = self._parts.norm(opened.layer.norm)
        if not opened.method:
            return
        measure_norm_(norm, inputs)
        if opened.method == "ridge":
            norm.weight.copy_((norm.running_var + norm.eps).sqrt() / opened.scale)
            norm.bias.copy_(opened.bias + norm.running_mean / opened.scale)
            self._hold_masks(opened.layer.norm)

    def _hold_masks(self, path: str) -> None:
        for key, parameter in self._parts.modules[path].named_parameters(recurse=False):
            mask = self._masks.get(f"{path}.{key}")
            if mask is not None:
                parameter.masked_fill_(~mask.to(parameter.device), 0)


def measure_norm_(norm: Any, inputs: Tensor) -> None:
    """Set the statistics of a BatchNorm to those of its inputs ``(samples, channels, ...)``."""
    var, mean = torch.var_mean(inputs, [0, *range(2, inputs.dim())])
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)


def _same_length(before: Tensor, after: Tensor) -> Tensor:
    """Factors that give new weights the length of the old, so that training goes on as before."""
    old, new = before.norm(dim=1), after.norm(dim=1)
    usable = (old > 1e-6) & (new > 1e-6)
    return torch.where(usable, old / new.clamp(min=1e-12), torch.ones_like(new))


def _patches(
    inputs: Tensor, output: Tensor, places: Tensor, args: Arguments, kwargs: Keywords
) -> Tensor:  # fmt: skip
    """The inputs of a convolution at the chosen places, by the arguments it was called with."""
    given = dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)) | dict(kwargs)
    kernel = given["weight"].shape[2:]

    def each(value: Any) -> tuple[int, ...]:
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * len(kernel) if len(values) == 1 else values

    stride, dilation = each(given.get("stride", 1)), each(given.get("dilation", 1))
    padding = given.get("padding", 0)
    if padding == "same":
        padding = [step * (size - 1) // 2 for step, size in zip(dilation, kernel, strict=True)]
    before = each(0 if padding == "valid" else padding)
    return patch_rows(
        inputs, places, output.shape[2:], kernel, stride, before, dilation,
        given.get("groups", 1),
    )  # fmt: skip
