"""Multiply-accumulates of a network, counted from the matrix products that one image causes.

Every product that PyTorch runs is seen with its real shapes. Where one of its factors lies in the
memory of a parameter the work belongs to that parameter, whichever module asked for it; where both
factors are activations, as in attention, it belongs to the module that was running.
"""

import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
_aten = torch.ops.aten
_MATRIX = {_aten.mm: (0, 1), _aten.bmm: (0, 1), _aten.mv: (0, 1), _aten.dot: (0, 1),
           _aten.addmm: (1, 2), _aten.addbmm: (1, 2), _aten.baddbmm: (1, 2),
           _aten.addmv: (1, 2)}  # fmt: skip


@dataclass
class MacCount:
    """What one image costs.

    Attributes:
        by_parameter: MACs by parameter name; keys stand in the order in which the parameters were
            last multiplied, so the last one is nearest to the output.
        products: MACs of activations multiplied with each other, by the path of the innermost
            module that was running.
        calls: Paths of the modules that ran, each with how often.
        uses: Path of the module that was running at every use of a parameter as a factor, by
            parameter name and in order. A layer that is called twice uses its weight twice; parts
            of a weight that one call multiplies one by one are one use, and so are all steps of a
            recurrent layer.
    """

    by_parameter: dict[str, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    uses: dict[str, list[str]] = field(default_factory=dict)

    def add(self, parameter: str, macs: int) -> None:
        """Charge a parameter and move it to the end of the order."""
        self.by_parameter[parameter] = self.by_parameter.pop(parameter, 0) + macs


def count_macs(module: nn.Module, input_shape: Sequence[int]) -> MacCount:
    """Count the multiply-accumulates of one image, each call of a layer anew.

    Linear, convolutional (grouped, depthwise and transposed as well), recurrent and attention
    layers are counted; additions, activations, normalisation and pooling are not.

    Args:
        module: Network in eval mode; it is run once and left as it was.
        input_shape: ``(channels, height, width)``.
    """
    parameters = dict(module.named_parameters())
    first = next(iter(parameters.values()), torch.empty(0))
    dtype = first.dtype if first.is_floating_point() else torch.float32
    counter = _Counter(parameters)
    # With a gradient to track, PyTorch's fused attention layers take their ordinary, visible road.
    with torch.inference_mode(False), torch.enable_grad(), counter.following(module), counter:
        image = torch.zeros(1, *input_shape, device=first.device, dtype=dtype, requires_grad=True)
        module(image * 1)
    return counter.count


class _Counter(TorchDispatchMode):
    """Sees every operation of the thread it is entered in and charges the products."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = MacCount()
        ranges = sorted(
            (p.data_ptr(), p.data_ptr() + p.numel() * p.element_size(), name)
            for name, p in parameters.items()
            if p.numel()
        )
        self._starts = [begin for begin, _, _ in ranges]
        self._ends = [end for _, end, _ in ranges]
        self._names = [name for _, _, name in ranges]
        self._sizes = {name: p.numel() for name, p in parameters.items()}
        self._first_names = {id(p): name for name, p in parameters.items()}
        self._running: list[tuple[str, nn.Module, int]] = []
        self._used: dict[tuple[str, int], float] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not any(isinstance(module, RECURRENT) for _, module, _ in self._running):
            packet = func.overloadpacket
            if packet in _MATRIX:
                self._matrix(*(args[i] for i in _MATRIX[packet]))
            elif packet is _aten.convolution:
                self._convolution(args, output)
            elif packet.__name__.startswith("_scaled_dot_product"):
                self._attention(*args[:3])
        return output

    def _matrix(self, left: Tensor, right: Tensor) -> None:
        """A product (..., n, k) x (..., k, m), or with a vector on the right."""
        columns = right.shape[-1] if right.dim() > 1 else 1
        self._charge(left.numel() * columns, right, left)

    def _convolution(self, args: tuple[Any, ...], output: Tensor) -> None:
        """Every weight works at every output position; transposed, at every input position."""
        inputs, weight, transposed = args[0], args[1], args[6]
        positions = (inputs if transposed else output).shape[2:].numel()
        self._charge(inputs.shape[0] * positions * weight.numel(), weight)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Scores (..., l, e) x (..., e, s), then their product with values (..., s, v)."""
        scores = query.shape[:-1].numel() * key.shape[-2]
        self._charge(scores * (query.shape[-1] + value.shape[-1]))

    def _charge(self, macs: int, *factors: Tensor) -> None:
        path, module, call = self._running[-1] if self._running else ("", nn.Module(), 0)
        owned = [(name, factor) for factor in factors if (name := self._owner(factor))]
        name, factor = owned[0] if owned else (self._computed(module), None)
        if name and factors:
            self.count.add(name, macs)
            self._use(name, path, call, self._sizes[name] if factor is None else factor.numel())
        else:
            self.count.products[path] = self.count.products.get(path, 0) + macs

    def _use(self, name: str, path: str, call: int, numbers: int) -> None:
        """Note that a call of a module multiplied so many numbers of a parameter."""
        before = self._used.get((name, call), 0.0)
        after = before + min(1.0, numbers / self._sizes[name])
        self._used[name, call] = after
        fresh = max(1, round(after)) - (max(1, round(before)) if before else 0)
        self.count.uses.setdefault(name, []).extend([path] * fresh)

    def _owner(self, tensor: Tensor) -> str:
        """Name of the parameter in whose memory a tensor lies, or nothing."""
        address = tensor.data_ptr()
        index = bisect_right(self._starts, address) - 1
        return self._names[index] if index >= 0 and address < self._ends[index] else ""

    def _computed(self, module: nn.Module) -> str:
        """The weight behind a factor that a layer computed, say from a weight and its norm."""
        weights = [parameter for parameter in module.parameters() if parameter.dim() >= 2]
        if not isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)) or not weights:
            return ""
        return self._first_names.get(id(weights[-1]), "")

    @contextmanager
    def following(self, module: nn.Module) -> Iterator[None]:
        """Know which module runs, and count recurrent layers, whose kernels hide their products.

        Hooks of another thread that uses the same network meanwhile are passed over.
        """
        thread = threading.get_ident()
        handles: list[RemovableHandle] = []

        def enter(path: str, child: nn.Module) -> None:
            if threading.get_ident() == thread:
                self.count.calls[path] += 1
                self._running.append((path, child, self.count.calls.total()))

        def leave(path: str, child: nn.Module, inputs: tuple[Any, ...]) -> None:
            if threading.get_ident() != thread:
                return
            if self._running:
                self._running.pop()
            if isinstance(child, RECURRENT):
                self._recurrent(path, child, inputs[0])

        try:
            for path, child in module.named_modules():
                handles += [
                    child.register_forward_pre_hook(lambda m, _, path=path: enter(path, m)),
                    child.register_forward_hook(lambda m, i, _, path=path: leave(path, m, i)),
                ]
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _recurrent(self, path: str, module: nn.Module, inputs: Any) -> None:
        """Every weight matrix works once at every step of every sequence."""
        steps = (inputs if isinstance(inputs, Tensor) else inputs.data).shape[:-1].numel()
        for parameter in module.parameters():
            if parameter.dim() == 2:
                name = self._first_names[id(parameter)]
                self.count.add(name, parameter.numel() * steps)
                self.count.uses.setdefault(name, []).append(path)
