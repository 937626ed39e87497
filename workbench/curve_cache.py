"""Measured points kept on disk, so that nothing is measured twice and a stop loses nothing."""

import json
import os
from pathlib import Path
from typing import Any, Protocol

from workbench.errors import StorageError


class PointCache(Protocol):
    """Remembers points by a key that names weights, data and settings."""

    def load(self, key: str) -> list[dict[str, Any]]:
        """Everything appended under a key, in that order."""
        ...

    def append(self, key: str, point: dict[str, Any]) -> None:
        """Remember one point."""
        ...


class JsonLinesCache:
    """One file for each key, one point in each line.

    A line that was cut short, by a crash or a full disk, is passed over when reading, and the next
    point starts on a line of its own.

    Args:
        folder: Where the files lie; made when the first point is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> list[dict[str, Any]]:
        """Every whole point written under a key.

        Raises:
            StorageError: If the file is there and cannot be read.
        """
        try:
            lines = self._path(key).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"The measured points in {self._path(key)} cannot be read: {error.strerror}.",
                "Check the folder's permissions.",
            ) from error
        points = map(_parse, lines)
        return [point for point in points if point is not None]

    def append(self, key: str, point: dict[str, Any]) -> None:
        """Write one point at the end, in one piece.

        Raises:
            StorageError: If it cannot be written.
        """
        line = json.dumps(point, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path(key).open("ab+") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            raise StorageError(
                f"A measured point cannot be written to {self._folder}: {error.strerror}.",
                "Free some disk space or choose a folder you may write to.",
            ) from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.jsonl"


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        point = json.loads(line)
    except ValueError:
        return None
    return point if isinstance(point, dict) else None
