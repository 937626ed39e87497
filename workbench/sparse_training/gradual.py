# ruff: noqa: ARG002  the loop gives these arguments
"""A cut that grows along a schedule while the network trains."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.sparse_training.addition import SparseAddition, lowest_gone, sparsity_of
from workbench.sparse_training.growth import cubic_sparsity

STAIRS = 100


class Gradual(SparseAddition):
    """Cuts the smallest of what is left at a hundred stairs along the ramp."""

    @torch.no_grad()
    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Begin with what is there."""
        super().prepare_(module, steps)
        self._left = self.alive_now(module)
        self._start = self._sparsity
        self._stair = -1

    def strength(self, part: float) -> float:
        """There is no penalty."""
        return 0.0

    def is_over(self, part: float, alive: Mapping[str, Tensor]) -> bool:
        """The schedule ends by itself."""
        return False

    def act_(self, module: nn.Module, part: float) -> None:
        """At a new stair, cut down to the schedule's sparsity."""
        target, ramp = self.settings.used_target, self.settings.ramp
        assert target is not None
        stair = min(STAIRS, int(STAIRS * part / ramp))
        if stair == self._stair:
            return
        self._stair = stair
        wanted = cubic_sparsity(stair / STAIRS, target, 1.0, min(self._start, target))
        self._left = lowest_gone(self.scores(module), self._left, wanted)
        self._sparsity = sparsity_of(self._left)
        if stair == STAIRS:
            self.hold_(module, self._left)
        else:
            self.mask_(module, self._left)
