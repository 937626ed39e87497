"""How long work tells where it stands and learns that it should end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One step of long work.

    Attributes:
        done: Steps finished.
        total: Steps in all; 0 where unknown.
        message: What is being done, as a short phrase.
        values: The numbers of this step, such as ``{"step": 20, "loss": 0.41}``; plain JSON.
    """

    done: int
    total: int
    message: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


Report = Callable[[Progress], None]
"""Receives every step; called often, so it must be quick."""

ShouldStop = Callable[[], bool]
"""Asked at every step; True ends the work early with what is there so far."""


def ignore(progress: Progress) -> None:
    """The report that nobody reads."""


def never() -> bool:
    """The stop signal that never comes."""
    return False
