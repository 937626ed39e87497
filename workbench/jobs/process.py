"""The parent's side of a worker process: JSON lines to it and from it."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import workbench
from workbench.errors import JobError

Message = Mapping[str, object]
_STARTING = threading.Lock()
"""On Windows a process could inherit the pipes of one that is started at the same moment."""


def worker_command(folder: Path) -> tuple[str, ...]:
    """What starts a worker that keeps its results in the store of this folder."""
    return (sys.executable, "-P", "-m", "workbench.worker", str(folder))


class WorkerProcess:
    """A child process that waits for one request, works on it and ends.

    Args:
        command: Program and arguments.

    Raises:
        JobError: If the system cannot start it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
        flags |= getattr(subprocess, "CREATE_NO_WINDOW", 0)
        try:
            with _STARTING:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    encoding="utf-8",
                    env=_environment(),
                    creationflags=flags,
                )
        except OSError as error:
            raise JobError(
                f"The background process could not start: {error.strerror or error}.",
                "Close other programs to free memory, then try again.",
            ) from error
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="worker-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The system's number for the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, message: Message) -> None:
        """Write one line to it; a worker that is gone is noticed when reading."""
        stdin = self._process.stdin
        if stdin is None:
            return
        with self._sending, contextlib.suppress(OSError, ValueError):
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()

    def receive(self, timeout: float) -> Message | None:
        """The next message, or None where none came in time.

        Raises:
            EOFError: If the process has ended and everything it said was read.
        """
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None:
            self._messages.put(None)
            raise EOFError
        return message

    def kill(self) -> int:
        """End it now, without asking, and return its exit code."""
        if self.alive:
            self._process.kill()
        code = self._process.wait()
        self._reader.join()
        with self._sending, contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        return code

    def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is not None:
            with stdout:
                for line in stdout:
                    self._messages.put(json.loads(line))
        self._messages.put(None)


def _environment() -> dict[str, str]:
    """The environment with the workbench importable, and with threads that sleep while they wait.

    By default OpenMP's threads spin at every barrier. With other programs on the same cores that
    costs four times the processor time: 14 s in place of 3.3 s for one sensitivity point of
    ResNet-20 at 2 threads on 2 busy cores.
    """
    environment = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", **os.environ}
    root = Path(workbench.__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():  # a checkout that perhaps nobody installed
        paths = [str(root), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment
