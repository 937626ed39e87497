"""Long names in little room: what tells them apart stays."""

from collections.abc import Sequence

DOTS = "\N{HORIZONTAL ELLIPSIS}"
_LEAST = 3


def shortened(names: Sequence[str], most: int) -> list[str]:
    """The names cut in the middle where they are too long, so that no two look the same.

    The two ends are as long as each other; where names differ elsewhere, one end grows, and where
    that does not help either, all of them get more room.

    Args:
        names: In any order; equal names stay equal.
        most: Characters that there is room for, at least 8.
    """
    distinct = len(set(names))
    for room in range(most, max(map(len, names), default=0) + 1):
        half = (room - 1) // 2
        tails = sorted(range(_LEAST, room - _LEAST), key=lambda tail: abs(tail - half))
        for tail in tails:
            found = [_cut(name, room, tail) for name in names]
            if len(set(found)) == distinct:
                return found
    return [*names]


def _cut(name: str, room: int, tail: int) -> str:
    """A name with its middle left out, at most ``room`` characters."""
    if len(name) <= room:
        return name
    return f"{name[: room - 1 - tail].rstrip()}{DOTS}{name[len(name) - tail :].lstrip()}"
