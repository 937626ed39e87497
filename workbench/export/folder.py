"""The folder of an export: written aside, then moved into place whole."""

import errno
import hashlib
import json
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

from workbench.errors import ExportError, StorageError
from workbench.export.exported import ExportedFile

REPORT = "report.json"
KIND = "pruning-workbench export"
NAMES = (
    "model.onnx", "model.pt2", "weights.safetensors", "model.py", "plan.yaml",
    "check.safetensors", REPORT, "report.html",
)  # fmt: skip
_CACHE = "__pycache__"  # left by Python where model.py was imported
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A working folder whose files appear in ``folder`` when the block ends well.

    An earlier export in ``folder`` is replaced as a whole; after an error everything is as before.

    Raises:
        ExportError: If ``folder`` holds anything but an earlier export.
        StorageError: If it cannot be written.
    """
    _check_free(folder)
    inside = folder.is_dir() and not any(folder.iterdir())
    mark = f".{folder.name}.partial-{secrets.token_hex(4)}"
    work = (folder if inside else folder.parent) / mark
    with storage_errors(folder):
        work.mkdir(parents=True)
    try:
        yield work
        with storage_errors(folder):
            _move(work, folder, inside)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_target(folder: Path) -> None:
    """Refuse a folder that no export could be written to, before any work is done.

    Raises:
        ExportError: If ``folder`` holds anything but an earlier export.
        StorageError: If it cannot be written.
    """
    folder = folder.absolute()
    _check_free(folder)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    with storage_errors(folder):
        probe = there / f".probe-{secrets.token_hex(4)}"
        probe.mkdir()
        probe.rmdir()


def write(path: Path, content: bytes) -> ExportedFile:
    """Write one file and name its content.

    Raises:
        StorageError: If the disk is full or the file cannot be written.
    """
    with storage_errors(path):
        path.write_bytes(content)
    return ExportedFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def write_whole(path: Path, content: bytes) -> ExportedFile:
    """Write one file so that it is there whole or not at all.

    Raises:
        StorageError: If the disk is full or the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(content)
            aside.replace(path)
    finally:
        with suppress(OSError):  # a folder that refuses to be written refuses this too
            aside.unlink(missing_ok=True)
    return ExportedFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def zip_export(folder: Path) -> bytes:
    """All files of an export in one compressed archive, the same bytes for the same files.

    Raises:
        ExportError: If the folder is not an export.
    """
    folder = Path(folder)
    if not is_export(folder):
        raise ExportError(f"{folder} is not an exported folder.", "Export a model first.")
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else."""
    try:
        names = {path.name for path in folder.iterdir()}
        report = json.loads((folder / REPORT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return names <= {*NAMES, _CACHE} and isinstance(report, dict) and report.get("kind") == KIND


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence that names the place.

    Raises:
        StorageError: For every ``OSError`` inside the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                f"The disk is full: {path} cannot be written.",
                "Make room or choose a folder on another disk.",
            ) from error
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Choose a folder that you may write to.",
        ) from error


def _check_free(folder: Path) -> None:
    with storage_errors(folder):
        if not folder.exists():
            return
        if not folder.is_dir():
            raise ExportError(f"{folder} is a file.", "Choose a folder.")
        if any(folder.iterdir()) and not is_export(folder):
            raise ExportError(
                f"{folder} is not empty and holds more than an earlier export.",
                "Choose a new or an empty folder.",
            )


def _move(work: Path, folder: Path, inside: bool) -> None:
    """Put the finished files in place; an earlier export is set aside until that is done."""
    if inside:
        for path in sorted(work.iterdir(), key=lambda path: path.name == REPORT):
            path.replace(folder / path.name)
        return
    earlier = work.with_name(f"{work.name}-earlier")
    if folder.exists():
        folder.replace(earlier)
    try:
        work.replace(folder)
    except OSError:
        if earlier.exists():
            earlier.replace(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
