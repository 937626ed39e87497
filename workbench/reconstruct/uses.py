"""The uses of shared weights, as a pass of the pruned network comes to them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from workbench.reconstruct.calls import Arguments, Call, Function, Keywords, Parts, named
from workbench.reconstruct.folding import Folded, measure_norm_
from workbench.reconstruct.graph import Graph, Layer, Target, Unit, use_target
from workbench.reconstruct.rows import Places, extent_of, output_rows, patches
from workbench.reconstruct.stack import Use
from workbench.reconstruct.steps import SAME, OtherWayError


@dataclass(frozen=True, eq=False)
class Work:
    """What all passes over a pruned network need.

    Attributes:
        network: The pruned network, changed in place.
        parts: Its layers.
        graph: The layers of the dense network.
        images: ``(samples, channels, height, width)``.
        wanted: What the dense network gives, ``(rows, channels)`` for every target.
        num_rows: Target to the rows it is given.
        places: Where was looked.
        masks: Parameter name to mask.
        kept: Path of a layer to the outputs that are kept; all where it is not named.
        check: Called at every layer; may raise to end the work.
        settled: Paths of the BatchNorms that are what they will be.
    """

    network: nn.Module
    parts: Parts
    graph: Graph
    images: Tensor
    wanted: Mapping[Target, Tensor]
    num_rows: Mapping[Target, int]
    places: Places
    masks: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]
    check: Callable[[], None]
    settled: set[str] = field(default_factory=set)

    def places_of(self, layer: Layer, output: Tensor) -> Tensor:
        """Where to look at an output."""
        extent = extent_of(output, layer.is_linear)
        return self.places.choose(extent, self.num_rows[layer.target])

    def wanted_of(self, layer: Layer, groups: int) -> Tensor:
        """What the outputs that are left should be, ``(groups, rows, outputs)``."""
        wanted, indices = self.wanted[layer.target], self.kept.get(layer.path)
        if indices is not None:
            wanted = wanted[:, indices.to(wanted.device)]
        return wanted.unflatten(1, (groups, -1)).transpose(0, 1)


@dataclass(frozen=True, eq=False)
class _Pending:
    """A use on its way to its target: its sampled inputs and its whole output."""

    layer: Layer
    folded: Folded
    raw: Tensor
    norm: tuple[Function, Arguments, Keywords] | None = None

    def run(self) -> Tensor:
        """The output, behind its BatchNorm where it has one."""
        if self.norm is None:
            return self.raw
        func, args, kwargs = self.norm
        found: Tensor = func(*args, **kwargs)
        return found


@dataclass(frozen=True, eq=False)
class Seen:
    """A use as it was seen in a pass.

    Attributes:
        layer: Which use.
        folded: Its layer and BatchNorm.
        use: Its rows.
        found: Its error with the BatchNorm as it was found.
        error: Its error now.
    """

    layer: Layer
    folded: Folded
    use: Use
    found: float
    error: float


class Uses:
    """Follows the uses of shared weights through one pass, and suits their BatchNorms to it.

    Args:
        work: What all passes need.
        see: Told of every use.
    """

    def __init__(self, work: Work, see: Callable[[Seen], None]) -> None:
        self._work, self._see = work, see
        self._units = work.graph.unit_of
        self._numbers = Counter[str]()
        self._pending: dict[int, tuple[Tensor, _Pending]] = {}

    def layer(self, func: Function, given: Mapping[str, Any], path: str) -> Tensor:
        """A call of a layer whose weight is shared, by its named arguments."""
        number = self._numbers[path]
        self._numbers[path] += 1
        target = use_target(path, number)
        uses = [use for use in self._units[path].uses if use.path == path]
        if number == len(uses):
            raise OtherWayError
        layer, output = uses[number], func(**given)
        places = self._work.places_of(layer, output)
        rows = (
            output_rows(given["input"], places, True)[None] if layer.is_linear
            else patches(given, output, places)
        )  # fmt: skip
        pending = _Pending(layer, Folded(self._work.parts, layer, rows, self._work.masks), output)
        if layer.target == target:
            self._arrive(pending, None)
        else:
            self._pending[id(output)] = output, pending
        return output

    def norm(self, func: Function, args: Arguments, kwargs: Keywords, call: Call) -> Tensor | None:
        """A call of a BatchNorm; None where no use leads to it."""
        _, pending = self._pending.pop(id(args[0]), (None, None))
        if pending is None or pending.layer.norm != call.path:
            return None
        pending = _Pending(pending.layer, pending.folded, pending.raw, (func, args, kwargs))
        if pending.layer.target == ("norm", call.path):
            self._arrive(pending, None)
            return pending.run()
        output = pending.run()
        self._pending[id(output)] = output, pending
        return output

    def add(self, func: Function, args: Arguments, kwargs: Keywords, number: int) -> Tensor | None:
        """A sum; None where no use is to be compared there."""
        mine = [value for value in args[:2] if id(value) in self._pending]
        if len(mine) != 1 or kwargs or len(args) > 2:
            return None
        _, pending = self._pending.pop(id(mine[0]))
        if pending.layer.target != ("add", str(number)):
            return None
        other = args[1] if args[0] is mine[0] else args[0]
        self._arrive(pending, other)
        output = pending.run()
        values = [output if value is mine[0] else value for value in args]
        total: Tensor = func(*values)
        return total

    def _arrive(self, pending: _Pending, other: Tensor | None) -> None:
        """Look at a use at its target, and let its BatchNorm come as close to it as it can."""
        work, layer, folded = self._work, pending.layer, pending.folded
        offset = None
        if other is not None:
            offset = output_rows(other, work.places_of(layer, other), layer.is_linear)[None]
        use = _use_of(folded, self._units[layer.path], work, offset)
        _, judging = use.held_out()
        found = error = judging.error(folded.own_weight)
        free = layer.norm and layer.norm not in work.settled
        if free and found > SAME and use.inputs.sum().isfinite():
            use, error = _with_better_norm_(folded, use, found)
        self._see(Seen(layer, folded, use, found, error))


def _use_of(folded: Folded, unit: Unit, work: Work, offset: Tensor | None) -> Use:
    layer = folded.layer
    slot = layer.bias if layer.bias and layer.bias not in unit.fixed else None
    if layer.norm:
        slot = layer.norm
    use = Use(
        folded.inputs, work.wanted_of(layer, len(folded.inputs)), offset, layer.bounds,
        folded.factor, folded.bias, slot, bool(layer.norm),
    )  # fmt: skip
    gone = folded.gone
    if gone.any():  # such outputs stay what they are
        present = use.outputs(folded.own_weight)
        use = replace(use, wanted=torch.where(gone[:, None], present, use.wanted))
    return use


def _with_better_norm_(folded: Folded, use: Use, found: float) -> tuple[Use, float]:
    """Give a BatchNorm the statistics, or the factor and shift, that come closest to the target."""
    weight = folded.own_weight
    fitting, judging = use.held_out()
    fitted = fitting.with_fitted_norm(weight)
    factor, bias = folded.remeasured_factor()
    best, least = use, found
    for one in (replace(use, factor=factor, bias=bias), fitted):
        candidate = replace(judging, factor=one.factor, bias=one.bias)
        error = candidate.error(weight)
        if error < least:
            best, least = replace(use, factor=one.factor, bias=one.bias), error
    if best is not use:
        folded.set_norm_(best.factor, best.bias)
    return best, least


class _EnoughError(Exception):
    """Raised in the middle of a pass that has seen what it should."""


class Rehearsal(TorchFunctionMode):
    """A pass of the pruned network as it is now, to see what every use of a weight has.

    BatchNorms that the repair has not come to are measured on the way, for this pass only.

    Args:
        work: What all passes need.
        unit: Whose uses to see.
    """

    def __init__(self, work: Work, unit: Unit) -> None:
        super().__init__()
        self._work, self._unit = work, unit
        self._uses = Uses(work, self._saw)
        self._num_sums = 0
        self.seen: dict[Target, Seen] = {}

    def run(self) -> list[Seen]:
        """The uses in order.

        Raises:
            OtherWayError: If they are not those of the dense network.
        """
        own = {use.norm for use in self._unit.uses}
        before = [
            (tensor, tensor.clone())
            for path, norm in self._work.parts.modules.items()
            if isinstance(norm, _BatchNorm) and path not in own
            for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            if tensor is not None
        ]
        try:
            with self:
                self._work.network(self._work.images)
        except _EnoughError:
            pass
        finally:
            for tensor, value in before:
                tensor.copy_(value)
        if len(self.seen) < len(self._unit.uses):
            raise OtherWayError
        return [self.seen[use.target] for use in self._unit.uses]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        work = self._work
        call = work.parts.recognise(func, args, kwargs)
        result = None
        if call.kind == "layer":
            work.check()
            if call.path in work.graph.unit_of:
                result = self._uses.layer(func, named(args, kwargs), call.path)
        elif call.kind == "norm":
            result = self._uses.norm(func, args, kwargs, call)
            if result is None and call.path not in {*work.settled, *work.graph.shared_norms}:
                measure_norm_(work.parts.modules[call.path], args[0])
        elif call.kind == "add":
            result = self._uses.add(func, args, kwargs, self._num_sums)
            self._num_sums += 1
        return func(*args, **kwargs) if result is None else result

    def _saw(self, seen: Seen) -> None:
        if seen.layer in self._unit.uses:
            self.seen[seen.layer.target] = seen
            if len(self.seen) == len(self._unit.uses):
                raise _EnoughError
