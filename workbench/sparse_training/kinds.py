"""What a method of sparse training is."""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True, kw_only=True)
class SparseMethod(Method):
    """A way to make zeros while a network trains.

    Attributes:
        kind: A name in ``KINDS``.
        granularities: What it can make zero: ``weight``, ``channel``.
        strength: The usual strength of its penalty; None where it has none.
        strength_help: What the strength means, as a page says it; empty where it has none.
        target: The usual sparsity to reach; None where what comes out may come out.
        settings: Names of the settings that are its own, beside strength and target.
        addition: What takes part in one training; None where ``run`` is given.
        run: A whole course of trainings.
    """

    kind: str
    granularities: tuple[str, ...] = ("weight", "channel")
    strength: float | None = None
    strength_help: str = ""
    target: float | None = None
    settings: tuple[str, ...] = ()
    addition: Callable[[Ground, SparseTrainingSettings], SparseAddition] | None = None
    run: Callable[[Curriculum], Trained] | None = None
