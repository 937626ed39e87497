"""Coupling: which channels of which tensors must go together, found with Torch-Pruning.

Torch-Pruning traces the network and follows each channel through additions, concatenations and
reshapes (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"). Here its findings become
plain index lists: for every unit the places in the state dict that go with it.
"""

import copy
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from workbench.coupled import Coupled, Slice, join_shared, with_all_names
from workbench.shared import all_names
from workbench.thin import HEADS

_ATTENTION = ("ScaledDotProduct", "BmmBackward", "SoftmaxBackward")
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
_GATES = {nn.RNN: 1, nn.LSTM: 4, nn.GRU: 3}


def trace_coupling(module: nn.Module, input_shape: Sequence[int]) -> tuple[Coupled, ...]:
    """All coupled channels of a network, in the order of its modules.

    Args:
        module: Any network; it stays as it is.
        input_shape: ``(channels, height, width)`` of one image.

    Raises:
        RuntimeError: Whatever the network or the tracing raises where it cannot be traced.
    """
    traced = copy.deepcopy(module).eval()
    names = {path: index for index, (path, _) in enumerate(module.named_modules())}
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = [*_traced_groups(traced, input_shape)]
    paths = {id(part): path for path, part in traced.named_modules()}
    aliases = {name: own for own in all_names(traced).values() for name in own}
    found = [one for group in groups for one in _coupled(traced, group, paths, aliases, names)]
    found = join_shared(found, aliases)
    for one in found:
        one.producers = tuple(sorted(one.producers, key=names.__getitem__))
        one.consumers = tuple(sorted(one.consumers, key=names.__getitem__))
    found.sort(key=lambda one: names[one.producers[0]])
    return tuple(found)


