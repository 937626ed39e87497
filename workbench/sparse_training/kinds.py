"""What a method of sparse training is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.method import Method

if TYPE_CHECKING:
    from workbench.sparse_training.addition import SparseAddition
    from workbench.sparse_training.curriculum import Curriculum, Trained
    from workbench.sparse_training.ground import Ground
    from workbench.sparse_training.settings import SparseTrainingSettings

KINDS: dict[str, str] = {
    "penalty": "Penalties: the loss asks for zeros",
    "schedule": "Schedules: the cut grows in steps",
}
"""The two kinds of sparse training."""
USUAL_TARGETS: Mapping[str, float] = {"weight": 0.8, "channel": 0.5}
"""What a penalty aims at unless it is asked for something else, by granularity: left to itself it
makes next to no zeros in a training of a few epochs."""


@dataclass(frozen=True, kw_only=True)
class SparseMethod(Method):
    """A way to make zeros while a network trains.

    Attributes:
        kind: A name in ``KINDS``.
        granularities: What it can make zero: ``weight``, ``channel``.
        strength: The usual strength of its penalty; None where it has none.
        strength_help: What the strength means, as a page says it; empty where it has none.
        target: The sparsity that it usually reaches, of weights; None for a penalty that can also
            do without, whose usual one is that of ``USUAL_TARGETS``.
        addition: What takes part in one training; None where ``run`` is given.
        run: A whole course of trainings.
    """

    kind: str
    granularities: tuple[str, ...] = ("weight", "channel")
    strength: float | None = None
    strength_help: str = ""
    target: float | None = None
    addition: Callable[[Ground, SparseTrainingSettings], SparseAddition] | None = None
    run: Callable[[Curriculum], Trained] | None = None

    @property
    def needs_target(self) -> bool:
        """Whether it cannot do without a target."""
        return self.target is not None

    def usual_target(self, granularity: str) -> float:
        """What it aims at unless it is asked for something else.

        Of channels that is half, since much more is lost with each; a method that stops at a floor
        of accuracy instead has the same ceiling everywhere.
        """
        if self.target is None or (granularity == "channel" and "max_loss" not in self.options):
            return USUAL_TARGETS[granularity]
        return self.target
