"""A page with nothing but the equaliser, for its tests and its benchmark.

    streamlit run tests/browser/equaliser_app.py

In the address: ``n`` layers (default 22), ``measured=0`` for no curves, ``partial=1`` for curves of
every second layer, ``norms=1`` for layers that cannot be pruned between the others.
"""

import json
import math

import numpy as np
import streamlit as st

from workbench.accounting import size_of_plan
from workbench.curves import SensitivityCurves, SensitivityPoint, SensitivitySettings
from workbench.layers import Inspection, LayerInfo
from workbench.plan import PruningPlan
from workbench.ui.equaliser import Measured, board_of, equaliser, protected_locks

NUM_CLASSES = 10
SAMPLES = 1000
NASTY = '<img src=x onerror="document.title=1">'


def layers(count: int, norms: bool) -> tuple[LayerInfo, ...]:
    """Made-up layers in four stages, the last one a protected classifier."""
    random = np.random.default_rng(0)
    made = []
    for i in range(count):
        depth = i / max(1, count - 1)
        width = int(16 * 2 ** (4 * i // count))
        shape = (width, width, 3, 3)
        name = f"layer{1 + 4 * i // count}.{i // 3 % 8}.conv{1 + i % 3}"
        kind, protected = "Conv2d", False
        if i == count - 1:
            name, kind, shape, protected = "classifier", "Linear", (NUM_CLASSES, width), True
        elif i == 1:
            name = f"layer1.{NASTY}"
        weights = math.prod(shape)
        macs = int(weights * (1.6 - depth) * 784 * (0.5 + random.random()))
        made.append(
            LayerInfo(name, kind, f"{name}.weight", shape, weights, weights + width, 0, macs,
                      True, protected=protected)
        )  # fmt: skip
        if norms and i < count - 1:
            made.append(
                LayerInfo(f"{name}.bn", "BatchNorm2d", "", (width,), 2 * width, 2 * width, 0, 0,
                          False, "Normalisation has one scale and shift per channel.")
            )  # fmt: skip
    return tuple(made)


def curves(inspection: Inspection, every: int) -> SensitivityCurves:
    """Made-up curves: calm in the middle of the network, fragile at its start."""
    random = np.random.default_rng(1)
    settings = SensitivitySettings(num_samples=SAMPLES, repair="bn")
    baseline = _point("", 0.0, 0.923, 0.24)
    points = []
    for i, layer in enumerate(inspection.prunable[::every]):
        depth = i * every / len(inspection.prunable)
        middle = 0.75 + 0.3 * math.sin(math.pi * depth) + random.normal(0, 0.06) - 0.4 * (i == 0)
        for level in settings.levels:
            hurt = 1 / (1 + math.exp(-12 * (level - middle)))
            noise = random.normal(0, 0.002)
            points.append(
                _point(layer.layer_name, level, 0.923 - 0.8 * hurt + noise, 0.24 + 1.9 * hurt)
            )
    return SensitivityCurves(settings, "m", "d", baseline, tuple(points), 1.0, 1, every == 1)


def _point(group: str, level: float, accuracy: float, loss: float) -> SensitivityPoint:
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / SAMPLES)
    return SensitivityPoint(group, level, accuracy, loss, accuracy - half, accuracy + half, SAMPLES)


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
        size = size_of_plan(inspection, PruningPlan(state.plan))
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
