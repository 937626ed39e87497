"""Progress on standard error: one line that moves on a terminal, plain lines elsewhere."""

import shutil
import sys
import time
from typing import TextIO

from workbench.progress import Progress

BAR = 20
TERMINAL_SECONDS = 0.1
PLAIN_SECONDS = 10.0
LEARN_SECONDS = 1.0
LEARN_PART = 0.02


class ProgressLine:
    """Shows the steps of one piece of work after another, with the time left.

    Use as a context manager: the moving line is wiped at the end, so that results and messages
    start on a clean one. Call it with every ``Progress``.

    Args:
        stream: Where to write; standard error if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moves = self._stream.isatty()
        self._title = ""
        self._began = self._shown = 0.0
        self._width = 0
        self._total = -1

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def start(self, title: str) -> None:
        """Begin another piece of work; its title stands before every step."""
        self._wipe()
        self._title, self._began, self._shown, self._total = title, time.monotonic(), 0.0, -1
        if not self._moves:
            self._stream.write(f"{title}\n")
            self._stream.flush()

    def __call__(self, progress: Progress) -> None:
        """Show a step, unless one was shown just before."""
        now = time.monotonic()
        if self._total not in (-1, progress.total):  # another count: time left is learnt again
            self._began = now
        self._total = progress.total
        wait = TERMINAL_SECONDS if self._moves else PLAIN_SECONDS
        if now - self._shown < wait and (self._shown or not self._moves):
            return
        if not self._moves and now - self._began < wait:
            return
        self._shown = now
        text = self._describe(progress, now - self._began)
        if self._moves:
            columns = shutil.get_terminal_size().columns - 1
            text = text[:columns]
            self._stream.write(f"\r{text:{self._width}}")
            self._width = len(text)
        else:
            self._stream.write(f"  {text}\n")
        self._stream.flush()

    def _describe(self, progress: Progress, seconds: float) -> str:
        parts = [self._title] if self._moves else []
        if progress.total > 0:
            part = min(1.0, progress.done / progress.total)
            if self._moves:
                filled = round(BAR * part)
                parts.append(f"[{'#' * filled}{'.' * (BAR - filled)}]")
            parts.append(f"{100 * part:3.0f} %")
            left = _seconds_left(progress, seconds)
            if left is not None:
                parts.append(f"{_duration(left)} left")
        return "  ".join([*parts, progress.message]).rstrip()

    def _wipe(self) -> None:
        if self._moves and self._width:
            self._stream.write(f"\r{'':{self._width}}\r")
            self._stream.flush()
            self._width = 0


def _seconds_left(progress: Progress, seconds: float) -> float | None:
    """What the work says itself, or else the pace so far; None while there is too little."""
    told = progress.values.get("seconds_left")
    if isinstance(told, int | float):
        return float(told)
    if progress.done < LEARN_PART * progress.total or seconds < LEARN_SECONDS:
        return None
    return seconds / progress.done * (progress.total - progress.done)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
