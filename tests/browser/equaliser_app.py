"""A page with nothing but the equaliser, for its tests and its benchmark.

    streamlit run tests/browser/equaliser_app.py

In the address: ``n`` layers (default 22), ``measured=0`` for no curves, ``partial=1`` for curves of
every second layer, ``norms=1`` for layers that cannot be pruned between the others, ``g`` for a
granularity, such as ``channel``.
"""

import json
import math

import streamlit as st

from tests.browser.made_up import NUM_CLASSES, curves, groups, layers
from workbench.accounting import size_of_plan
from workbench.layers import Inspection
from workbench.plan import PruningPlan
from workbench.ui.equaliser import (
    Measured,
    board_of,
    equaliser,
    parse_return,
    pending_board,
    protected_locks,
    sent,
)


@st.cache_resource
def make(count: int, measured: bool, partial: bool, norms: bool, granularity: str, multiple: int):
    inspection = Inspection(layers(count, norms))
    found = groups(inspection, granularity)
    every = 2 if partial else 1
    measurement = curves(inspection, every, granularity) if measured else None
    board = board_of(
        found, measurement, num_classes=NUM_CLASSES, locked=protected_locks(found),
        channel_multiple=multiple,
    )  # fmt: skip
    return found, board


def asked(name: str, default: int) -> int:
    return int(st.query_params.get(name, default))


def push(sparsities, granularity=None, multiple=1) -> None:
    """A preset: the page sets a plan of its own."""
    state = st.session_state
    state.plan = dict(sparsities)
    if granularity:
        state.kind = (granularity, multiple)
    state.revision += 1


def go_back(state) -> None:
    """Undo led back to a plan of another granularity or rounding."""
    kind = pending_board("eq", state.revision)
    if kind is not None and kind != state.kind:
        found = parse_return(sent("eq"), make(*state.case, *kind)[1], {})
        push(found.sparsities, *kind)


def plan_page() -> None:
    state = st.session_state
    if "case" not in state:
        state.case = (asked("n", 22), bool(asked("measured", 1)), bool(asked("partial", 0)),
                      bool(asked("norms", 0)))  # fmt: skip
        state.kind = (st.query_params.get("g", "weight"), 1)
        state.plan, state.revision = {}, 0
    go_back(state)
    board = make(*state.case, *state.kind)[1]
    free = [name for name in board.names if name not in board.locked]
    st.title("Plan")
    half = dict.fromkeys(free, 0.5)
    wave = {name: 0.2 + 0.1234567890123 * (1 + math.sin(i / 3)) * 2 for i, name in enumerate(free)}
    columns = st.columns(6)
    columns[0].button("Uniform 50 %", on_click=push, args=(half,))
    columns[1].button("Wave", on_click=push, args=(wave,))
    columns[2].button("Channels", on_click=push, args=({}, "channel"))
    columns[3].button("Multiples of 8", on_click=lambda: push(state.plan, state.kind[0], 8))

    @st.fragment
    def body() -> None:
        go_back(state)
        found, board = make(*state.case, *state.kind)
        measured = Measured(0.9012, 0.8951, 0.9069, 10_000, half, "Measured, fine-tuned")
        edit = equaliser(board, state.plan, key="eq", revision=state.revision, measured=measured)
        if edit is not None:
            state.plan = dict(edit.sparsities)
            state.edits = state.get("edits", 0) + 1
        size = size_of_plan(found, plan_of(board, state.plan))
        shown = size.to_dict()
        if board.predictor is not None:
            prediction = board.predictor.predict(board.settled(state.plan))
            shown |= prediction.to_dict()
        st.metric("Non-zero parameters on the server", f"{size.num_nonzero:,}")
        with st.container(key="machine"):
            more = {"plan": state.plan, "kind": state.kind, "edits": state.get("edits", 0)}
            st.code(json.dumps(shown | more))

    body()


def plan_of(board, sparsities) -> PruningPlan:
    return PruningPlan(
        sparsities, board.granularity, channel_multiple=board.channel_multiple
    )  # fmt: skip


def other_page() -> None:
    st.title("Other")


st.set_page_config(layout="wide")
st.navigation(
    [
        st.Page(plan_page, title="Plan", url_path="plan", default=True),
        st.Page(other_page, title="Other", url_path="other"),
    ]
).run()
