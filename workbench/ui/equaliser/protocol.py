"""What the browser may send back, and how it is checked: it is input from outside."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_SPARSITY = 0.99


@dataclass(frozen=True)
class Edit:
    """A change made by hand in the equaliser.

    Attributes:
        sparsities: Layer name to sparsity, 0 < sparsity <= 0.99; layers that stay dense are left
            out. Layers the hand did not touch keep their value to the last bit.
    """

    sparsities: Mapping[str, float]


def parse_edit(
    message: object,
    names: Sequence[str],
    locked: frozenset[str],
    current: Mapping[str, float],
    revision: int,
) -> Edit | None:
    """Read one message of the component; anything but a sound, new edit gives None.

    Args:
        message: What the browser sent: ``{"revision": ..., "values": [...]}``, one per column.
        names: Layer names of the columns, in order.
        locked: Names that may not change.
        current: The plan's sparsities as the page knows them.
        revision: The revision the page shows; edits of an older one are out of date.
    """
    if not isinstance(message, Mapping) or message.get("revision") != revision:
        return None
    values = message.get("values")
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(names):
        return None
    sparsities: dict[str, float] = {}
    for name, value in zip(names, values, strict=True):
        before = current.get(name, 0.0)
        if name in locked:
            if value != before:
                return None
        elif not _is_sparsity(value) and value != before:
            return None
        if value > 0:
            sparsities[name] = float(value)
    now = {name: value for name, value in current.items() if value > 0}
    return None if sparsities == now else Edit(sparsities)


def _is_sparsity(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value <= MAX_SPARSITY
    )
