"""One job: what a page sees of it, and how that follows from what its worker says."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workbench.errors import WorkbenchError

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
MAX_POINTS = 5_000
DOUBLE_CLICK_SECONDS = 1.0
_PACE_SECONDS = 30.0
_PACE_SHORTEST = 0.5


@dataclass(frozen=True)
class JobView:
    """A job as it stands at one moment.

    Attributes:
        id: Names the job to its owner.
        owner: The workspace that submitted it; nobody else sees it.
        kind: What it does, such as ``finetune``.
        title: What a page shows.
        request: What was asked for; plain JSON.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled`` (stopped; ``result``
            then holds what was finished, or is None).
        ahead: Jobs that run before it, while queued.
        stopping: It was asked to stop and has not ended yet.
        done: Steps finished.
        total: Steps in all; 0 where unknown.
        message: What is being done, as a short phrase.
        series: The numbers of its steps, oldest first, at most ``MAX_POINTS``.
        seconds: How long it has run.
        seconds_left: How long it will still run at the present pace, or None where unknown.
        result: What it gave, as plain JSON, or None.
        error: Why it failed, as one sentence, or empty.
        hint: What to do about it, or empty.
    """

    id: str
    owner: str
    kind: str
    title: str
    request: Mapping[str, object]
    state: JobState
    ahead: int
    stopping: bool
    done: int
    total: int
    message: str
    series: tuple[Mapping[str, object], ...]
    seconds: float
    seconds_left: float | None
    result: Mapping[str, object] | None
    error: str
    hint: str

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.state in ("queued", "running")

    @property
    def completed(self) -> float:
        """Share of the steps finished, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else float(self.state == "done")


@dataclass
class Series:
    """Points of several kinds (steps, epochs ...) of which the frequent kind is thinned evenly.

    Attributes:
        limit: Most points kept.
    """

    limit: int = MAX_POINTS
    _points: list[Mapping[str, object]] = field(default_factory=list)
    _seen: dict[frozenset[str], int] = field(default_factory=dict)
    _strides: dict[frozenset[str], int] = field(default_factory=dict)

    def add(self, point: Mapping[str, object]) -> None:
        """Append a point, or pass over it where its kind is being thinned."""
        kind = frozenset(point)
        seen = self._seen.get(kind, 0)
        self._seen[kind] = seen + 1
        if seen % self._strides.get(kind, 1):
            return
        self._points.append(point)
        if len(self._points) > self.limit:
            self._thin()

    def points(self) -> tuple[Mapping[str, object], ...]:
        """What is kept, oldest first."""
        return tuple(self._points)

    def _thin(self) -> None:
        """Drop every second point of the most frequent kind, now and from now on."""
        counts: dict[frozenset[str], int] = {}
        for point in self._points:
            counts[frozenset(point)] = counts.get(frozenset(point), 0) + 1
        frequent = max(counts, key=lambda kind: counts[kind])
        kept, index = [], 0
        for point in self._points:
            if frozenset(point) == frequent:
                index += 1
                if index % 2 == 0:
                    continue
            kept.append(point)
        self._points = kept
        self._strides[frequent] = 2 * self._strides.get(frequent, 1)


@dataclass
class Pace:
    """Steps over the last half minute, to tell how long the rest will take."""

    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int = 0

    def mark(self, now: float, done: int, total: int) -> None:
        """Note how many steps are finished; another total or fewer steps begin afresh."""
        if total != self._total or (self._marks and done < self._marks[-1][1]):
            self._marks.clear()
        self._total = total
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > _PACE_SECONDS:
            self._marks.popleft()

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the last step at the present pace, or None where it cannot be told."""
        if len(self._marks) < 2 or not self._total:
            return None
        (begin, first), (end, last) = self._marks[0], self._marks[-1]
        if last == first or end - begin < _PACE_SHORTEST:
            return None
        step = (end - begin) / (last - first)
        return max(0.0, (self._total - last) * step - (now - end))


class Job:
    """The registry's own, changing side of a job; safe with several threads."""

    def __init__(
        self, job_id: str, owner: str, kind: str, title: str, request: Mapping[str, object]
    ) -> None:
        self.id, self.owner, self.kind, self.title = job_id, owner, kind, title
        self.request = dict(request)
        self.state: JobState = "queued"
        self.stop_asked: float | None = None
        self.stop_urgent = False
        self.ended: float | None = None
        self._started: float | None = None
        self._done, self._total, self._message = 0, 0, ""
        self._result: Mapping[str, object] | None = None
        self._error, self._hint = "", ""
        self._series, self._pace = Series(), Pace()
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.ended is None

    def start(self) -> None:
        """It is its turn."""
        with self._lock:
            self.state, self._started = "running", time.monotonic()

    def ask_to_stop(self) -> None:
        """Note the wish to stop; a second wish means at once, unless it is a double click."""
        with self._lock:
            now = time.monotonic()
            if self.stop_asked is None:
                self.stop_asked = now
            elif now - self.stop_asked > DOUBLE_CLICK_SECONDS:
                self.stop_urgent = True

    def advance(self, message: Mapping[str, object]) -> None:
        """Take in a progress message: ``done``, ``total``, ``message`` and new ``points``."""
        with self._lock:
            self._done, self._total = int(message["done"]), int(message["total"])  # type: ignore[call-overload]
            self._message = str(message["message"])
            for point in message["points"]:  # type: ignore[attr-defined]
                self._series.add(point)
            self._pace.mark(time.monotonic(), self._done, self._total)

    def end(
        self,
        state: JobState,
        result: Mapping[str, object] | None = None,
        error: WorkbenchError | None = None,
    ) -> None:
        """It is over."""
        with self._lock:
            self._result = result
            if error is not None:
                self._error, self._hint = error.message, error.hint
            self.ended, self.state = time.monotonic(), state

    def view(self, ahead: int) -> JobView:
        """The job as it stands now."""
        with self._lock:
            now = self.ended or time.monotonic()
            return JobView(
                id=self.id,
                owner=self.owner,
                kind=self.kind,
                title=self.title,
                request=self.request,
                state=self.state,
                ahead=ahead if self.state == "queued" else 0,
                stopping=self.stop_asked is not None and self.ended is None,
                done=self._done,
                total=self._total,
                message=self._message,
                series=self._series.points(),
                seconds=now - self._started if self._started else 0.0,
                seconds_left=self._pace.seconds_left(now) if self.state == "running" else None,
                result=self._result,
                error=self._error,
                hint=self._hint,
            )
