"""Help for a name that is nearly right."""

import difflib
from collections.abc import Iterable

MAX_LISTED = 30


def suggest(name: object, choices: Iterable[str]) -> str:
    """A hint that gives the nearest valid name and then all of them, as one or two sentences."""
    names = list(choices)
    if not names:
        return "There is nothing to choose from."
    by_lower = {choice.lower(): choice for choice in names}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    listed = ", ".join(names[:MAX_LISTED]) + (", ..." if len(names) > MAX_LISTED else "")
    nearest = f"Did you mean {by_lower[near[0]]!r}? " if near else ""
    return f"{nearest}Choose one of: {listed}."
