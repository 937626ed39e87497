"""What the browser may send back, and how it is checked: it is input from outside."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.plan import MAX_MULTIPLE

if TYPE_CHECKING:
    from workbench.ui.equaliser.board import Board

MAX_SPARSITY = 0.99


@dataclass(frozen=True)
class Edit:
    """A change made by hand in the equaliser.

    Attributes:
        sparsities: Group name to sparsity, 0 < sparsity < 1; groups that stay dense are left
            out. Groups the hand did not touch keep their value to the last bit.
        granularity: What the plan is made of; another than before where the hand went back to
            an earlier plan.
        channel_multiple: What kept channels are rounded to, likewise.
    """

    sparsities: Mapping[str, float]
    granularity: str = "weight"
    channel_multiple: int = 1


def asked_board(message: object, revision: int) -> tuple[str, int] | None:
    """Granularity and rounding that a message speaks of; None where it is unsound or outdated.

    Args:
        message: What the browser sent.
        revision: The revision the page shows.
    """
    if not isinstance(message, Mapping) or message.get("revision") != revision:
        return None
    granularity, multiple = message.get("granularity"), message.get("multiple")
    try:
        structured = parse_granularity(granularity).structured
    except PlanError:
        return None
    if isinstance(multiple, bool) or not isinstance(multiple, int):
        return None
    if not 1 <= multiple <= (MAX_MULTIPLE if structured else 1):
        return None
    return str(granularity), multiple


def parse_edit(
    message: object, board: "Board", current: Mapping[str, float], revision: int
) -> Edit | None:
    """Read one message of the component; anything but a sound, new edit gives None.

    Args:
        message: What the browser sent: ``{"revision": ..., "granularity": ..., "multiple": ...,
            "values": [...]}``, one value per column.
        board: The board it must speak of.
        current: The plan's sparsities as the page knows them.
        revision: The revision the page shows; edits of an older one are out of date.
    """
    if asked_board(message, revision) != (board.granularity, board.channel_multiple):
        return None
    sparsities = _sound_values(message, board, current)
    now = {name: value for name, value in current.items() if value > 0}
    if sparsities is None or sparsities == now:
        return None
    return Edit(sparsities, board.granularity, board.channel_multiple)


def parse_return(message: object, board: "Board", current: Mapping[str, float]) -> Edit | None:
    """Read a message that goes back to a plan of another granularity or rounding.

    Args:
        message: What the browser sent; ``asked_board`` has told which board it speaks of.
        board: That board.
        current: The sparsities of its last plan, which locked columns keep.
    """
    sparsities = _sound_values(message, board, current, beyond_reach=True)
    if sparsities is None:
        return None
    return Edit(sparsities, board.granularity, board.channel_multiple)


def _sound_values(
    message: object, board: "Board", current: Mapping[str, float], beyond_reach: bool = False
) -> dict[str, float] | None:
    values = message.get("values") if isinstance(message, Mapping) else None
    if not isinstance(values, Sequence) or isinstance(values, str):
        return None
    if len(values) != len(board.columns):
        return None
    sparsities: dict[str, float] = {}
    for column, value in zip(board.columns, values, strict=True):
        before = current.get(column.name, 0.0)
        if value != before and (column.locked or not _is_sparsity(value)):
            return None
        if value != before and value > column.most and not beyond_reach:
            return None
        if value > 0:
            sparsities[column.name] = float(value)
    return sparsities


def _is_sparsity(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value < 1
    )
