"""What an option of training is, for those who list, explain and try them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.method import Method

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from workbench.finetune_settings import FineTuneSettings
    from workbench.model import Model
    from workbench.training.additions import Addition


@dataclass(frozen=True)
class Course:
    """What a schedule of learning rates may need to know.

    Attributes:
        highest: The highest learning rate.
        cycles: How many cosines follow each other.
        retraced: Part of the original training, counted from its end, that is retraced.
    """

    highest: float
    cycles: int = 1
    retraced: float = 1.0


@dataclass(frozen=True)
class PixelRange:
    """Black and white as the network sees them, after normalisation; each ``(channels, 1, 1)``."""

    black: Tensor
    white: Tensor


@dataclass(frozen=True, kw_only=True)
class FineTuning(Method):
    """An option of training; one of factor, change, loss and addition says what it does.

    Attributes:
        settings: Fields of ``FineTuneSettings`` that turn it on, with usual values.
        factor: A schedule: part of the training that is over (0 to 1) and the course to the part
            of the highest learning rate that is taken now.
        change: A change of images: images ``(batch, channels, height, width)``, its strength (the
            setting of its name), black and white, a generator; returns new images.
        loss: A loss: outputs ``(batch, classes)``, what they should be, and its parameter.
        addition: The pruned model and its strength (the setting of its name) to what takes part
            in the training.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    factor: Callable[[float, Course], float] | None = None
    change: Callable[[Tensor, float, PixelRange, Generator], Tensor] | None = None
    loss: Callable[[Tensor, Tensor, float], Tensor] | None = None
    addition: Callable[[Model, float], Addition] | None = None

    def is_on(self, settings: FineTuneSettings) -> bool:
        """Whether these settings use it."""
        if self.factor is not None:
            return settings.schedule == self.name
        return bool(getattr(settings, self.name))
