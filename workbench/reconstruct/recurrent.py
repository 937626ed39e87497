"""Reconstruction of recurrent layers: what goes into their gates, time step by time step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.reconstruct.ridge import HELD_OUT, Check, Problem, no_check, solve
from workbench.reconstruct.rows import Places, output_rows
from workbench.reconstruct.steps import SAME, RepairStep

RECURRENT: Mapping[Any, str] = {
    torch.gru: "GRU", torch.lstm: "LSTM", torch.rnn_tanh: "RNN_TANH", torch.rnn_relu: "RNN_RELU"
}  # fmt: skip
GATES = {"GRU": 3, "LSTM": 4}
SWEEPS = 3
"""Solutions to try: the first from the dense network's own states, the others from those that the
last solution led to."""
ROWS = 16_384
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def can_solve(module: nn.RNNBase) -> bool:
    """Whether a recurrent layer is of a kind that can be solved for."""
    return not module.bidirectional and module.proj_size == 0


@dataclass(frozen=True, eq=False)
class Cell:
    """The weights of one layer of a recurrent network.

    Shapes: u hidden units, q gates, k inputs.

    Attributes:
        mode: ``GRU``, ``LSTM``, ``RNN_TANH`` or ``RNN_RELU``.
        w_in: ``(q u, k)``.
        w_state: ``(q u, u)``.
        b_in: ``(q u,)``; zeros where there is none.
        b_state: ``(q u,)``; zeros where there is none.
    """

    mode: str
    w_in: Tensor
    w_state: Tensor
    b_in: Tensor
    b_state: Tensor

    @property
    def num_units(self) -> int:
        """Hidden units."""
        return self.w_state.shape[1]

    def run(self, inputs: Tensor) -> Tensor:
        """States after every step, ``(images, steps, u)``, from a state of zeros."""
        weights = [self.w_in, self.w_state, self.b_in, self.b_state]
        state: Any = inputs.new_zeros(1, len(inputs), self.num_units)
        if self.mode == "LSTM":
            state = (state, state)
        function = next(one for one, mode in RECURRENT.items() if mode == self.mode)
        states: Tensor = function(inputs, state, weights, True, 1, 0.0, False, False, True)[0]
        return states


def cell_of(module: nn.RNNBase, layer: int) -> Cell:
    """The weights of one of its layers."""
    w_in, w_state, *biases = (getattr(module, f"{name}_l{layer}", None) for name in NAMES)
    assert w_in is not None
    assert w_state is not None
    nothing = w_in.new_zeros(len(w_in))
    b_in, b_state = (nothing if bias is None else bias for bias in biases)
    return Cell(module.mode, w_in.detach(), w_state.detach(), b_in.detach(), b_state.detach())


@torch.no_grad()
def reconstruct_recurrent_(
    module: nn.RNNBase, dense: nn.RNNBase, path: str, inputs: Tensor, dense_inputs: Tensor, *,
    masks: Mapping[str, Tensor], kept: Tensor | None, places: Places, check: Check = no_check,
) -> list[RepairStep]:  # fmt: skip
    """Solve every layer of a recurrent module for what goes into the dense one's gates.

    Layer by layer, from the pruned network's own inputs and states. Where a gate takes the sum of
    what inputs and states give, both are solved together.

    Args:
        module: Of the pruned network; changed in place.
        dense: The same of the dense network.
        path: Of the module.
        inputs: ``(images, steps, k)`` that the pruned network feeds it.
        dense_inputs: The same of the dense network.
        masks: Parameter name to mask.
        kept: Hidden units that stay; None for all.
        places: Chooses the time steps that are looked at.
        check: Called often; may raise to end the work, and then nothing more is changed.

    Returns:
        One step for each layer.
    """
    steps = []
    for layer in range(module.num_layers):
        theirs, mine = cell_of(dense, layer), cell_of(module, layer)
        wanted = theirs.run(dense_inputs)
        units = torch.arange(theirs.num_units) if kept is None else kept
        units = units.to(inputs.device)
        fitter = _Fitter(theirs, dense_inputs, wanted, inputs, units, places, check)
        before = least = fitter.error(mine)
        if before > SAME:
            names = [f"{path}.{name}_l{layer}" for name in NAMES[:2]]
            best, least = fitter.best(mine, [masks.get(name) for name in names], module.bias)
        kept_it = least < before
        if kept_it:
            _write_(module, layer, best)
        method = "ridge" if kept_it else "as it was"
        steps.append(RepairStep(f"{path}.l{layer}", method, before, min(least, before), kept_it))
        inputs, dense_inputs = cell_of(module, layer).run(inputs), wanted
    return steps


class _Fitter:
    """One layer: the dense network's gates and states, and the pruned network's inputs."""

    def __init__(
        self, dense: Cell, dense_inputs: Tensor, wanted: Tensor, inputs: Tensor, units: Tensor,
        places: Places, check: Check,
    ) -> None:  # fmt: skip
        self._inputs, self._wanted, self._check = inputs, wanted[..., units], check
        self._places = places.choose(inputs.shape[1:2], ROWS)
        gates = len(dense.w_state) // dense.num_units
        rows = torch.cat([units + gate * dense.num_units for gate in range(gates)])
        self._from_inputs = self._rows(dense_inputs) @ dense.w_in[rows].T + dense.b_in[rows]
        states = self._rows(_before(wanted))
        self._from_states = states @ dense.w_state[rows].T + dense.b_state[rows]

    def error(self, cell: Cell) -> float:
        """Squared distance of the states on held-out images, as a share of their variance."""
        last = max(1, len(self._inputs) // HELD_OUT)
        wanted = self._wanted[-last:]
        spread = (wanted - wanted.mean((0, 1))).square().sum()
        wrong = (cell.run(self._inputs[-last:]) - wanted).square().sum()
        return float(wrong / spread.clamp(min=1e-12))

    def best(
        self, cell: Cell, masks: Sequence[Tensor | None], has_bias: bool
    ) -> tuple[Cell, float]:  # fmt: skip
        """The best solution and its error; ``inf`` where there was nothing to solve."""
        best, least = cell, float("inf")
        states = self._wanted
        for _ in range(SWEEPS):
            cell = self._solve(cell, self._rows(_before(states)), masks, has_bias)
            error = self.error(cell)
            if error < least:
                best, least = cell, error
            states = cell.run(self._inputs)
        return best, least

    def _solve(
        self, cell: Cell, states: Tensor, masks: Sequence[Tensor | None], has_bias: bool
    ) -> Cell:  # fmt: skip
        inputs = self._rows(self._inputs)
        units = cell.num_units
        summed = slice(0, 2 * units if cell.mode == "GRU" else len(cell.w_in))
        alone = slice(summed.stop, len(cell.w_in))  # the GRU's candidate: states come in gated
        weight = torch.cat([cell.w_in, cell.w_state], 1)
        mask = torch.cat([
            torch.ones_like(w, dtype=torch.bool) if m is None else m.to(w.device)
            for w, m in zip((cell.w_in, cell.w_state), masks, strict=True)
        ], 1)  # fmt: skip
        width = cell.w_in.shape[1]
        w_in, w_state = cell.w_in.clone(), cell.w_state.clone()
        b_in, b_state = cell.b_in.clone(), cell.b_state.clone()
        new, bias = _ridge(
            torch.cat([inputs, states], 1), (self._from_inputs + self._from_states)[:, summed],
            weight[summed], (b_in + b_state)[summed], mask[summed], has_bias, self._check,
        )  # fmt: skip
        w_in[summed], w_state[summed] = new[:, :width], new[:, width:]
        if has_bias:
            b_in[summed], b_state[summed] = bias, 0
        if alone.start < alone.stop:
            w_in[alone], b_in[alone] = _ridge(
                inputs, self._from_inputs[:, alone], w_in[alone], b_in[alone],
                mask[alone, :width], has_bias, self._check,
            )  # fmt: skip
            w_state[alone], b_state[alone] = _ridge(
                states, self._from_states[:, alone], w_state[alone], b_state[alone],
                mask[alone, width:], has_bias, self._check,
            )  # fmt: skip
        return Cell(cell.mode, w_in, w_state, b_in, b_state)

    def _rows(self, sequence: Tensor) -> Tensor:
        """``(rows, numbers)`` of ``(images, steps, numbers)`` at the chosen steps."""
        return output_rows(sequence, self._places, True)


def _before(states: Tensor) -> Tensor:
    """The state that each step starts from."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)


def _ridge(
    inputs: Tensor, wanted: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, has_bias: bool,
    check: Check,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Ridge regression of one block of weights ``(outputs, inputs)`` from rows."""
    found = solve(
        Problem(
            inputs[None], wanted[None], None, weight[None], bias[None],
            None if mask.all() else mask[None], has_bias, None,
        ),
        check,
    )  # fmt: skip
    return found.weight[0], found.bias[0]


def _write_(module: nn.RNNBase, layer: int, cell: Cell) -> None:
    for name, tensor in zip(
        NAMES, (cell.w_in, cell.w_state, cell.b_in, cell.b_state), strict=True
    ):  # fmt: skip
        parameter = getattr(module, f"{name}_l{layer}", None)
        if parameter is not None:
            parameter.copy_(tensor)
