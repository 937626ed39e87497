"""Instant checks of plans, in the background of the server: every workspace's latest plan counts.

Two threads share the work, so that a quick check never waits until a full repair has ended. The
full ones wait for the quick ones, and give way to them.
"""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.plan import PruningPlan
from workbench.progress import ShouldStop, StoppedError
from workbench.ui.errors import fault_of

if TYPE_CHECKING:
    from workbench.data import Data
    from workbench.groups import Groups
    from workbench.model import Model
    from workbench.quick_check import Check, QuickChecker

MOST_KEPT = 500
REST_S = 0.5
"""A full repair begins when nothing else was asked for so long."""
_END_S = 2.0


@dataclass(frozen=True)
class Wish:
    """A plan that should be measured.

    Attributes:
        place: Names the model, the data and the device.
        plan: The plan as it is cut, without where it came from.
        repair: What to do before; a name in ``REPAIRS``. ``full`` waits for all that is quicker.
        model: The dense model.
        data: Its data.
        groups: Of the model at the plan's granularity.
        device: Where to run.
    """

    place: str
    plan: PruningPlan
    repair: str
    model: Model = field(compare=False, repr=False)
    data: Data = field(compare=False, repr=False)
    groups: Groups = field(compare=False, repr=False)
    device: str = field(compare=False, default="cpu")


class QuickChecks:
    """What was asked for and what was found.

    Args:
        measure: Measures one plan; raises ``StoppedError`` where it should stop.
    """

    def __init__(self, measure: Callable[[Wish, ShouldStop], Check]) -> None:
        self._measure = measure
        self._changed = threading.Condition()
        self._wishes: OrderedDict[str, tuple[Wish, ...]] = OrderedDict()
        self._found: OrderedDict[Wish, Check | WorkbenchError] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._ended = False

    def ask(self, owner: str, wishes: Sequence[Wish]) -> None:
        """Measure these for an owner, and nothing else that it asked for before.

        What is under way and no longer wanted is abandoned at once. Why other plans of the same
        place could not be measured is forgotten, so that they are tried again.
        """
        with self._changed:
            places = {wish.place for wish in wishes}
            for one, found in [*self._found.items()]:
                moved_on = one.place in places and one not in wishes
                if moved_on and isinstance(found, WorkbenchError):
                    del self._found[one]
            wanted = tuple(wish for wish in wishes if wish not in self._found)
            if wanted == self._wishes.get(owner, ()):
                return
            self._wishes.pop(owner, None)
            if wanted:
                self._wishes[owner] = wanted
                if not self._threads:
                    self._start()
            self._changed.notify_all()

    def found(self, wish: Wish) -> Check | WorkbenchError | None:
        """What was measured, or why it could not be; None where neither is known yet."""
        with self._changed:
            return self._found.get(wish)

    def retry(self, wishes: Sequence[Wish]) -> None:
        """Forget why these could not be measured: who asks for them again has them tried again."""
        with self._changed:
            for wish in wishes:
                if isinstance(self._found.get(wish), WorkbenchError):
                    del self._found[wish]

    def end(self) -> None:
        """Abandon everything, and wait a moment until the thread is still."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_END_S)

    def _start(self) -> None:
        for full in (False, True):
            name = "full-checks" if full else "quick-checks"
            thread = threading.Thread(target=self._work, args=(full,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _next(self, full: bool) -> Wish | None:
        """What should be measured now, what was asked first; a full repair if nothing is quicker.

        Args:
            full: Whether with full repair.
        """
        waiting = [wish for wishes in self._wishes.values() for wish in wishes]
        quick = [wish for wish in waiting if wish.repair != "full"]
        if not full:
            return next(iter(quick), None)
        return None if quick else next(iter(waiting), None)

    def _work(self, full: bool) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or self._next(full) is not None)
                wish = self._next(full)
                if self._ended or wish is None:
                    return
                rest = REST_S if full else 0.0
                if self._changed.wait_for(self._stops(wish), timeout=rest):
                    continue
            try:
                self._keep(wish, self._measure(wish, self._stops(wish)))
            except StoppedError:
                continue
            except WorkbenchError as error:
                self._keep(wish, error)
            except Exception as error:
                self._keep(wish, fault_of(error))

    def _stops(self, wish: Wish) -> ShouldStop:
        """Whether something else should be measured now, or nothing."""

        def stops() -> bool:
            with self._changed:
                return self._ended or self._next(wish.repair == "full") != wish

        return stops

    def _keep(self, wish: Wish, found: Check | WorkbenchError) -> None:
        with self._changed:
            self._found[wish] = found
            self._changed.notify_all()
            while len(self._found) > MOST_KEPT:
                self._found.popitem(last=False)
            for owner, wishes in [*self._wishes.items()]:
                left = tuple(one for one in wishes if one != wish)
                if left:
                    self._wishes[owner] = left
                else:
                    del self._wishes[owner]


class _Measuring:
    """Measures plans; the model that was measured last is kept ready."""

    def __init__(self) -> None:
        self._lock, self._place = threading.Lock(), ""
        self._checker: QuickChecker | None = None

    def __call__(self, wish: Wish, should_stop: ShouldStop) -> Check:
        from workbench.device import choose_device
        from workbench.quick_check import QuickChecker

        with self._lock:
            checker = self._checker
            if checker is None or self._place != wish.place:
                checker = self._checker = None  # its memory first
                device = choose_device(wish.device)
                checker = self._checker = QuickChecker(wish.model, wish.data, device=device)
                self._place = wish.place
            checker.prepare(should_stop)
        return checker.check(wish.plan, wish.repair, wish.groups, should_stop)


@st.cache_resource(show_spinner=False)
def quick_checks() -> QuickChecks:
    """The checks of this server."""
    checks = QuickChecks(_Measuring())
    atexit.register(checks.end)
    return checks
