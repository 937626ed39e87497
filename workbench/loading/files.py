"""Reading a file whole, within bounds, and looking into zip archives before anything unpacks."""

import io
import os
import stat
import zipfile
from collections import Counter
from pathlib import Path

from workbench.errors import DataError, LoadError
from workbench.loading.kinds import HEAD_BYTES, Kind, recognise
from workbench.loading.wording import listed, nearest, shown, sized

Refusal = type[LoadError] | type[DataError]
AGAIN = "Copy or download the file again and check that its size agrees with the original's."
_ZIP_ENTRY, _ZIP_END, _END_BYTES = b"PK\x01\x02", b"PK\x05\x06", 22


def read_file(path: Path, openable: tuple[str, ...], limit: int, refusal: Refusal,
              advice: str = "") -> tuple[bytes, Kind]:  # fmt: skip
    """Read a file whose kind is among ``openable``; its head is judged before the rest is read.

    Args:
        path: An ordinary file.
        openable: Names of kinds (see ``kinds.Kind``) that may be read further.
        limit: Most bytes.
        refusal: Class of the error to raise.
        advice: What to do about another kind of file; the kind's own advice if empty.

    Raises:
        LoadError | DataError: If it is missing, unreadable, too large or of another kind.
    """
    name = shown(path.name)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _folder(path, refusal)
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"{name} is not an ordinary file.", "Choose a file.")
        check_size(name, status.st_size, limit, refusal)
        with path.open("rb") as file:
            kind = check_kind(name, file.read(HEAD_BYTES), openable, refusal, advice)
            file.seek(0)
            return file.read(status.st_size), kind
    except (OSError, ValueError, MemoryError) as fault:
        raise _unreadable(path, fault, refusal) from None


def check_size(name: str, size: int, limit: int, refusal: Refusal) -> None:
    """Refuse what is larger than the limit.

    Raises:
        LoadError | DataError: If ``size`` exceeds ``limit``.
    """
    if size > limit:
        raise refusal(
            f"{shown(name)} has {sized(size)}; files up to {sized(limit)} are opened.",
            "Choose a smaller file.",
        )


def check_kind(name: str, head: bytes, openable: tuple[str, ...], refusal: Refusal,
               advice: str = "") -> Kind:  # fmt: skip
    """Tell what the file is and refuse it unless it can be opened.

    Raises:
        LoadError | DataError: If its kind is not among ``openable``.
    """
    kind = recognise(head[:HEAD_BYTES])
    if kind.name not in openable:
        own = kind.broken or not advice
        raise refusal(f"{shown(name)} is {kind.words}.", kind.advice if own else advice)
    return kind


def open_zip(name: str, data: bytes, most_members: int, most_bytes: int,
             refusal: Refusal) -> zipfile.ZipFile:  # fmt: skip
    """Open a zip archive after checking what it would unpack to.

    Raises:
        LoadError | DataError: If the archive is damaged, encrypted, has too many members, or
            says that it unpacks to more than ``most_bytes``.
    """
    if data.count(_ZIP_ENTRY) > 2 * most_members:
        raise _too_many(name, data.count(_ZIP_ENTRY), most_members, refusal)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception:
        raise refusal(
            f"{name} is cut short or damaged: its table of contents is missing.", AGAIN
        ) from None
    members = archive.infolist()
    if len(members) > most_members:
        raise _too_many(name, len(members), most_members, refusal)
    if data[-_END_BYTES:][:4] != _ZIP_END:
        raise refusal(f"{name} goes on behind the end of its zip archive.", AGAIN)
    counts = Counter(member.filename for member in members)
    twice = [filename for filename, count in counts.items() if count > 1]
    if twice:
        raise refusal(f"{name} holds {listed(twice)} more than once.", "Save it again.")
    if any(member.flag_bits & 1 for member in members):
        raise refusal(f"{name} is encrypted.", "Unpack it with its password and save it again.")
    total = sum(member.file_size for member in members)
    if total > most_bytes:
        raise refusal(
            f"{name} has {sized(len(data))} and would unpack to {sized(total)}; "
            f"up to {sized(most_bytes)} are unpacked.",
            "It looks like a zip bomb: ask for the file from a source that you trust.",
        )
    return archive


def _too_many(name: str, count: int, most: int, refusal: Refusal) -> LoadError | DataError:
    return refusal(
        f"{name} holds {count:,} files; up to {most:,} are read.", "Choose a file with fewer parts."
    )


def _unreadable(path: Path, fault: Exception, refusal: Refusal) -> LoadError | DataError:
    """Why a path could not be read, with the nearest name in its folder where it is missing."""
    name = shown(path, 120)
    if isinstance(fault, FileNotFoundError):
        close = nearest(path.name, _siblings(path.parent))
        hint = f"Did you mean {shown(close)}?" if close else "Check the path."
        return refusal(f"There is no file {name}.", hint)
    if isinstance(fault, MemoryError):
        return refusal(f"{name} does not fit into memory.", "Choose a smaller file.")
    reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    return refusal(
        f"{name} cannot be read: {shown(reason)}.", "Check the path and its permissions."
    )


def _folder(path: Path, refusal: Refusal) -> LoadError | DataError:
    name = shown(path, 120)
    if (path / "saved_model.pb").is_file():
        return refusal(
            f"{name} is a TensorFlow SavedModel folder.",
            "Rebuild the network in PyTorch and save its state dict.",
        )
    return refusal(f"{name} is a folder.", "Choose a file inside it.")


def _siblings(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)][:1000]
    except OSError:
        return []
