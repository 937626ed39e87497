"""Watching the layers of a network: what each weight is multiplied with, and what comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from workbench.reconstruct.calls import CONVOLUTION_ARGUMENTS, CONVOLUTIONS
from workbench.reconstruct.recurrent import GATES, RECURRENT

TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}


@dataclass(frozen=True, eq=False)
class Seen:
    """One use of a weight.

    Attributes:
        parameter: First name of the weight.
        kind: ``linear``, ``conv`` or ``transposed``.
        inputs: What it is multiplied with: ``(images, ..., features)`` of linear uses, else
            ``(images, channels, ...)``.
        output: What comes out, in the same layout; carries gradients where these are on.
        given: Arguments of the call by name: stride, padding and so on of convolutions.
    """

    parameter: str
    kind: str
    inputs: Tensor
    output: Tensor
    given: Mapping[str, Any]

    def channels(self) -> Tensor:
        """The inputs as ``(images, channels, places)``; one place where there are no others."""
        if self.kind == "linear":
            return self.inputs.reshape(len(self.inputs), -1, self.inputs.shape[-1]).transpose(1, 2)
        return self.inputs.flatten(2)

    def outputs(self, tensor: Tensor) -> Tensor:
        """The output, or its gradient, as ``(images, places, channels)``."""
        if self.kind == "linear":
            return tensor.reshape(len(tensor), -1, tensor.shape[-1])
        return tensor.flatten(2).transpose(1, 2)


class _Watch(TorchFunctionMode):
    """Tells of every use of a weight in a layer, recurrent ones step by step."""

    def __init__(self, network: nn.Module, tell: Callable[[Seen], None]) -> None:
        super().__init__()
        self._names = {id(tensor): name for name, tensor in network.named_parameters()}
        self._tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        if func in RECURRENT and len(args) == 9:  # else the sequence is packed
            with self:
                inputs, state, weights, biased, layers, _, _, two_ways, batch_first = args
                return unroll(
                    RECURRENT[func], inputs, state, weights, biased=biased, layers=layers,
                    bidirectional=two_ways, batch_first=batch_first,
                )  # fmt: skip
        result = func(*args, **kwargs)
        kind = _kind(func)
        if kind:
            given = dict(zip(CONVOLUTION_ARGUMENTS, args, strict=False)) | kwargs
            name = self._names.get(id(given.get("weight")))
            inputs = given["input"]
            if name is not None:
                batched = inputs if inputs.dim() > 1 else inputs[None]
                self._tell(Seen(name, kind, batched.detach(), result, given))
        return result


def _kind(func: Any) -> str:
    if func is F.linear:
        return "linear"
    if func in CONVOLUTIONS:
        return "conv"
    return "transposed" if func in TRANSPOSED else ""


@contextmanager
def watching(
    network: nn.Module, tell: Callable[[Seen], None] = lambda _: None
) -> Iterator[None]:  # fmt: skip
    """Hear of every use of a weight in the forward passes inside.

    Uses are found by the weight that a convolution or a matrix product is called with, however it
    is called. Recurrent layers run as a loop over their steps, so that each product in them is
    seen; what they give is the same within float error.

    Args:
        network: Whose parameters are meant.
        tell: Called at every use.
    """
    with _Watch(network, tell):
        yield


def unroll(
    mode: str, inputs: Tensor, state: Any, weights: Sequence[Tensor], *, biased: bool, layers: int,
    bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What ``torch.gru``, ``torch.lstm`` or ``torch.rnn_tanh`` gives, step by step.

    Args:
        mode: ``GRU``, ``LSTM``, ``RNN_TANH`` or ``RNN_RELU``.
        inputs: ``(images, steps, features)``, or steps first.
        state: First states ``(layers * directions, images, units)``; two such of an LSTM.
        weights: Of every layer and direction, as torch orders them.
        biased: Whether biases are among them.
        layers: Number of layers.
        bidirectional: Whether each has two directions.
        batch_first: How the inputs lie.

    Returns:
        Outputs of the last layer, and the last states. There is no dropout.
    """
    sequence = inputs.transpose(0, 1) if batch_first else inputs
    states = state if isinstance(state, tuple | list) else [state]
    directions = 2 if bidirectional else 1
    projected = mode == "LSTM" and states[0].shape[-1] != states[1].shape[-1]
    each = 2 + 2 * biased + projected
    last: list[list[Tensor]] = [[] for _ in states]
    for layer in range(layers):
        found = []
        for direction in range(directions):
            number = layer * directions + direction
            own = list(weights[number * each : (number + 1) * each])
            steps, final = _run_cell(
                mode, sequence.flip(0) if direction else sequence, own, biased,
                [one[number] for one in states],
            )  # fmt: skip
            found.append(steps.flip(0) if direction else steps)
            for kept, value in zip(last, final, strict=True):
                kept.append(value)
        sequence = torch.cat(found, -1)
    output = sequence.transpose(0, 1) if batch_first else sequence
    return (output, *(torch.stack(kept) for kept in last))


def _run_cell(
    mode: str, sequence: Tensor, own: list[Tensor], biased: bool, states: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """One layer in one direction: states ``(steps, images, units)`` and the last ones."""
    w_in, w_state = own[:2]
    b_in, b_state = own[2:4] if biased else (None, None)
    project = own[-1] if len(own) > 2 + 2 * biased else None
    drive = F.linear(sequence.transpose(0, 1), w_in, b_in).transpose(0, 1)
    found = []
    for step in drive:
        states = _step(mode, step, F.linear(states[0], w_state, b_state), states)
        if project is not None:
            states = [F.linear(states[0], project), states[1]]
        found.append(states[0])
    return torch.stack(found), states


def _step(mode: str, drive: Tensor, back: Tensor, states: list[Tensor]) -> list[Tensor]:
    """One step of one cell, from what inputs and the last state give to its gates."""
    gates = GATES.get(mode, 1)
    if mode == "GRU":
        (reset, update, new), (reset_b, update_b, new_b) = drive.chunk(gates, -1), back.chunk(
            gates, -1
        )  # fmt: skip
        opened = (update + update_b).sigmoid()
        candidate = (new + (reset + reset_b).sigmoid() * new_b).tanh()
        return [candidate + opened * (states[0] - candidate)]
    if mode == "LSTM":
        enter, forget, cell, out = (drive + back).chunk(gates, -1)
        kept = forget.sigmoid() * states[1] + enter.sigmoid() * cell.tanh()
        return [out.sigmoid() * kept.tanh(), kept]
    return [(drive + back).relu() if mode == "RNN_RELU" else (drive + back).tanh()]
