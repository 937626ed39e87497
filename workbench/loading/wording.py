"""How names, shapes and sizes appear in messages.

Names inside a file are written by whoever made the file, so they are shortened and freed of
characters that a page could take for markup.
"""

import difflib
import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[^\w .,:;@%=+/(){}'&#~\[\]-]")


def shown(text: object, most: int = 60) -> str:
    """A name from outside, safe to put into a message."""
    plain = _MARKUP.sub("?", str(text)).replace("](", "] (")
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def listed(names: Iterable[object], most: int = 3) -> str:
    """The first few names and how many more there are."""
    every = [shown(name) for name in names]
    first, rest = every[:most], len(every) - most
    if rest > 0:
        return f"{', '.join(first)} and {rest} more"
    if len(first) < 2:
        return "".join(first)
    return f"{', '.join(first[:-1])} and {first[-1]}"


def by(shape: Sequence[int]) -> str:
    """A shape in words, such as ``64 x 3 x 3``."""
    return " x ".join(map(str, shape)) if len(shape) else "of a single number"


def counted(count: int, noun: str) -> str:
    """A number with its noun, such as ``1 tensor`` or ``2 tensors``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def sized(num_bytes: int) -> str:
    """Bytes in the unit that suits, such as ``1.5 MB``."""
    if num_bytes < 1000:
        return counted(num_bytes, "byte")
    value, unit = num_bytes / 1e12, "TB"
    for larger, name in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if num_bytes < larger:
            value, unit = num_bytes / larger * 1000, name
            break
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def article(noun: str) -> str:
    """A noun with "a" or "an" before it."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def first_line(fault: BaseException) -> str:
    """An error of someone else's code: its class and the first line of what it says."""
    text = shown((str(fault).splitlines() or [""])[0].rstrip(". "), 160)
    return f"{type(fault).__name__}: {text}" if text else type(fault).__name__


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that is spelt most like ``name``, or None where none is close."""
    found = difflib.get_close_matches(name.lower(), list(choices), 1, 0.5)
    return found[0] if found else None
