"""What follows each layer: a BatchNorm, a sum, an activation that clamps."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from workbench.reconstruct.calls import Call, Function, Parts, argument

Target = tuple[str, str]
"""Where a layer's result is compared: kind of the call and its path or, of a sum, its number; of a
use of a shared weight the path and the number of the use."""


@dataclass(frozen=True)
class Layer:
    """A layer that can be solved for, or one use of a layer that is used several times.

    Attributes:
        path: Of the layer; where several layers have one weight, of the first of them.
        norm: Path of the BatchNorm that alone takes its output; empty if there is none.
        target: The call whose output the layer is to reproduce: its own, that of the BatchNorm,
            or the sum that alone takes it.
        bounds: What the activation behind the target lets through; None if it is no clamp.
        is_linear: Channels come last, as in ``nn.Linear``; else second, as in convolutions.
        bias: Name of the bias that the call adds; empty if there is none.
    """

    path: str
    norm: str
    target: Target
    bounds: tuple[float, float] | None
    is_linear: bool
    bias: str = ""

    @property
    def ends_in_sum(self) -> bool:
        """Whether it is solved together with what its output is added to."""
        return self.target[0] == "add"


@dataclass(frozen=True)
class Unit:
    """What is solved at once because it is used several times: a weight, a bias, or both.

    Attributes:
        paths: Of the layers whose weights these are; several only where they share a bias.
        uses: One for every call, in order.
        fixed: Names of biases that are used elsewhere too and stay as they are.
    """

    paths: tuple[str, ...]
    uses: tuple[Layer, ...]
    fixed: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its paths in one line."""
        return " + ".join(self.paths)


def use_target(path: str, number: int) -> Target:
    """The target of a use that is compared at its own output; the first has number 0."""
    return ("use", f"{path} {number}")


@dataclass(eq=False)
class _Node:
    """A tensor: the call it came from, and the calls that take it."""

    call: Call
    name: str
    inputs: list["_Node"]
    value: Tensor
    bias: str = ""
    groups: int = 1
    users: list["_Node"] = field(default_factory=list)


@dataclass(frozen=True)
class Graph:
    """The layers of a network in the order of their calls.

    Attributes:
        layers: Path to layer, for those that can be solved for.
        recurrent: Paths of recurrent modules that can be solved for.
        notes: Why some cannot.
        widest: Numbers per image in its largest tensor.
        passing: Functions that were seen to give a tensor back as it was, as dropout does.
        shared_norms: Paths of BatchNorms that are called several times: one average for all.
        units: Shared weights and biases that can be solved for.
    """

    layers: dict[str, Layer]
    recurrent: tuple[str, ...]
    notes: tuple[str, ...]
    widest: int
    passing: frozenset[Function] = frozenset()
    shared_norms: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()

    @property
    def unit_of(self) -> dict[str, Unit]:
        """Path of a layer with a shared weight or bias to what is solved with it."""
        return {path: unit for unit in self.units for path in unit.paths}

    @property
    def num_uses(self) -> Counter[str]:
        """Path of a layer with a shared weight to how often a pass uses it."""
        return Counter(use.path for unit in self.units for use in unit.uses)

    def without_units(self) -> "Graph":
        """Shared weights are left as they are, for passes that do not all go the same way."""
        notes = [
            f"{unit.name} is not used equally often in every pass, so it was left as it is."
            for unit in self.units
        ]
        return replace(self, units=(), notes=(*self.notes, *notes))

    @property
    def targets(self) -> list[Layer]:
        """Everything that is compared with the dense network: layers and uses."""
        return [*self.layers.values(), *(use for unit in self.units for use in unit.uses)]


