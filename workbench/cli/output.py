"""Results on standard output: JSON for programs, small tables for people."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from workbench.errors import StorageError


def check_json_target(target: str | None) -> None:
    """Refuse a JSON file that cannot be written before the work starts.

    Raises:
        StorageError: If its folder is missing or it is a folder itself.
    """
    if target in (None, "-"):
        return
    path = Path(str(target))
    if path.is_dir() or not path.absolute().parent.is_dir():
        reason = "it is a folder" if path.is_dir() else "its folder does not exist"
        raise StorageError(f"{path} cannot be written: {reason}.", "Choose another file.")


def write_result(target: str | None, values: Mapping[str, object], text: str) -> None:
    """Write a result as JSON where asked, and the text for people unless JSON takes its place.

    Args:
        target: A file, ``-`` for standard output, or None for no JSON.
        values: Plain values; numbers that JSON lacks become null.
        text: What a person reads.

    Raises:
        StorageError: If the file cannot be written.
    """
    if target == "-":
        sys.stdout.write(_json(values))
        return
    write_json(target, values)
    sys.stdout.write(f"{text}\n")


def write_json(target: str | None, values: Mapping[str, object]) -> None:
    """Write a result into a JSON file; nothing where standard output or no JSON is asked for.

    Raises:
        StorageError: If the file cannot be written.
    """
    if target in (None, "", "-"):
        return
    try:
        Path(str(target)).write_text(_json(values), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror}.", "Choose another file."
        ) from error


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns with their heads, the first column to the left, the others to the right."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def percent(value: float) -> str:
    """A fraction as a percentage with two digits."""
    return f"{100 * value:.2f} %"


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(_plain(values), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """The same value without infinities and NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
