"""How long work tells where it stands and learns that it should end."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
_ASK_SECONDS = 0.05


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


class StoppedError(Exception):
    """Raised in the middle of work that was asked to end and has nothing whole to give."""


def raise_if_stopped(should_stop: ShouldStop) -> None:
    """Ask whether to stop, in the middle of work that is worth nothing before its end.

    Raises:
        StoppedError: If so.
    """
    if should_stop():
        raise StoppedError


def abandonable(work: Callable[[], T], should_stop: ShouldStop) -> T:
    """Do work that cannot ask whether to stop, such as an exporter's, and leave it when asked to.

    It runs in a thread while this one asks. Work that is left goes on until it or the process
    ends, so nobody may need what it writes. Without a stop signal it runs here.

    Args:
        work: Touches nothing that others change meanwhile.
        should_stop: Asked many times a second.

    Raises:
        StoppedError: If the work was left.
    """
    if should_stop is never:
        return work()
    raise_if_stopped(should_stop)
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="abandonable", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_ASK_SECONDS)
        raise_if_stopped(should_stop)
    if errors:
        raise errors[0]
    return results[0]
