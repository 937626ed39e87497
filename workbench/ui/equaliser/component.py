"""Mounts the equaliser on a page."""

from collections.abc import Callable, Mapping

import streamlit as st

from workbench.plan import PruningPlan
from workbench.ui.equaliser.board import Board, Measured
from workbench.ui.equaliser.checked import Checked
from workbench.ui.equaliser.protocol import MAX_SPARSITY, Edit, asked_board, parse_edit
from workbench.ui.equaliser.static import script, style_sheet
from workbench.ui.equaliser.text import words

HEIGHT = 220
_mount = st.components.v2.component(
    "workbench.equaliser",
    html='<div class="equaliser"></div>',
    css=style_sheet(),
    js=script(),
)


def equaliser(
    board: Board,
    sparsities: Mapping[str, float],
    *,
    key: str,
    revision: int,
    model: str = "",
    measured: Measured | None = None,
    checked: Checked | None = None,
    former: tuple[Board, PruningPlan] | None = None,
    height: int = HEIGHT,
    on_edit: Callable[[], None] | None = None,
) -> Edit | None:
    """Show the equaliser and return the edit made by hand, if there is a new one.

    Call it in a fragment, so that a released column reruns nothing else.

    Args:
        board: What is drawn (see ``board_of``).
        sparsities: The plan's sparsities by group name; groups that are not named are dense.
        key: Streamlit's key of this element.
        revision: Raise it by one whenever the plan changes by anything but an edit that this
            function returned; the columns then follow.
        model: Names the model. Its boards of all granularities share one history, so that undo
            leads back from one to the other.
        measured: A measured accuracy to show; it is marked where it belongs to another plan.
        checked: What instant checks say; None where nothing can be measured. While one is awaited
            the component reruns the script now and then.
        former: A plan that was replaced, with its board. Where the browser has not shown the
            model before, undo leads back to it.
        height: Height of the columns in pixels.
        on_edit: Called before the script runs again after an edit, on whatever page; the
            message is in ``sent``.

    Returns:
        The checked edit where it differs from ``sparsities``, else None.
    """
    data = board.data | {
        "key": key,
        "model": model,
        "revision": revision,
        "values": [float(sparsities.get(name, 0.0)) for name in board.names],
        "measured": _measured(board, measured),
        "check": checked.to_dict(board.names) if checked else None,
        "former": _plan_of(*former) if former else None,
        "max": MAX_SPARSITY,
        "height": height,
        "text": words(board.granularity),
    }
    result = _mount(
        key=key,
        data=data,
        default={"edit": None},
        on_edit_change=on_edit or _nothing,
        on_look_change=_nothing,
    )
    return parse_edit(result.edit, board, sparsities, revision)


def sent(key: str) -> object:
    """The last message of the component with that key, unchecked: it is input from outside."""
    state = st.session_state.get(key)
    return state.get("edit") if isinstance(state, Mapping) else None


def pending_edit(
    board: Board, sparsities: Mapping[str, float], *, key: str, revision: int
) -> Edit | None:
    """The edit that ``equaliser`` will return, for use above it on the page or in a callback."""
    return parse_edit(sent(key), board, sparsities, revision)


def pending_board(key: str, revision: int) -> tuple[str, int] | None:
    """Granularity and rounding that the last message speaks of; None where it is outdated."""
    return asked_board(sent(key), revision)


def _nothing() -> None:
    """Streamlit sends a state back only where it has a callback."""


def _plan_of(board: Board, plan: PruningPlan) -> dict[str, object]:
    """A plan as the component keeps it in its history."""
    return {
        "granularity": board.granularity,
        "multiple": board.channel_multiple,
        "values": [float(plan.sparsities.get(name, 0.0)) for name in board.names],
    }


def _measured(board: Board, measured: Measured | None) -> dict[str, object] | None:
    if measured is None:
        return None
    return {
        "accuracy": measured.accuracy,
        "low": measured.ci_low,
        "high": measured.ci_high,
        "samples": measured.samples,
        "label": measured.label,
        "other": measured.other,
        "values": [float(measured.sparsities.get(name, 0.0)) for name in board.names],
    }
