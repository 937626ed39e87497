"""The equaliser: one column per prunable group, dragged, painted or typed, with live totals.

A page builds a ``Board`` once per model, granularity and set of curves and shows it with the
current plan::

    board = board_of(groups, curves, num_classes=10, locked=protected_locks(groups))
    edit = equaliser(board, plan.sparsities, key="equaliser", revision=revision)
    if edit is not None:
        plan = plan.with_sparsities(edit.sparsities)

``revision`` counts the changes that did not come from the hand: raise it by one whenever the page
itself sets another plan (a preset, an opened link). The columns then follow; edits that were under
way for an older revision are dropped. ``static.py`` joins the scripts, ``protocol.py`` checks what
comes back, ``board.py`` says what is drawn, ``text.py`` holds the words.
"""

from workbench.ui.equaliser.board import Board, Column, Measured, board_of, protected_locks
from workbench.ui.equaliser.checked import Checked, KnownAccuracy
from workbench.ui.equaliser.component import equaliser, pending_board, pending_edit, sent
from workbench.ui.equaliser.forecast import Forecast, Grounds
from workbench.ui.equaliser.protocol import MAX_SPARSITY, Edit, parse_return

__all__ = [
    "MAX_SPARSITY",
    "Board",
    "Checked",
    "Column",
    "Edit",
    "Forecast",
    "Grounds",
    "KnownAccuracy",
    "Measured",
    "board_of",
    "equaliser",
    "parse_return",
    "pending_board",
    "pending_edit",
    "protected_locks",
    "sent",
]
