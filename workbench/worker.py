"""The child process of background jobs: ``python -m workbench.worker FOLDER``.

It gets ready, waits for one request on standard input, works, answers and ends. All that passes
is JSON, one message a line. In: a request ``{task, owner, arguments}``, then perhaps
``{"stop": true}``; end of file means that the server is gone, and so is the worker at once. Out:
``ready``, ``begun``, ``progress``, ``stopping``, then ``result`` or ``error``, each named by
``kind``. The protocol keeps copies of standard input and output for itself, so that whatever a
model prints goes to standard error and cannot disturb it.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TextIO

from workbench.errors import JobError, WorkbenchError
from workbench.progress import Progress, Report, ShouldStop, StoppedError

Values = Mapping[str, object]
Task = Callable[[str, Values, Report, ShouldStop], Values]
"""Takes the owner, its arguments, ``report`` and ``should_stop``; gives a result. Plain JSON."""

NICENESS = 10
THREADS = 2
FLUSH_SECONDS = 0.05


class Outbox:
    """Standard output as a line of messages; progress is gathered and sent every 50 ms.

    Args:
        stream: Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._pending = threading.Event()
        self._latest = Progress(0, 0)
        self._points: list[str] = []
        threading.Thread(target=self._flush_often, name="outbox", daemon=True).start()

    def report(self, progress: Progress) -> None:
        """Take one step's progress; quick, it is called at every step."""
        point = json.dumps(dict(progress.values), default=float) if progress.values else ""
        with self._lock:
            self._latest = progress
            if point:
                self._points.append(point)
            self._pending.set()

    def send(self, kind: str, **values: object) -> None:
        """Send a message now, after all progress that was reported before it."""
        line = json.dumps({"kind": kind, **values}, default=float)
        with self._lock:
            self._flush()
            self._write(line)

    def _flush_often(self) -> None:
        while True:
            self._pending.wait()
            with self._lock:
                self._flush()
            time.sleep(FLUSH_SECONDS)

    def _flush(self) -> None:
        if not self._pending.is_set():
            return
        self._pending.clear()
        head = {"kind": "progress", "done": self._latest.done, "total": self._latest.total}
        head["message"] = self._latest.message
        self._write(f'{json.dumps(head)[:-1]}, "points": [{", ".join(self._points)}]}}')
        self._points.clear()

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more: the inbox ends the process
            self._stream.write(line + "\n")
            self._stream.flush()


class Inbox:
    """Standard input: one request, then perhaps the wish to stop.

    Args:
        stream: Where the lines come from; its end ends the process.
        outbox: Told when the task first sees that it should stop.
    """

    def __init__(self, stream: TextIO, outbox: Outbox) -> None:
        self._stream, self._outbox = stream, outbox
        self._requests: queue.SimpleQueue[Values] = queue.SimpleQueue()
        self._stop = threading.Event()
        self.stopped = False
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def request(self) -> Values:
        """Wait for the request."""
        return self._requests.get()

    def should_stop(self) -> bool:
        """Whether the person wants the task to end; the first yes is passed on."""
        if self._stop.is_set() and not self.stopped:
            self.stopped = True
            self._outbox.send("stopping")
        return self.stopped

    def _read(self) -> None:
        for line in self._stream:
            message = json.loads(line)
            if "stop" in message:
                self._stop.set()
            else:
                self._requests.put(message)
        os._exit(0)


def serve(load_tasks: Callable[[], Mapping[str, Task]]) -> None:
    """Get ready, serve one request, end.

    Args:
        load_tasks: Gives the tasks by name; called before the first request, so that slow
            imports are over when it comes.
    """
    outbox = Outbox(_take_over(1, "w"))
    inbox = Inbox(_take_over(0, "r"), outbox)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which ends us
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        tasks = load_tasks()
        outbox.send("ready")
        request = inbox.request()
        outbox.send("begun")
        task = tasks[str(request["task"])]
        arguments: Values = request["arguments"]  # type: ignore[assignment]
        try:
            found = task(str(request["owner"]), arguments, outbox.report, inbox.should_stop)
            result: Values | None = dict(found)
        except StoppedError:  # with nothing to show for it
            result = None
        outbox.send("result", result=result, stopped=inbox.stopped)
    except BaseException as error:
        fault = _explained(error)
        outbox.send("error", message=fault.message, hint=fault.hint)
    os._exit(0)  # not through the interpreter's shutdown: the inbox still waits for a line


def _take_over(descriptor: int, mode: str) -> TextIO:
    """Keep a standard stream for the protocol and give everybody else a harmless one."""
    own: TextIO = os.fdopen(os.dup(descriptor), mode, encoding="utf-8", newline="\n")  # type: ignore[assignment]
    if mode == "w":
        os.dup2(2, descriptor)
    else:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)
    return own


def _explained(error: BaseException) -> WorkbenchError:
    """What a person is told; the traceback of anything unforeseen goes to standard error."""
    if isinstance(error, WorkbenchError):
        return error
    traceback.print_exception(error)
    sys.stderr.flush()
    text = str(error).strip().split("\n")[0]
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return JobError(
            "The background work ran out of memory.",
            "Close other programs, or choose smaller batches or fewer samples.",
        )
    return JobError(
        f"The background work failed: {type(error).__name__}{': ' if text else ''}{text}.",
        "The server's log has the details; other settings may work.",
    )


def _load_tasks(folder: Path) -> Mapping[str, Task]:
    """Import what the tasks need and bind them to the store of this folder."""
    import torch

    from workbench.store import Store
    from workbench.tasks import TASKS

    torch.set_num_threads(min(THREADS, os.cpu_count() or 1))
    store = Store(folder)
    return {name: partial(task, store) for name, task in TASKS.items()}


if __name__ == "__main__":
    sys.path.append(str(Path.cwd()))  # last: a factory of the command line may lie here
    serve(partial(_load_tasks, Path(sys.argv[1])))
