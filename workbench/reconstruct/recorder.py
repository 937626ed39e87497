"""The pass of the dense network: what every layer gives, at the chosen places."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.reconstruct.calls import Parts
from workbench.reconstruct.graph import Graph, Layer, Target, use_target
from workbench.reconstruct.rows import Places, extent_of, output_rows
from workbench.reconstruct.steps import OtherWayError


class Recorder(TorchFunctionMode):
    """Keeps the dense network's outputs at the chosen places while batches pass through it.

    Args:
        network: The dense network.
        graph: Its layers.
        places: Where to look.
        num_rows: Path of a layer to the rows it needs.
        check: Called at every layer; may raise to end the work.

    Attributes:
        num_rows: Target to the rows it is given.
        sequences: Path of a recurrent module to the batches of sequences that went into it.
    """

    def __init__(
        self, network: nn.Module, graph: Graph, places: Places, num_rows: Mapping[str, int],
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._parts = Parts(network)
        self._layers: dict[Target, Layer] = {}
        self.num_rows: dict[Target, int] = {}
        self._shared = graph.unit_of
        self._num_uses = graph.num_uses
        self._wanted_uses = {use.target for unit in graph.units for use in unit.uses}
        for layer in graph.targets:
            self._layers.setdefault(layer.target, layer)
            most = max(num_rows[layer.path], self.num_rows.get(layer.target, 0))
            self.num_rows[layer.target] = most
        self._places, self._check = places, check
        self.sequences: dict[str, list[Tensor]] = {}
        self._found: dict[Target, list[Tensor]] = {}
        self._num_sums = 0
        self._uses = Counter[str]()
        self._seen: set[Target] = set()
        self._start = 0

    def record(self, network: nn.Module, images: Tensor) -> None:
        """Pass the next images through the network; the first batch starts with image 0.

        Raises:
            OtherWayError: If shared weights are not used as often as in the graph.
        """
        self._num_sums = 0
        self._uses.clear()
        self._seen.clear()
        with self, torch.no_grad():
            network(images)
        if self._uses != self._num_uses or not self._wanted_uses <= self._seen:
            raise OtherWayError
        self._start += len(images)

    def rows(self) -> dict[Target, Tensor]:
        """The outputs, ``(rows, channels)`` for every target; they are handed over, not kept."""
        return {target: torch.cat(self._found.pop(target)) for target in [*self._found]}

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
        if call.kind == "layer" and call.path in self._shared:
            target = use_target(call.path, self._uses[call.path])
            self._uses[call.path] += 1
        if call.kind == "recurrent":
            self._check()
            self.sequences.setdefault(call.path, []).append(args[0])
        layer = self._layers.get(target)
        if layer is not None:
            self._check()
            places = self._places.choose(
                extent_of(result, layer.is_linear), self.num_rows[target]
            )[self._start : self._start + len(result)]  # fmt: skip
            rows = output_rows(result, places, layer.is_linear)
            self._found.setdefault(target, []).append(rows)
            self._seen.add(target)
        return result
