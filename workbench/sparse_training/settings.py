"""The settings of sparse training."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.errors import SettingsError
from workbench.finetune_settings import FineTuneSettings
from workbench.names import suggest
from workbench.settings_reading import check_number, known_values
from workbench.sparse_training.kinds import SparseMethod
from workbench.sparse_training.registry import get_sparse_method

if TYPE_CHECKING:
    from workbench.data import Data

MAX_STRENGTH = 1e6
MAX_TARGET = 0.999
NO_TARGET = 0.0
"""Lets the penalty alone decide how many zeros come out."""

LEAST_EPOCHS, MOST_EPOCHS = 5, 100
LEAST_STEPS = 700
"""Steps of the optimiser that a penalty or a growing cut should have; see ``usual_epochs``."""


def usual_epochs(data: "Data", batch_size: int) -> int:
    """How long to train unless something else is asked for.

    With few images five epochs are a few dozen steps, in which weights hardly move and what is cut
    is never made up for.

    Args:
        data: Whose training split is trained on.
        batch_size: Images in a step.

    Returns:
        5 epochs, or as many as make 700 steps, at most 100.
    """
    num_images = len(data.y_train) - data.num_validation
    steps = math.ceil(max(1, num_images) / batch_size)
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps)))


@dataclass(frozen=True)
class SparseTrainingSettings:
    """How zeros are made while a network trains.

    Attributes:
        method: A name in ``SPARSE_METHODS`` or ``SCHEDULES``.
        strength: Of the penalty; None takes the method's usual one. Schedules have none.
        target: Sparsity of what may be cut, or channel pruning ratio over all groups. At this
            sparsity a penalty stops and its zeros are held; where the training ends short of it,
            the lowest go. None takes the method's usual one; ``NO_TARGET`` lets the penalty alone
            decide what comes out, which after a few epochs is little.
        granularity: ``weight`` or ``channel``.
        freeze: Patterns of layers or groups that stay dense, as ``workbench.freezing`` reads them;
            None freezes the classifier.
        from_scratch: Begin with seeded new weights instead of the trained ones.
        mix: Of ``elastic``: the L1 part of the penalty, 0 to 1; the rest is L2.
        ramp: Part of the training in which sparsity or penalty grows, where one does.
        step: Of ``iterative``: sparsity that is added each time.
        max_loss: Of ``iterative``: how much validation accuracy may be lost, as a fraction.
        rounds: Of ``lottery``: trainings, each followed by a cut.
        rewind_epochs: Of ``lottery``: how long after the beginning the point lies to which the
            weights go back; 0 goes back to the very first.
        training: How to train; of ``iterative`` and ``lottery``, how each of several trainings
            goes.

    Raises:
        SettingsError: If a value is out of range, or the method cannot do what is asked.
    """

    method: str = "l1"
    strength: float | None = None
    target: float | None = None
    granularity: str = "weight"
    freeze: tuple[str, ...] | None = None
    from_scratch: bool = False
    mix: float = 0.5
    ramp: float = 0.6
    step: float = 0.1
    max_loss: float = 0.01
    rounds: int = 3
    rewind_epochs: int = 1
    training: FineTuneSettings = field(default_factory=FineTuneSettings)

    def __post_init__(self) -> None:
        method = get_sparse_method(self.method)
        if self.granularity not in method.granularities:
            raise SettingsError(
                f"{method.title} cannot cut at granularity {self.granularity!r}.",
                suggest(self.granularity, method.granularities),
            )
        if self.strength is not None:
            if method.strength is None:
                raise SettingsError(
                    f"{method.title} has no penalty, so strength {self.strength!r} means nothing.",
                    "Leave the strength out and give a target.",
                )
            check_number("strength", self.strength, 0, MAX_STRENGTH)
        if self.target == NO_TARGET and method.needs_target:
            raise SettingsError(
                f"{method.title} cannot do without a target.",
                f"Give a part from 0.01 to {MAX_TARGET:g}; it usually takes "
                f"{method.usual_target(self.granularity):g}.",
            )
        if self.target not in (None, NO_TARGET):
            check_number("target", self.target, 0.01, MAX_TARGET)
        check_number("mix", self.mix, 0, 1)
        check_number("ramp", self.ramp, 0.05, 1)
        check_number("step", self.step, 0.01, 0.9)
        check_number("max_loss", self.max_loss, 0, 1)
        check_number("rounds", self.rounds, 1, 50, whole=True)
        check_number("rewind_epochs", self.rewind_epochs, 0, 1_000, whole=True)
        if not isinstance(self.from_scratch, bool):
            raise SettingsError(f"from_scratch is {self.from_scratch!r}.", "Choose true or false.")
        if not self.training.epochs and self.training.seconds is None:
            raise SettingsError("epochs is 0.", "Sparse training needs at least 1.")
        if self.freeze is not None:
            object.__setattr__(self, "freeze", tuple(str(name) for name in self.freeze))

    @property
    def chosen(self) -> SparseMethod:
        """The method itself."""
        return get_sparse_method(self.method)

    @property
    def used_strength(self) -> float:
        """The strength asked for, or the method's usual one; 0 where it has none."""
        return (self.chosen.strength or 0.0) if self.strength is None else self.strength

    @property
    def used_target(self) -> float | None:
        """The target asked for, or the method's usual one; None lets the penalty alone decide."""
        if self.target is None:
            return self.chosen.usual_target(self.granularity)
        return self.target or None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or YAML."""
        freeze = None if self.freeze is None else list(self.freeze)
        return vars(self) | {"freeze": freeze, "training": self.training.to_dict()}

    @classmethod
    def from_dict(cls, values: object) -> "SparseTrainingSettings":
        """Read settings back; what is missing takes its default.

        Raises:
            SettingsError: If a setting is unknown or its value out of range.
        """
        found = known_values(cls, values, "sparse training")
        training = found.get("training")
        changed = {} if training is None else {"training": FineTuneSettings.from_dict(training)}
        return cls(**{**found, **changed})
