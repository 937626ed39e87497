# ruff: noqa: ARG002  the loop and torch give these arguments
"""Gates on weights or units during a training: hard concrete, one for each."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from workbench.sparse_training.addition import SparseAddition
from workbench.sparse_training.ground import Ground
from workbench.sparse_training.hard_concrete import (
    final_gates,
    noise,
    open_probability,
    sample_gates,
)
from workbench.sparse_training.settings import SparseTrainingSettings

OPEN_AT_FIRST = 0.95
"""Probability that a gate is open when training begins from trained weights."""
GATE_LR = 0.05


class Gates(SparseAddition):
    """Multiplies weights or units by gates and learns the gates with the weights.

    In every forward pass the parameters are replaced by their products with the gates: sampled
    ones in training, final ones in evaluation. Between passes the module is as it was, so that
    whoever copies or saves it finds nothing unusual. The gates have an Adam optimiser of their
    own: their gradients are smaller than those of weights by orders of magnitude.

    Args:
        ground: What may become zero.
        settings: ``strength`` is what it costs, in units of the loss, to leave all gates open.
    """

    def __init__(self, ground: Ground, settings: SparseTrainingSettings) -> None:
        super().__init__(ground, settings)
        self.log_alphas: dict[str, nn.Parameter] = {}
        self._handles: list[Any] = []
        self._originals: list[tuple[nn.Module, str, nn.Parameter]] = []

    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Make the gates, open at first, and put them on."""
        device = next(module.parameters()).device
        seed = self.settings.training.seed
        self._generator = torch.Generator(device).manual_seed(seed)
        start = first_log_alpha(0.5 if self.settings.from_scratch else OPEN_AT_FIRST)
        self._dead = {name: ~alive for name, alive in super().alive_now(module).items()}
        for name, dead in self._dead.items():
            drawn = torch.randn(dead.shape, generator=self._generator, device=device)
            self.log_alphas[name] = nn.Parameter(start + 0.01 * drawn)
        self._optimizer = torch.optim.Adam(self.log_alphas.values(), GATE_LR)
        self._handles = [
            module.register_forward_pre_hook(self._put_on),
            module.register_forward_hook(self._take_off, always_call=True),
        ]
        super().prepare_(module, steps)

    def loss(self, module: nn.Module, part: float) -> Tensor | None:
        """Strength times the expected fraction of open gates."""
        super().loss(module, part)
        if self.held:
            return None
        total = sum(one.numel() for one in self.log_alphas.values())
        expected = torch.stack([open_probability(one).sum() for one in self.log_alphas.values()])
        return self.settings.used_strength * expected.sum() / total

    def act_(self, module: nn.Module, part: float) -> None:
        """Move the gates along their gradients."""
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def penalty(self, module: nn.Module) -> float:
        """Expected fraction of open gates times the strength."""
        term = self.loss(module, self._part)
        return 0.0 if term is None else float(term)

    def alive_now(self, module: nn.Module) -> dict[str, Tensor]:
        """Gates that stay open without noise."""
        return {
            name: (final_gates(one.detach()) > 0) & ~self._dead[name]
            for name, one in self.log_alphas.items()
        }

    def scores(self, module: nn.Module) -> dict[str, Tensor]:
        """The less a gate wants to be open, the sooner it goes."""
        return {name: one.detach() for name, one in self.log_alphas.items()}

    @torch.no_grad()
    def hold_(self, module: nn.Module, alive: Any) -> None:
        """Take the gates off, multiplied into the weights."""
        self._fold_(module)
        super().hold_(module, alive)

    @torch.no_grad()
    def finish_(self, module: nn.Module) -> None:
        """Take the gates off, multiplied into the weights; those that are closed become zeros."""
        if not self.held:
            self._fold_(module)
        super().finish_(module)

    def _fold_(self, module: nn.Module) -> None:
        for handle in self._handles:
            handle.remove()
        for parameter, factor in self._factors(module, sampled=False):
            module.get_parameter(parameter).mul_(factor)

    def _factors(self, module: nn.Module, *, sampled: bool) -> Iterator[tuple[str, Tensor]]:
        """Parameter name and what it is multiplied by, ready to be broadcast."""
        gates = {}
        for name, log_alpha in self.log_alphas.items():
            if sampled:
                gates[name] = sample_gates(log_alpha, noise(log_alpha.shape, self._generator))
            else:
                gates[name] = final_gates(log_alpha)
        if not self.ground.structured:
            yield from gates.items()
        for one in self.ground.units:
            for place in one.gate_places:
                weight = module.get_parameter(place.parameter)
                yield place.parameter, place.spread(gates[one.group.name], weight, 1.0)

    def _put_on(self, module: nn.Module, inputs: object) -> None:
        for parameter, factor in list(self._factors(module, sampled=module.training)):
            path, _, name = parameter.rpartition(".")
            owner = module.get_submodule(path)
            original = owner._parameters[name]
            assert original is not None
            self._originals.append((owner, name, original))
            owner._parameters[name] = original * factor  # type: ignore[assignment]
            _refresh(owner)

    def _take_off(self, module: nn.Module, inputs: object, output: object) -> None:
        while self._originals:
            owner, name, original = self._originals.pop()
            owner._parameters[name] = original
            _refresh(owner)


def first_log_alpha(probability: float) -> float:
    """The ``log_alpha`` at which a gate is open with this probability."""
    shift = float(open_probability(torch.zeros(1, dtype=torch.float64)).logit())
    return float(torch.tensor(probability, dtype=torch.float64).logit()) - shift


def _refresh(owner: nn.Module) -> None:
    """A recurrent layer keeps a list of its weights beside them."""
    if isinstance(owner, nn.RNNBase):
        owner._flat_weights = [owner._parameters[name] for name in owner._flat_weights_names]