def trace(network: nn.Module, images: Tensor) -> Graph:
    """Follow a few images through a network.

    Args:
        network: In eval mode.
        images: ``(samples, channels, height, width)``; one or two suffice.
    """
    tracer = _Tracer(network, len(images))
    with tracer, torch.no_grad():
        network(images)
    return Graph(
        tracer.layers(), tracer.recurrent(), tuple(tracer.notes()),
        -(-tracer.widest // len(images)), frozenset(tracer.passing), tracer.shared_norms(),
        tuple(tracer.units()),
    )  # fmt: skip


class _Tracer(TorchFunctionMode):
    """Records which tensor goes where; keeps all of them alive, so that ids stay unique."""

    def __init__(self, network: nn.Module, num_images: int) -> None:
        super().__init__()
        self.widest = 0
        self._num_images = num_images
        self.passing: set[Function] = set()
        self._parts = Parts(network)
        self._nodes: list[_Node] = []
        self._node_of: dict[int, _Node] = {}
        self._alive: list[Any] = []
        self._num_sums = 0
        self._uses = Counter[int]()

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        taken = _tensors((args, kwargs))
        self._uses.update({id(tensor) for tensor in taken if isinstance(tensor, nn.Parameter)})
        versions = [tensor._version for tensor in taken]
        result = func(*args, **kwargs)
        results = _tensors(result)
        if not results:
            self._uses.subtract(
                {id(tensor) for tensor in taken if isinstance(tensor, nn.Parameter)}
            )
            return result  # only looked at, as for its shape
        unchanged = versions == [tensor._version for tensor in taken]
        if unchanged and any(one is other for one in results for other in taken):
            self.passing.add(func)
            return result
        call = self._parts.recognise(func, args, kwargs)
        name = call.path
        if call.kind == "add":
            name, self._num_sums = str(self._num_sums), self._num_sums + 1
        inputs = [self._node_of[id(tensor)] for tensor in taken if id(tensor) in self._node_of]
        node = _Node(call, name, inputs, results[0])
        if call.kind == "layer":
            node.bias = self._parts.bias_name(args, kwargs)
            node.groups = argument(args, kwargs, 6, "groups") or 1
        for one in inputs:
            one.users.append(node)
        for tensor in results:
            self._node_of[id(tensor)] = node
            self.widest = max(self.widest, tensor.numel())
        self._nodes.append(node)
        self._alive.append((result, taken))
        return result

    def layers(self) -> dict[str, Layer]:
        """The layers that alone use their weights, in one call, and can be solved for."""
        return {node.name: self._layer(node) for node in self._solvable("layer")}

    def recurrent(self) -> tuple[str, ...]:
        """The recurrent modules that are called exactly once and can be solved for."""
        return tuple(node.name for node in self._solvable("recurrent"))

    def _solvable(self, kind: str) -> Iterable[_Node]:
        """Calls whose outputs have the images along one axis and are precise enough to solve."""
        for node in self._nodes:
            if node.call.kind != kind or not self._used_once(node.name):
                continue
            if self._fits(node):
                yield node

    def _fits(self, node: _Node) -> bool:
        first = getattr(self._parts.modules[node.name], "batch_first", True)
        fits = node.value.shape[int(not first)] == self._num_images
        return fits and node.value.dtype in (torch.float32, torch.float64)

    def units(self) -> Iterable[Unit]:
        """Weights that several calls use, always as weights of layers, and shared biases."""
        calls: dict[str, list[_Node]] = {}
        for node in self._nodes:
            if node.call.kind == "layer" and not self._used_once(node.name):
                calls.setdefault(node.name, []).append(node)
        calls = {path: nodes for path, nodes in calls.items() if self._only_in(path, nodes)}
        known = self._known_biases([node for nodes in calls.values() for node in nodes])
        for paths in _joined(calls, known):
            nodes = [node for node in self._nodes if node.name in paths and node.call.path in paths]
            uses, numbers = [], Counter[str]()
            for node in nodes:
                uses.append(self._layer(node, numbers[node.name]))
                numbers[node.name] += 1
            fixed = frozenset(node.bias for node in nodes if node.bias) - known
            yield Unit(tuple(paths), tuple(uses), fixed)

    def _known_biases(self, nodes: Sequence[_Node]) -> set[str]:
        """Names of the biases that nothing but these calls uses."""
        by_bias: dict[str, list[_Node]] = {}
        for node in nodes:
            by_bias.setdefault(node.bias, []).append(node)
        return {
            name for name, users in by_bias.items()
            if name and self._uses[id(self._parts.parameters[name])] == len(users)
            and (len({node.name for node in users}) == 1 or {node.groups for node in users} == {1})
        }  # fmt: skip

    def _only_in(self, path: str, nodes: Sequence[_Node]) -> bool:
        """Whether these calls are all uses of a weight and can be solved for."""
        weight = self._parts.modules[path].get_parameter("weight")
        alike = len({node.groups for node in nodes}) == 1
        return alike and self._uses[id(weight)] == len(nodes) and all(map(self._fits, nodes))

    def notes(self) -> Iterable[str]:
        """Why a layer is left as it is."""
        units = [*self.units()]
        solved = {*self.layers(), *self.recurrent()}
        held = {id(self._parts.modules[p].weight) for unit in units for p in unit.paths}
        for path, module in self._parts.modules.items():
            if list(module.children()) or not any(p.dim() > 1 for p in module.parameters(False)):
                continue
            if path in solved or id(getattr(module, "weight", None)) in held:
                continue
            calls = max(self._uses[id(own)] for own in module.parameters(False))
            if calls > 1:
                yield (
                    f"{path} is used {calls} times in a pass, not each time as the weight of a "
                    "layer, so it was left as it is."
                )
            else:
                yield f"{path} ({type(module).__name__}) was left as it is."
        for name in sorted({name for unit in units for name in unit.fixed}):
            yield f"{name} is used elsewhere too, so it was left as it is."
        for path in self.shared_norms():
            yield f"{path} serves {self._norm_calls(path)} places; it has one average for all."

    def shared_norms(self) -> tuple[str, ...]:
        """Paths of the BatchNorms that are called several times."""
        found = dict.fromkeys(node.name for node in self._nodes if node.call.kind == "norm")
        return tuple(path for path in found if self._norm_calls(path) > 1)

    def _norm_calls(self, path: str) -> int:
        return sum(node.call.kind == "norm" and node.name == path for node in self._nodes)

    def _used_once(self, path: str) -> bool:
        """Whether nothing but one call uses the parameters of a module."""
        return all(self._uses[id(own)] == 1 for own in self._parts.modules[path].parameters(False))

    def _layer(self, node: _Node, use: int | None = None) -> Layer:
        """A layer or, with its number, one of several uses."""
        module = self._parts.modules[node.name]
        is_linear, norm, tip = isinstance(module, nn.Linear), "", node
        target: Target = ("layer", node.name) if use is None else use_target(node.name, use)
        after = _only_user(tip)
        fits = not is_linear or node.value.dim() == 2  # else BatchNorm does not take its outputs
        if after and after.call.kind == "norm" and fits and self._can_fold(after):
            norm, tip, target = after.name, after, ("norm", after.name)
            after = _only_user(tip)
        alone = use is None or not after or sum(map(bool, map(self._source, after.inputs))) == 1
        if after and after.call.kind == "add" and alone and self._can_join(node, after):
            tip, target = after, ("add", after.name)
            after = _only_user(tip)
        bounds = after.call.bounds if after and after.call.kind == "clamp" else None
        return Layer(node.name, norm, target, bounds, is_linear, node.bias)

    def _can_fold(self, norm: _Node) -> bool:
        """Whether a BatchNorm may be part of a solution: it has a factor and serves one layer."""
        found = self._parts.modules[norm.name].affine and self._used_once(norm.name)
        return bool(found and self._norm_calls(norm.name) == 1)

    def _can_join(self, node: _Node, total: _Node) -> bool:
        """Whether the layer may wait for a sum: it has one group, and both parts lie alike."""
        module = self._parts.modules[node.name]
        if getattr(module, "groups", 1) != 1:
            return False
        others = [self._source(part) for part in total.inputs]
        linear = {
            isinstance(self._parts.modules[part.name], nn.Linear) for part in others if part
        }  # fmt: skip
        return len(linear) == 1

    def _source(self, node: _Node) -> _Node | None:
        """The layer a tensor comes from, straight or through a BatchNorm."""
        if node.call.kind == "norm" and node.inputs:
            node = node.inputs[0]
        return node if node.call.kind == "layer" else None


def _joined(calls: dict[str, list[_Node]], biases: set[str]) -> list[list[str]]:
    """Paths of layers that are solved at once: those that share a bias."""
    found: list[list[str]] = []
    for path, nodes in calls.items():
        mine = {node.bias for node in nodes} & biases
        near = [
            paths for paths in found if mine & {node.bias for one in paths for node in calls[one]}
        ]
        found = [paths for paths in found if paths not in near]
        found.append([*(one for paths in near for one in paths), path])
    return found


def _only_user(node: _Node) -> _Node | None:
    return node.users[0] if len(node.users) == 1 else None


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]