def _traced_groups(module: nn.Module, input_shape: Sequence[int]) -> Iterator[Any]:
    """Torch-Pruning's groups, recurrent layers replaced by stand-ins it can follow."""
    import torch_pruning as tp

    class RecurrentPruner(tp.BasePruningFunc):  # type: ignore[misc]
        """Tells Torch-Pruning how wide a recurrent layer is; the cutting is done by index."""

        def prune_out_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
            raise NotImplementedError(f"{len(idxs)} units of {layer} are cut by index.")

        def prune_in_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
            raise NotImplementedError(f"{len(idxs)} inputs of {layer} are cut by index.")

        def get_out_channels(self, layer: "_StandIn") -> int:
            return layer.linear.out_features

        def get_in_channels(self, layer: "_StandIn") -> int:
            return layer.linear.in_features

    stand_ins = _replace_recurrent_(module)
    parameters = [p.requires_grad_() for p in module.parameters() if p.is_floating_point()]
    dtype = parameters[0].dtype if parameters else torch.float32
    images = torch.rand(2, *input_shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    graph = tp.DependencyGraph()
    graph.build_dependency(
        module, example_inputs=images, verbose=False,
        customized_pruners={_StandIn: RecurrentPruner()} if stand_ins else None,
    )  # fmt: skip
    roots = [_ConvNd, nn.Linear, nn.MultiheadAttention, _StandIn]
    for group in graph.get_all_groups(root_module_types=roots):
        items = []
        for item in group:
            outputs = graph.is_out_channel_pruning_fn(item.dep.handler)
            inputs = graph.is_in_channel_pruning_fn(item.dep.handler)
            roots_of = getattr(item, "root_idxs", item.idxs)
            items.append(_Item(item.dep.target, outputs, inputs, item.idxs, roots_of))
        yield items


class _StandIn(nn.Module):
    """One matrix in the place of a recurrent layer: the same inputs and outputs, no loop."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.stands_for = [layer]  # in a list, so that it is no submodule
        self.batch_first = layer.batch_first
        width = layer.hidden_size * _directions(layer)
        self.linear = nn.utils.skip_init(nn.Linear, layer.input_size, width)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor, *_: object) -> tuple[Tensor, object]:
        """Sequences ``(batch, steps, inputs)`` to ``(batch, steps, units)`` and a last state."""
        steps = nn.functional.linear(x, self.linear.weight)
        layer = self.stands_for[0]
        last = steps[:, -1] if self.batch_first else steps[-1]
        last = last.unflatten(-1, (_directions(layer), -1)).transpose(0, 1)
        state = last.repeat(layer.num_layers, 1, 1)
        return steps, (state, state) if isinstance(layer, nn.LSTM) else state


def _replace_recurrent_(module: nn.Module) -> list[_StandIn]:
    found = []
    for parent in [*module.modules()]:
        for name, child in [*parent.named_children()]:
            if isinstance(child, _RECURRENT):
                found.append(_StandIn(child))
                setattr(parent, name, found[-1])
    return found


@dataclass
class _Item:
    """One entry of a Torch-Pruning group."""

    node: Any
    outputs: bool
    inputs: bool
    idxs: Sequence[int]
    roots: Sequence[int]


_Places = defaultdict[tuple[str, int], list[tuple[int, int]]]
"""Tensor and dimension to its places, each with the root channel that it goes with."""


def _coupled(
    module: nn.Module, items: Sequence[_Item], paths: Mapping[int, str],
    aliases: Mapping[str, Sequence[str]], order: Mapping[str, int],
) -> Iterator[Coupled]:  # fmt: skip
    """Turn one group of Torch-Pruning into index lists.

    It becomes several where its channels go different ways, as behind a concatenation.
    """
    places, reason, operations = _Places(list), "", []
    roles: dict[str, str] = {}
    for item in items:
        part = item.node.module
        path = paths.get(id(part))
        if isinstance(part, nn.Parameter):
            reason = reason or f"It meets {_parameter_name(module, part)}, a bare parameter."
            continue
        if path is None:  # an operation, not a module
            operations.append(str(getattr(item.node.grad_fn, "name", lambda: "")()))
            continue
        pairs = [*zip(item.idxs, item.roots, strict=True)]
        role, why = _add_places(places, part, path, item, pairs)
        reason = reason or why
        if role:
            roles[path] = "producer" if "producer" in (role, roles.get(path)) else role
    reached = tuple(name for name in operations if name)
    producers = sorted((p for p, role in roles.items() if role == "producer"), key=order.get)  # type: ignore[arg-type]
    if not producers:
        return
    unit, merged = _unit_and_merges(module, producers, reached)
    if "consumer" not in roles.values():
        reason = reason or "Its outputs are the class scores: one for every class."
    if unit == "head" and not merged:
        reason = reason or (
            "Attention mixes these channels, and the block does not say how many heads it has "
            f"(attribute {', '.join(HEADS[:2])})."
        )
    for slices, num_units in _slices(places, merged):
        own = {one.parameter.rpartition(".")[0] for one in slices}
        every, unlike = with_all_names(slices, aliases)
        few = "All of it hangs together: no part can go." if num_units < 2 else ""
        consumers = sorted((p for p in own if roles.get(p) == "consumer"), key=order.get)  # type: ignore[arg-type]
        first = tuple(path for path in producers if path in own)
        yield Coupled(
            num_units, unit, first or tuple(producers), tuple(consumers), every,
            reason or unlike or few, reached,
        )  # fmt: skip


def _add_places(
    places: _Places, part: nn.Module, path: str, item: _Item, pairs: list[tuple[int, int]]
) -> tuple[str, str]:
    """Note which places of a module's tensors go; returns its role and why it cannot be cut."""
    prefix = f"{path}." if path else ""
    if isinstance(part, _StandIn):
        return _add_recurrent(places, part.stands_for[0], prefix, item, pairs)
    if isinstance(part, _ConvNd | nn.Linear):
        return _add_matrix(places, part, path, item, pairs)
    if isinstance(part, _BatchNorm | nn.modules.instancenorm._InstanceNorm | nn.PReLU):
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(part, key, None)
            if tensor is not None and len(tensor) > 1:
                places[f"{prefix}{key}", 0].extend(pairs)
        return "", ""
    if isinstance(part, nn.LayerNorm | nn.GroupNorm):
        kind = type(part).__name__
        return "consumer", (
            f"{path} ({kind}) normalises over these channels: without some of them all others "
            "would change."
        )
    if isinstance(part, nn.MultiheadAttention):
        return "consumer", f"{path} is PyTorch's MultiheadAttention, whose width is fixed."
    return "consumer", f"{path} is a {type(part).__name__}, which is not supported."


def _add_matrix(
    places: _Places, part: nn.Module, path: str, item: _Item, pairs: list[tuple[int, int]]
) -> tuple[str, str]:
    """Places of a convolution or Linear layer: its outputs, or the inputs of each output."""
    prefix = f"{path}." if path else ""
    groups, out_dim = getattr(part, "groups", 1), 1 if isinstance(part, _ConvTransposeNd) else 0
    if groups > 1 and out_dim == 1:
        return "consumer", f"{path} is a transposed convolution of {groups} groups."
    depthwise = groups > 1 and groups == part.in_channels == part.out_channels
    if not item.outputs and not depthwise:
        inputs = part.get_parameter("weight").shape[1 - out_dim]  # of each group
        own = [(place % inputs, root) for place, root in pairs] if groups > 1 else pairs
        places[f"{prefix}weight", 1 - out_dim].extend(own)
        return "consumer", ""
    if groups > 1 and not depthwise:  # every group loses the same number
        each = part.get_parameter("weight").shape[0] // groups
        places["", 0].extend([(place % each, root) for place, root in pairs])
    places[f"{prefix}weight", out_dim].extend(pairs)
    if part.bias is not None:
        places[f"{prefix}bias", 0].extend(pairs)
    return "producer", ""


def _add_recurrent(
    places: _Places, layer: nn.RNNBase, prefix: str, item: _Item, pairs: list[tuple[int, int]]
) -> tuple[str, str]:
    """Places of a recurrent layer: a hidden unit has a row in every gate of every layer."""
    suffixes = ("", "_reverse")[: _directions(layer)]
    if not item.outputs:
        for suffix in suffixes:
            places[f"{prefix}weight_ih_l0{suffix}", 1].extend(pairs)
        return "consumer", ""
    if layer.proj_size:
        return "producer", f"{prefix[:-1]} projects its hidden units to another width."
    hidden, gates = layer.hidden_size, _GATES[type(layer)]
    units = [(place % hidden, root) for place, root in pairs]
    rows = [(gate * hidden + unit, root) for unit, root in units for gate in range(gates)]
    for number in range(layer.num_layers):
        for suffix in suffixes:
            end = f"l{number}{suffix}"
            for matrix in ("ih", "hh"):
                places[f"{prefix}weight_{matrix}_{end}", 0].extend(rows)
                if layer.bias:
                    places[f"{prefix}bias_{matrix}_{end}", 0].extend(rows)
            places[f"{prefix}weight_hh_{end}", 1].extend(units)
            if number:
                both = [
                    (direction * hidden + unit, root)
                    for unit, root in units
                    for direction in range(len(suffixes))
                ]
                places[f"{prefix}weight_ih_{end}", 1].extend(both)
    return "producer", ""


def _unit_and_merges(
    module: nn.Module, producers: Sequence[str], operations: Sequence[str]
) -> tuple[str, list[int]]:
    """What a unit is, and for heads the head of every channel."""
    parts = [module.get_submodule(path) for path in producers]
    if any(isinstance(part, _StandIn) for part in parts):
        return "hidden unit", []
    if any(name.startswith(_ATTENTION) for name in operations):
        for path, part in zip(producers, parts, strict=True):
            heads = _num_heads(module.get_submodule(path.rpartition(".")[0]))
            width = getattr(part, "out_features", 0)
            if heads and width % heads == 0:
                return "head", [channel // (width // heads) for channel in range(width)]
        return "head", []
    if parts and all(isinstance(part, nn.Linear) for part in parts):
        return "neuron", []
    return "channel", []


def _num_heads(block: nn.Module) -> int:
    for name in HEADS:
        value = getattr(block, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _slices(places: _Places, merged: Sequence[int]) -> Iterator[tuple[tuple[Slice, ...], int]]:
    """Units as sets of root channels that share a place, sorted by the tensors they lie in."""
    count = max((r for pairs in places.values() for _, r in pairs), default=-1) + 1
    parent = [*range(count)]

    def top(root: int) -> int:
        while parent[root] != root:
            parent[root] = parent[parent[root]]
            root = parent[root]
        return root

    def join(a: int, b: int) -> None:
        low, high = sorted((top(a), top(b)))
        parent[high] = low

    for channel, head in enumerate(merged[:count]):
        join(channel, merged.index(head))
    for pairs in places.values():
        first: dict[int, int] = {}
        for place, root in pairs:
            join(root, first.setdefault(place, root))
    units: dict[int, dict[tuple[str, int], set[int]]] = {}
    for key, pairs in places.items():
        for place, root in pairs:
            units.setdefault(top(root), {}).setdefault(key, set()).add(place)
    alike: dict[tuple[tuple[tuple[str, int], int], ...], list[dict[tuple[str, int], set[int]]]] = {}
    for root in sorted(units):
        kind = tuple(sorted((key, len(held)) for key, held in units[root].items() if key[0]))
        alike.setdefault(kind, []).append(units[root])
    for kind, own in alike.items():
        slices = [
            Slice(*key, torch.tensor([sorted(unit[key]) for unit in own], dtype=torch.long))
            for key, _ in kind
        ]
        yield tuple(slices), len(own)


def _parameter_name(module: nn.Module, parameter: nn.Parameter) -> str:
    return next((name for name, own in module.named_parameters() if own is parameter), "parameter")


def _directions(layer: nn.RNNBase) -> int:
    return 2 if layer.bidirectional else 1
