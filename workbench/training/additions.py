"""What another module may add to a training without a loop of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


class Addition:
    """Something that takes part in a training: a penalty, gates, masks that grow.

    Every method does nothing until a subclass says otherwise. The loop calls ``prepare_`` once,
    then for every step ``loss`` and ``after_step_``, and ``finish_`` once, with the weights that
    are kept. An object serves one training.
    """

    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Get ready before the first step; hooks and parametrisations are put on here.

        Args:
            module: What is trained, on its device, masks applied.
            steps: How many steps there will be; 0 where the training goes by time.
        """

    def parameters(self) -> Iterable[nn.Parameter]:
        """Parameters to train besides the module's; asked after ``prepare_``.

        What is kept of them goes with the weights: before ``finish_`` they have the values that
        they had at the epoch that is kept.
        """
        return ()

    def parameter_groups(self) -> list[dict[str, object]]:
        """How ``parameters`` are trained: groups as PyTorch's optimisers take them.

        Each has ``params`` and perhaps ``weight_decay`` and the like, and ``lr_factor``, by which
        the learning rate of every step is multiplied (1 if left out). Parameters of the module
        may be named as well, and then are trained by this group alone.
        """
        extra = list(self.parameters())
        return [{"params": extra, "weight_decay": 0.0}] if extra else []

    def loss(self, module: nn.Module, part: float) -> Tensor | None:  # noqa: ARG002
        """A term to add to the loss of this step, or None.

        Args:
            module: What is trained, after its forward pass.
            part: How much of the training is over, from 0 to 1.
        """
        return None

    def after_step_(self, module: nn.Module, part: float) -> None:
        """Do something after the optimiser's step, such as a proximal step on the weights.

        Args:
            module: What is trained.
            part: How much of the training is over after this step, from 0 to 1.
        """

    def masks(self) -> Mapping[str, Tensor] | None:
        """Masks that hold from now on, or None for those that hold already.

        Asked after ``prepare_`` and after every ``after_step_``. They replace all masks before
        them, also those of the model that the training began with.
        """
        return None

    def values(self) -> dict[str, float]:
        """Numbers to tell with the progress and keep in the history; finite, and quick to get."""
        return {}

    def finish_(self, module: nn.Module) -> None:
        """Take everything off the module again, so that only plain weights are left.

        Args:
            module: What was trained, in eval mode, with the weights that are kept.
        """
