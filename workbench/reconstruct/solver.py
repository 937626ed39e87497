"""The pass of the pruned network: every layer is solved when the pass comes to it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.reconstruct.calls import Arguments, Call, Function, Keywords, named
from workbench.reconstruct.folding import Folded, measure_norm_
from workbench.reconstruct.graph import Layer, Unit
from workbench.reconstruct.recorder import Recorder
from workbench.reconstruct.recurrent import reconstruct_recurrent_
from workbench.reconstruct.ridge import Problem, hold_out, solve
from workbench.reconstruct.rows import output_rows, patches
from workbench.reconstruct.steps import SAME, RepairStep
from workbench.reconstruct.units import solve_unit_
from workbench.reconstruct.uses import Uses, Work

_READING = {"__get__", "size", "dim", "numel", "ndimension", "is_floating_point"}


@dataclass(frozen=True, eq=False)
class _Open:
    """A layer on its way to its target: what it computes with, and the call to repeat."""

    folded: Folded
    func: Function
    given: Mapping[str, Any]

    def run(self) -> Tensor:
        """The output, behind its BatchNorm where it has one."""
        given = dict(self.given)
        if self.folded.layer.norm:
            given["weight"] = self.folded.whole_weight()
            given["bias"] = self.folded.whole_bias()
        found: Tensor = self.func(**given)
        return found


class Solver(TorchFunctionMode):
    """Solves each layer of the pruned network when a forward pass comes to it.

    The pass then goes on with the solved layer, so that the next one sees its errors. A layer
    whose output is only added to something is solved at the sum: what its partner gets wrong is
    for it to make up for, and two layers that meet there are solved together.

    Args:
        work: The pruned network and what it is to give.
        dense: The dense network.
        recorded: What was seen of it.
        tell: Called with every finished step; may raise to end the work.
    """

    def __init__(
        self, work: Work, dense: nn.Module, recorded: Recorder,
        tell: Callable[[RepairStep], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._work, self._parts, self._graph, self._masks = (
            work, work.parts, work.graph, work.masks
        )  # fmt: skip
        self._dense, self._recorded, self._tell = dense, recorded, tell
        self._uses = Uses(work, lambda seen: work.settled.add(seen.layer.norm))
        self._solved: set[Unit] = set()
        self._waiting: dict[int, tuple[Tensor, _Open]] = {}
        self._normed: dict[int, Tensor] = {}
        self._to_clamp: dict[int, Tensor] = {}
        self._num_sums = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        call = self._parts.recognise(func, args, kwargs)
        if call.kind == "layer" and call.path in self._graph.layers:
            return self._layer(func, args, kwargs, self._graph.layers[call.path])
        if call.kind == "layer" and call.path in self._graph.unit_of:
            return self._use(func, args, kwargs, call.path)
        if call.kind == "recurrent" and call.path in self._graph.recurrent:
            args = [self._settled(value) for value in args]
            self._recurrent(args, call.path)
            return func(*args, **kwargs)
        if call.kind == "norm":
            return self._norm(func, args, kwargs, call)
        if call.kind == "clamp" and id(args[0]) in self._to_clamp:
            assert call.bounds is not None
            return self._to_clamp.pop(id(args[0])).clamp_(*call.bounds)
        if call.kind == "add":
            number, self._num_sums = str(self._num_sums), self._num_sums + 1
            if any(id(value) in self._waiting for value in args[:2]):
                return self._sum(func, args, kwargs, number)
            total = self._uses.add(func, args, kwargs, int(number))
            if total is not None:
                return total
        if func in self._graph.passing and args and id(args[0]) in self._waiting:
            return args[0]
        if self._waiting and func.__name__ not in _READING:
            args = [self._settled(value) for value in args]
        return func(*args, **kwargs)

    def _layer(self, func: Function, args: Arguments, kwargs: Keywords, layer: Layer) -> Tensor:
        given = named(args, kwargs)
        inputs: Tensor = self._settled(given["input"])
        given["input"] = inputs
        output = func(**given | {"input": inputs[:1]})
        places = self._work.places_of(layer, output)
        rows = (
            output_rows(inputs, places, True)[None] if layer.is_linear
            else patches(given, output, places)
        )  # fmt: skip
        opened = _Open(Folded(self._parts, layer, rows, self._masks), func, given)
        self._to_clamp.clear()
        if layer.ends_in_sum:
            # Nobody reads this before the sum, where it is replaced by what is solved there.
            empty = inputs.new_zeros(()).expand(len(inputs), *output.shape[1:])
            self._waiting[id(empty)] = (empty, opened)
            return empty
        self._solve([opened.folded], None)
        return self._given_out(layer, opened.run())

    def _use(self, func: Function, args: Arguments, kwargs: Keywords, path: str) -> Tensor:
        """A use of a shared weight; the first one solves it for all."""
        given = named(args, kwargs)
        given["input"] = self._settled(given["input"])
        unit = self._graph.unit_of[path]
        if unit not in self._solved:
            self._solved.add(unit)
            self._tell(solve_unit_(self._work, unit))
        self._to_clamp.clear()
        return self._uses.layer(func, given, path)

    def _recurrent(self, args: Arguments, path: str) -> None:
        module, dense = self._parts.modules[path], self._dense.get_submodule(path)
        assert isinstance(module, nn.RNNBase)
        assert isinstance(dense, nn.RNNBase)
        inputs, wanted = (
            args[0],
            torch.cat(self._recorded.sequences[path], int(not dense.batch_first)),
        )
        if not dense.batch_first:
            inputs, wanted = inputs.transpose(0, 1), wanted.transpose(0, 1)
        for step in reconstruct_recurrent_(
            module, dense, path, inputs, wanted, masks=self._masks, kept=self._work.kept.get(path),
            places=self._work.places, check=self._work.check,
        ):  # fmt: skip
            self._tell(step)

    def _norm(self, func: Function, args: Arguments, kwargs: Keywords, call: Call) -> Tensor:
        inputs: Tensor = args[0]
        if id(inputs) in self._waiting:
            return inputs
        if self._normed.pop(id(inputs), None) is not None:
            self._work.settled.add(call.path)
            return inputs  # it came out of a folded layer
        found = self._uses.norm(func, args, kwargs, call)
        if found is not None:
            return found
        self._work.settled.add(call.path)
        if call.path not in self._graph.shared_norms:
            measure_norm_(self._parts.modules[call.path], inputs)
        normed: Tensor = func(*args, **kwargs)
        return normed

    def _sum(self, func: Function, args: Arguments, kwargs: Keywords, number: str) -> Tensor:
        target = ("add", number)
        mine = [self._waiting[id(part)][1] for part in args[:2] if id(part) in self._waiting]
        if kwargs or len(args) > 2 or any(one.folded.layer.target != target for one in mine):
            total: Tensor = func(*(self._settled(value) for value in args), **kwargs)
            return total
        layer = mine[0].folded.layer
        others = [part for part in args if id(part) not in self._waiting]
        offset = None
        if others:
            places = self._work.places_of(layer, others[0])
            offset = output_rows(others[0], places, layer.is_linear)[None]
        self._solve([one.folded for one in mine], offset)
        for part in args:
            self._waiting.pop(id(part), None)
        total = mine[0].run()
        for one in mine[1:]:
            total += one.run()
        for other in others:
            total += other
        return self._given_out(layer, total, of_sum=True)

    def _given_out(self, layer: Layer, result: Tensor, of_sum: bool = False) -> Tensor:
        """Remember what the next calls need not do again, or may do in place."""
        if layer.norm and not of_sum:
            self._normed = {id(result): result}
        if layer.bounds is not None:
            self._to_clamp = {id(result): result}
        return result

    def _settled(self, value: Any) -> Any:
        """A value to compute with: what waits for its sum is computed as it is."""
        return self._waiting.pop(id(value))[1].run() if id(value) in self._waiting else value

    def _solve(self, folded: list[Folded], offset: Tensor | None) -> None:
        """Choose new weights for layers that meet in a target, and write them."""
        problem = self._problem(folded, offset)
        name = " + ".join(one.layer.path for one in folded)
        _, judging = hold_out(problem)
        before = judging.error(problem.weight, problem.bias)
        if before <= SAME or not problem.inputs.sum().isfinite():
            self._tell(RepairStep(name, "as it was", before, before, False))
            return
        found = solve(problem, self._work.check)
        weights, biases = zip(*(one.remeasured() for one in folded), strict=True)
        remeasured = judging.error(torch.cat(weights, -1), torch.stack(biases).sum(0))
        if found.error < min(remeasured, before):
            _write(folded, found.weight, found.bias)
            method = "ridge, clamped" if found.clamps else "ridge"
            self._tell(RepairStep(name, method, before, found.error, True))
        elif remeasured < before:
            for one in folded:
                one.remeasure_()
            self._tell(RepairStep(name, "statistics", before, remeasured, True))
        else:
            self._tell(RepairStep(name, "as it was", before, before, False))

    def _problem(self, folded: list[Folded], offset: Tensor | None) -> Problem:
        wanted = self._work.wanted_of(folded[0].layer, len(folded[0].inputs))
        mask = torch.cat([one.mask for one in folded], -1)
        problem = Problem(
            torch.cat([one.inputs for one in folded], -1),
            wanted, offset, torch.cat([one.weight for one in folded], -1),
            torch.stack([one.bias for one in folded]).sum(0), None if mask.all() else mask,
            any(one.has_bias for one in folded), folded[0].layer.bounds,
        )  # fmt: skip
        gone = folded[0].gone
        if gone.any():  # such outputs stay what they are
            present = problem.outputs(problem.weight, problem.bias)
            problem = replace(problem, wanted=torch.where(gone[:, None], present, problem.wanted))
        return problem


def _write(folded: list[Folded], weight: Tensor, bias: Tensor) -> None:
    """Give every layer its part of a solution; the first that can take the bias takes all of it."""
    start, left = 0, bias
    for one in folded:
        end = start + one.inputs.shape[2]
        one.write_(weight[..., start:end], left)
        start, left = end, torch.zeros_like(bias) if one.has_bias else left
