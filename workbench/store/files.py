"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from workbench.errors import StorageError

PART = ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents.

    Raises:
        StorageError: If it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file next to its place, flush it to the disk, then move it into place.

    Args:
        path: Where the file will be; an existing one is replaced.
        write: Given the open file; writes the content.

    Raises:
        StorageError: If the disk is full or the folder cannot be written; nothing is left behind.
    """
    part: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=PART, delete=False
        ) as file:
            part = Path(file.name)
            write(file)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable where the system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say what a failed write means for the person."""
    if error.errno in _FULL:
        return StorageError(
            f"The disk is full: {path.name} could not be saved in {path.parent}.",
            "Free some space, or start the workbench with another data folder.",
        )
    reason = error.strerror or str(error)
    return StorageError(
        f"{path} cannot be written: {reason}.",
        "Make the folder writable, or start the workbench with another data folder.",
    )
