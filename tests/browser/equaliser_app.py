"""A page with nothing but the equaliser, for its tests and its benchmark.

    streamlit run tests/browser/equaliser_app.py

In the address: ``n`` layers (default 22), ``measured=0`` for no curves, ``partial=1`` for curves of
every second layer, ``norms=1`` for layers that cannot be pruned between the others.
"""

import json
import math

import streamlit as st

from tests.browser.made_up import NUM_CLASSES, curves, layers
from workbench.accounting import size_of_plan
from workbench.groups import layer_groups
from workbench.layers import Inspection
from workbench.plan import PruningPlan
from workbench.ui.equaliser import Measured, board_of, equaliser, protected_locks


@st.cache_resource
def make(count: int, measured: bool, partial: bool, norms: bool):
    inspection = Inspection(layers(count, norms))
    found = curves(inspection, 2 if partial else 1) if measured else None
    board = board_of(inspection, found, num_classes=NUM_CLASSES, locked=protected_locks(inspection))
    return inspection, board


def asked(name: str, default: int) -> int:
    return int(st.query_params.get(name, default))


def push(sparsities) -> None:
    """A preset: the page sets a plan of its own."""
    st.session_state.plan = dict(sparsities)
    st.session_state.revision += 1


def plan_page() -> None:
    state = st.session_state
    if "case" not in state:
        state.case = (asked("n", 22), bool(asked("measured", 1)), bool(asked("partial", 0)),
                      bool(asked("norms", 0)))  # fmt: skip
        state.plan, state.revision = {}, 0
    inspection, board = make(*state.case)
    free = [name for name in board.names if name not in board.locked]
    st.title("Plan")
    half = dict.fromkeys(free, 0.5)
    wave = {name: 0.2 + 0.1234567890123 * (1 + math.sin(i / 3)) * 2 for i, name in enumerate(free)}
    columns = st.columns(6)
    columns[0].button("Uniform 50 %", on_click=push, args=(half,))
    columns[1].button("Wave", on_click=push, args=(wave,))

    @st.fragment
    def body() -> None:
        measured = Measured(0.9012, 0.8951, 0.9069, 10_000, half, "Measured, fine-tuned")
        edit = equaliser(board, state.plan, key="eq", revision=state.revision, measured=measured)
        if edit is not None:
            state.plan = dict(edit.sparsities)
            state.edits = state.get("edits", 0) + 1
        size = size_of_plan(layer_groups(inspection), PruningPlan(state.plan))
        shown = size.to_dict()
        if board.predictor is not None:
            prediction = board.predictor.predict(state.plan)
            shown |= {"accuracy": prediction.accuracy, "loss": prediction.loss}
        st.metric("Non-zero parameters on the server", f"{size.num_nonzero:,}")
        with st.container(key="machine"):
            st.code(json.dumps(shown | {"plan": state.plan, "edits": state.get("edits", 0)}))

    body()


def other_page() -> None:
    st.title("Other")


st.set_page_config(layout="wide")
st.navigation(
    [
        st.Page(plan_page, title="Plan", url_path="plan", default=True),
        st.Page(other_page, title="Other", url_path="other"),
    ]
).run()
