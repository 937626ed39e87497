"""What a network is made of: its layers, their weights and work, and what can be pruned."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cached_property

import torch
from torch import nn

from workbench.errors import PlanError
from workbench.macs import RECURRENT, MacCount, count_macs
from workbench.model import Model

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
_MATRICES = (
    nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED, *RECURRENT, *_CELLS, nn.MultiheadAttention
)  # fmt: skip
_NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
FEW_WEIGHTS = 16


@dataclass(frozen=True)
class LayerInfo:
    """One weight tensor, or the parameters of a module that has none worth pruning.

    Attributes:
        layer_name: Dotted module path, with the tensor's name behind it where the module holds
            several weights, as in ``gru.weight_ih_l0``.
        type: Class of the module; ``Parameter`` for one that a larger module holds itself,
            ``Product`` for activations multiplied with each other.
        parameter_name: The weight's key in the state dict; empty where there is none to prune.
        shape: Shape of the weight, e.g. ``(out, in, kh, kw)``.
        num_weights: Entries of that weight: what a sparsity of this layer counts.
        num_params: All parameters of this row, bias included.
        num_zeros: Entries of the weight that are zero.
        macs: Multiply-accumulates for one input.
        prunable: Whether the weight can be pruned.
        reason: Why not; empty where it can.
        protected: Left dense unless asked for by name: the classifier.
        uses: Path of the module at every use of the weight in one pass, in order; several where
            a layer is called again or layers share the weight.
        shares_with: The layer that the weight is counted and pruned with, where this row is only
            a further name of it; empty otherwise.
    """

    layer_name: str
    type: str
    parameter_name: str
    shape: tuple[int, ...]
    num_weights: int
    num_params: int
    num_zeros: int
    macs: int
    prunable: bool
    reason: str = ""
    protected: bool = False
    uses: tuple[str, ...] = ()
    shares_with: str = ""

    @property
    def shared(self) -> bool:
        """Whether the weight is used several times in one pass."""
        return len(self.uses) > 1

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"shape": list(self.shape), "uses": list(self.uses)}


@dataclass(frozen=True)
class Inspection:
    """All layers of a model, in the order of its modules."""

    layers: tuple[LayerInfo, ...]

    @cached_property
    def prunable(self) -> tuple[LayerInfo, ...]:
        """The layers whose weights can be pruned, the protected classifier among them."""
        return tuple(layer for layer in self.layers if layer.prunable)

    @cached_property
    def by_name(self) -> Mapping[str, LayerInfo]:
        """Prunable layers by ``layer_name``."""
        return {layer.layer_name: layer for layer in self.prunable}

    def layer(self, layer_name: str) -> LayerInfo:
        """The prunable layer of that name.

        Raises:
            PlanError: If no layer has the name, or its weights cannot be pruned.
        """
        if layer_name in self.by_name:
            return self.by_name[layer_name]
        for layer in self.layers:
            if layer.layer_name == layer_name and layer.shares_with:
                raise PlanError(
                    f"{layer_name} shares its weight with {layer.shares_with}: they are pruned as "
                    "one.",
                    f"Give the value to {layer.shares_with!r}.",
                )
            if layer.layer_name == layer_name:
                raise PlanError(f"{layer_name} cannot be pruned. {layer.reason}", "Leave it dense.")
        close = get_close_matches(layer_name, self.by_name, 1)
        raise PlanError(
            f"There is no layer {layer_name!r}.",
            f"Did you mean {close[0]!r}?" if close else f"Prunable layers: {_list(self.by_name)}.",
        )

    @property
    def num_params(self) -> int:
        """Parameters of the whole model."""
        return sum(layer.num_params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole model for one input."""
        return sum(layer.macs for layer in self.layers)

    def to_dict(self) -> dict[str, object]:
        """Plain values: ``num_params``, ``macs``, ``layers`` and ``groups``.

        Where single weights are pruned every layer is a group of its own.
        """
        groups = [
            {"group": layer.layer_name, "layers": [layer.layer_name],
             "num_channels": layer.shape[0], "num_params": layer.num_weights, "macs": layer.macs}
            for layer in self.prunable
        ]  # fmt: skip
        return {
            "num_params": self.num_params,
            "macs": self.macs,
            "layers": [layer.to_dict() for layer in self.layers],
            "groups": groups,
        }


def inspect(model: Model) -> Inspection:
    """List the layers of a model with parameters, zeros, MACs and what can be pruned.

    Every parameter is counted in exactly one row, also where modules share it; that row names all
    uses and has the work of all of them. MACs come from one forward pass of one image: real
    output shapes and groups. Products of activations, such as
    attention scores, are rows of their own without weights. The classifier, the last layer on the
    way to the output with one row of weights per class, is marked as protected.
    """
    count = count_macs(model.module, model.input_shape)
    rows: list[LayerInfo] = []
    owners: dict[int, str] = {}
    for path, module in model.module.named_modules():
        own = dict(module.named_parameters(recurse=False))
        new = {key: p for key, p in own.items() if id(p) not in owners}
        tied = [*_tied(path, module, own, new, owners)]
        owners.update({id(parameter): _join(path, key) for key, parameter in new.items()})
        rows.extend(tied or _rows(path, module, new, count))
        if path in count.products:
            rows.append(_product(path, count.products[path]))
    return Inspection(_protect_classifier(tuple(rows), count, model.num_classes))


