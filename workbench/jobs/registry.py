"""The registry of background jobs: one for the whole server."""

import atexit
import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from workbench.errors import JobError, WorkbenchError
from workbench.jobs.job import Job, JobState, JobView
from workbench.jobs.process import WorkerProcess

POLL_SECONDS = 0.1
ANSWER_SECONDS = 4.0
"""How long a worker may take to notice a stop before it is killed; it usually takes 0.1 s."""
_KEEP_SECONDS = 6 * 3600.0
_KEEP_PER_KIND = 3
Ending = tuple[JobState, Mapping[str, object] | None]
_LOG = logging.getLogger(__name__)


class Ledger(Protocol):
    """Remembers active jobs beyond the server's life (``Store.jobs`` is one)."""

    def begin(self, job_id: str, workspace_id: str, kind: str, title: str) -> None:
        """Note a job as active."""

    def end(self, job_id: str) -> None:
        """Note that it ended."""


class Jobs:
    """Runs submitted work in child processes, one at a time, in the order of submission.

    A worker process is kept ready so that a job begins at once. Workers end with the server,
    however the server ends. All methods are quick and safe with several threads.

    Args:
        command: What starts a worker, see ``worker_command``.
        ledger: Told of every job's beginning and end, so that an interruption can be told later.
        keep_ready: Whether a worker is started ahead of the next job once there was one.
    """

    def __init__(
        self, command: Sequence[str], *, ledger: Ledger | None = None, keep_ready: bool = True
    ) -> None:
        self._command, self._ledger, self._keep_ready = tuple(command), ledger, keep_ready
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._spare: WorkerProcess | None = None
        self._current: WorkerProcess | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._submitting = threading.Lock()
        threading.Thread(target=self._loop, name="jobs", daemon=True).start()
        atexit.register(self.close)

    def submit(self, owner: str, kind: str, title: str, request: Mapping[str, object]) -> JobView:
        """Queue work, unless the owner's last work of that kind is still active: then return that.

        Args:
            owner: The workspace that asks; only it can see and stop the job.
            kind: Name of the task in the worker.
            title: What a page shows.
            request: The task's arguments; plain JSON.
        """
        with self._submitting:
            active = next((view for view in self.of(owner, kind) if view.active), None)
            if active is not None:
                return active
            job = Job(secrets.token_urlsafe(9), owner, kind, title, request)
            if self._ledger is not None:
                self._ledger.begin(job.id, owner, kind, title)
            with self._changed:
                if self._closed:
                    raise JobError("The server is stopping.", "Start it again.")
                self._forget_old()
                self._jobs[job.id] = job
                self._queue.append(job)
                self._changed.notify_all()
        return self._view(job)

    def of(self, owner: str, kind: str | None = None) -> tuple[JobView, ...]:
        """The owner's jobs, newest first, of one kind or of all."""
        with self._changed:
            jobs = [
                job
                for job in reversed(self._jobs.values())
                if job.owner == owner and kind in (None, job.kind)
            ]
        return tuple(self._view(job) for job in jobs)

    def latest(self, owner: str, kind: str) -> JobView | None:
        """The owner's newest job of a kind, or None."""
        return next(iter(self.of(owner, kind)), None)

    def get(self, owner: str, job_id: str) -> JobView | None:
        """One job of the owner, or None where there is none (any more)."""
        job = self._jobs.get(job_id)
        return None if job is None or job.owner != owner else self._view(job)

    def stop(self, owner: str, job_id: str) -> None:
        """Ask a job to end with what it has; asked again later, it ends without a result."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.owner != owner or not job.active:
                return
            job.ask_to_stop()
            waiting = job in self._queue
            if waiting:
                self._queue.remove(job)
        if waiting:
            self._finish(job, "cancelled")

    def prewarm(self) -> None:
        """Start a worker ahead of the first job; it costs memory until it is used."""
        with self._changed:
            if self._closed or (self._spare is not None and self._spare.alive):
                return
            try:
                self._spare = WorkerProcess(self._command)
            except JobError as error:
                _LOG.warning("%s", error)

    def worker_pids(self) -> tuple[int, ...]:
        """The system's numbers of the worker processes: the busy one, then the waiting one."""
        with self._changed:
            workers = (self._current, self._spare)
            return tuple(worker.pid for worker in workers if worker is not None and worker.alive)

    def close(self) -> None:
        """End every worker now; the registry takes no more work."""
        with self._changed:
            self._closed = True
            workers = [worker for worker in (self._current, self._spare) if worker is not None]
            self._spare = None
            self._changed.notify_all()
        for worker in workers:
            worker.kill()
        atexit.unregister(self.close)

    def _view(self, job: Job) -> JobView:
        with self._changed:
            ahead = 0
            for other in self._jobs.values():
                if other is job:
                    break
                ahead += other.active
        return job.view(ahead)

    def _forget_old(self) -> None:
        """Drop ended jobs that nobody will ask for any more."""
        oldest = time.monotonic() - _KEEP_SECONDS
        kept: dict[tuple[str, str], int] = {}
        for job in [*reversed(self._jobs.values())]:
            if job.ended is None:
                continue
            count = kept[job.owner, job.kind] = kept.get((job.owner, job.kind), 0) + 1
            if count > _KEEP_PER_KIND or job.ended < oldest:
                del self._jobs[job.id]

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                job = self._queue.popleft()
                job.start()
            try:
                self._run(job)
            except WorkbenchError as error:
                self._finish(job, "failed", error=error)
            if self._keep_ready:
                self.prewarm()

    def _run(self, job: Job) -> None:
        """See a job through, in a second process where the waiting one had died unnoticed."""
        for _ in range(2):
            worker = self._take_worker()
            try:
                ending = self._follow(job, worker)
            finally:
                code = worker.kill()
                with self._changed:
                    self._current = None
            if ending is not None:
                self._finish(job, *ending)
                return
        raise _ended_unexpectedly(code)

    def _take_worker(self) -> WorkerProcess:
        with self._changed:
            if self._closed:
                raise JobError("The server is stopping.", "Start it again.")
            spare, self._spare = self._spare, None
            if spare is not None and not spare.alive:
                spare.kill()
                spare = None
            self._current = spare or WorkerProcess(self._command)
            return self._current

    def _follow(self, job: Job, worker: WorkerProcess) -> Ending | None:
        """Pass on what the worker says until it ends; None if it died before it began."""
        worker.send({"task": job.kind, "owner": job.owner, "arguments": job.request})
        begun = told = answered = False
        while True:
            try:
                message = worker.receive(POLL_SECONDS) or {"kind": "nothing"}
            except EOFError:
                if begun:
                    raise _ended_unexpectedly(worker.kill()) from None
                return None
            kind = message["kind"]
            begun = begun or kind == "begun"
            answered = answered or kind == "stopping"
            if kind == "progress":
                job.advance(message)
            elif kind == "error":
                raise JobError(str(message["message"]), str(message["hint"]))
            elif kind == "result":
                result: Mapping[str, object] = message["result"]  # type: ignore[assignment]
                return ("cancelled" if message["stopped"] else "done", result)
            if job.stop_asked is None:
                continue
            if not told:
                worker.send({"stop": True})
                told = True
            late = not answered and time.monotonic() - job.stop_asked > ANSWER_SECONDS
            if job.stop_urgent or late or not begun:
                return ("cancelled", None)

    def _finish(
        self,
        job: Job,
        state: JobState,
        result: Mapping[str, object] | None = None,
        error: WorkbenchError | None = None,
    ) -> None:
        if self._ledger is not None and not self._closed:
            with contextlib.suppress(WorkbenchError):
                self._ledger.end(job.id)
        job.end(state, result, error)


def _ended_unexpectedly(code: int) -> JobError:
    return JobError(
        f"The background process ended unexpectedly (exit code {code}).",
        "It may have run out of memory: close other programs or ask for less, then start it again.",
    )
