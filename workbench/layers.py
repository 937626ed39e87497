"""What a network is made of: its layers, their weights and work, and what can be pruned."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from workbench.model import Model

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
_PRUNABLE = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED, *_RECURRENT, nn.MultiheadAttention)
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
        type: Class of the module.
        parameter_name: The weight's key in the state dict; empty where there is none to prune.
        shape: Shape of the weight, e.g. ``(out, in, kh, kw)``.
        num_weights: Entries of that weight: what a sparsity of this layer counts.
        num_params: All parameters of this row, bias included.
        num_zeros: Entries of the weight that are zero.
        macs: Multiply-accumulates for one input.
        prunable: Whether the weight can be pruned.
        reason: Why not; empty where it can.
        protected: Left dense unless asked for by name: the classifier.
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

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"shape": list(self.shape)}


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

    MACs come from one forward pass of one image: real output shapes and groups. Products of
    activations, such as attention scores, are rows of their own without weights.
    """
    macs, products = _count_macs(model)
    rows: list[LayerInfo] = []
    seen: set[int] = set()
    for path, module in model.module.named_modules():
        own = {k: p for k, p in module.named_parameters(recurse=False) if id(p) not in seen}
        seen.update(id(parameter) for parameter in own.values())
        rows.extend(_rows(path, module, own, macs))
        if path in products:
            rows.append(
                LayerInfo(f"{path}.products" if path else "products", "Attention product", "",
                          (), 0, 0, 0, products[path], False,
                          "It multiplies activations with each other and holds no weights.")
            )  # fmt: skip
    last = max((i for i, row in enumerate(rows) if row.prunable), default=None)
    if last is not None and len([row for row in rows if row.prunable]) > 1:
        values = rows[last].__dict__ | {"protected": True}
        rows[last] = LayerInfo(**values)
    return Inspection(tuple(rows))


def _rows(
    path: str, module: nn.Module, own: Mapping[str, nn.Parameter], macs: Mapping[str, int]
) -> Iterator[LayerInfo]:
    """The rows of one module: one per prunable weight, or one for all it holds."""
    kind = type(module).__name__
    total = sum(parameter.numel() for parameter in own.values())
    if not own:
        return
    weights = {k: p for k, p in own.items() if p.dim() >= 2}
    if not isinstance(module, _PRUNABLE) or not weights:
        weight = next(iter(own.values()))
        zeros = sum(int((p == 0).sum()) for p in own.values())
        yield LayerInfo(path, kind, "", tuple(weight.shape), total, total, zeros,
                        0, False, _why_not(module))  # fmt: skip
        return
    rest = total - sum(parameter.numel() for parameter in weights.values())
    for index, (key, weight) in enumerate(weights.items()):
        name = path if len(weights) == 1 else f"{path}.{key}"
        full = f"{path}.{key}" if path else key
        prunable = weight.numel() >= FEW_WEIGHTS
        yield LayerInfo(
            name or key, kind, full if prunable else "", tuple(weight.shape), weight.numel(),
            weight.numel() + (rest if index == 0 else 0), int((weight == 0).sum()),
            macs.get(full, 0), prunable,
            "" if prunable else f"It has only {weight.numel()} weights.",
        )  # fmt: skip


def _why_not(module: nn.Module) -> str:
    if isinstance(module, _NORMS):
        return "Normalisation has one scale and shift per channel; there is nothing to thin out."
    if isinstance(module, nn.Embedding):
        return "Each row of an embedding stands for one token; rows are not pruned here."
    return f"Parameters of {type(module).__name__} are added or scaled, not multiplied as a matrix."


def _count_macs(model: Model) -> tuple[dict[str, int], dict[str, int]]:
    """MACs by weight key, and MACs of activation products by module path."""
    counts: dict[str, int] = {}
    handles = []

    def count(path: str, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        for key, value in _module_macs(module, inputs, output).items():
            full = f"{path}.{key}" if path else key
            counts[full] = counts.get(full, 0) + value

    for path, module in model.module.named_modules():
        if isinstance(module, _PRUNABLE):
            handles.append(
                module.register_forward_hook(lambda m, i, o, path=path: count(path, m, i, o))
            )
    first = next(model.module.parameters())
    image = torch.zeros(1, *model.input_shape, device=first.device)
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            model.module(image)
    finally:
        for handle in handles:
            handle.remove()
    return counts, _product_macs(counter, type(model.module).__name__)


def _module_macs(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> dict[str, int]:
    """MACs of one call of one module, by the weight that does them."""
    if isinstance(module, _RECURRENT):
        x = inputs[0]
        steps = x.shape[:-1].numel()
        return {k: p.numel() * steps for k, p in module.named_parameters() if p.dim() == 2}
    if isinstance(module, nn.MultiheadAttention):
        steps = inputs[0].shape[:-1].numel()
        return {
            k: p.numel() * steps for k, p in module.named_parameters(recurse=False) if p.dim() == 2
        }
    assert isinstance(output, Tensor)
    weight = module.weight
    assert isinstance(weight, Tensor)
    if isinstance(module, nn.Linear):
        return {"weight": output.numel() * weight.shape[1]}
    positions = inputs[0] if isinstance(module, _TRANSPOSED) else output
    return {"weight": positions.shape[2:].numel() * positions.shape[0] * weight.numel()}


def _product_macs(counter: FlopCounterMode, root: str) -> dict[str, int]:
    """MACs of attention and batched products, by the innermost module that runs them."""
    names = ("_scaled_dot_product", "bmm")
    by_path = {
        path: sum(v // 2 for op, v in ops.items() if any(name in str(op) for name in names))
        for path, ops in counter.get_flop_counts().items()
        if path != "Global"
    }
    by_path = {path.removeprefix(root).lstrip("."): value for path, value in by_path.items() if value}
    return {
        path: value - sum(v for p, v in by_path.items() if p != path and _parent(p, by_path) == path)
        for path, value in by_path.items()
        if value > sum(v for p, v in by_path.items() if p != path and _parent(p, by_path) == path)
    }


def _parent(path: str, known: Mapping[str, int]) -> str | None:
    """The nearest enclosing path among ``known``."""
    while path:
        path = path.rpartition(".")[0]
        if path in known:
            return path
    return None