def _rows(
    path: str, module: nn.Module, own: Mapping[str, nn.Parameter], count: MacCount
) -> Iterator[LayerInfo]:
    """The rows of one module: one per weight matrix, or one for all that is no matrix."""
    matrices = {key: p for key, p in own.items() if _is_matrix(path, module, key, p, count)}
    rest = {key: p for key, p in own.items() if key not in matrices}
    bare = not isinstance(module, _MATRICES)
    for index, (key, weight) in enumerate(matrices.items()):
        reason = _why_not_matrix(weight, path, _join(path, key), count)
        with_it = 0 if bare or index else sum(p.numel() for p in rest.values())
        yield LayerInfo(
            layer_name=_join(path, key) if bare or len(matrices) > 1 or not path else path,
            type="Parameter" if bare else type(module).__name__,
            parameter_name="" if reason else _join(path, key),
            shape=tuple(weight.shape),
            num_weights=weight.numel(),
            num_params=weight.numel() + with_it,
            num_zeros=_num_zeros(weight),
            macs=count.by_parameter.get(_join(path, key), 0),
            prunable=not reason,
            reason=reason,
            uses=tuple(count.uses.get(_join(path, key), ())),
        )
    if matrices and not bare:
        return
    if rest and (isinstance(module, _NORMS) or _is_library(module)):
        row = _unprunable(
            path or type(module).__name__, type(module).__name__, rest, _why_not(module)
        )
        yield replace(row, uses=(path,) * count.calls[path])
    else:
        for key, parameter in rest.items():
            why = "It is added to activations or scales them; it is no weight matrix."
            yield _unprunable(_join(path, key), "Parameter", {key: parameter}, why)


def _is_matrix(
    path: str, module: nn.Module, key: str, parameter: nn.Parameter, count: MacCount
) -> bool:
    """A weight of a known layer, or a parameter that was seen as a factor of a matrix product."""
    if parameter.dim() < 2 or isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return False
    return isinstance(module, _MATRICES) or _join(path, key) in count.by_parameter


def _why_not_matrix(weight: nn.Parameter, path: str, full: str, count: MacCount) -> str:
    if weight.numel() < FEW_WEIGHTS:
        return f"It has only {weight.numel()} weights."
    if full not in count.by_parameter and path not in count.calls:
        return "The network never uses it: an image passes through without reaching it."
    return ""


def _why_not(module: nn.Module) -> str:
    if isinstance(module, _NORMS):
        return "Normalisation has one scale and shift per channel; there is nothing to thin out."
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "Each row of an embedding stands for one token; rows are not pruned here."
    return f"A {type(module).__name__} scales or combines activations; it holds no weight matrix."


def _unprunable(
    name: str, kind: str, parameters: Mapping[str, nn.Parameter], reason: str
) -> LayerInfo:
    total = sum(parameter.numel() for parameter in parameters.values())
    zeros = sum(_num_zeros(parameter) for parameter in parameters.values())
    shape = tuple(next(iter(parameters.values())).shape)
    return LayerInfo(name, kind, "", shape, total, total, zeros, 0, False, reason)


def _tied(
    path: str, module: nn.Module, own: Mapping[str, nn.Parameter], new: Mapping[str, nn.Parameter],
    owners: Mapping[int, str],
) -> Iterator[LayerInfo]:  # fmt: skip
    """A row for each weight that an earlier module holds already; what is new is with the first.

    A module that has a weight of its own beside gets its ordinary rows instead.
    """
    weights = {key: p for key, p in own.items() if p.dim() >= 2}
    if any(key in new for key in weights):
        return
    rest = sum(parameter.numel() for parameter in new.values())
    for index, (key, parameter) in enumerate(weights.items()):
        owner = owners[id(parameter)].removesuffix(".weight")
        name = path if path and len(weights) == 1 else _join(path, key)
        yield LayerInfo(
            name, type(module).__name__, "", tuple(parameter.shape), 0, 0 if index else rest, 0, 0,
            False, f"It shares its weight with {owner}.", shares_with=owner,
        )  # fmt: skip


def _product(path: str, macs: int) -> LayerInfo:
    reason = "It multiplies activations with each other and holds no weights."
    return LayerInfo(_join(path, "products"), "Product", "", (), 0, 0, 0, macs, False, reason)


def _protect_classifier(
    rows: tuple[LayerInfo, ...], count: MacCount, num_classes: int
) -> tuple[LayerInfo, ...]:
    """Mark the last layer in forward order that gives one output per class, if others are left."""
    by_parameter = {row.parameter_name: row for row in rows if row.prunable}
    if len(by_parameter) < 2:
        return rows
    for name in reversed(count.by_parameter):
        row = by_parameter.get(name)
        if row is not None and num_classes in _outputs(row):
            return tuple(replace(r, protected=True) if r is row else r for r in rows)
    return rows


def _outputs(row: LayerInfo) -> tuple[int, ...]:
    """How many outputs a weight may have: which axis counts them is known for known layers."""
    if row.type == "Parameter":
        return row.shape
    return row.shape[1:2] if row.type.startswith("ConvTranspose") else row.shape[:1]


def _num_zeros(parameter: nn.Parameter) -> int:
    return parameter.numel() - int(torch.count_nonzero(parameter.detach()))


def _is_library(module: nn.Module) -> bool:
    """Whether PyTorch itself defines the module, so that its class name says what it does."""
    return type(module).__module__.startswith("torch.")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _list(names: Collection[str], limit: int = 5) -> str:
    shown = ", ".join(list(names)[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"
