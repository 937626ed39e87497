"""The one way to put a figure on a page: with its alt text, and its takeaway below."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from workbench.ui.errors import callback, plain
from workbench.ui.theme import CHART_CONFIG


def show_chart(
    figure: go.Figure,
    *,
    alt: str,
    key: str,
    takeaway: str = "",
    on_click: Callable[[int], None] | None = None,
    clickable: int | None = None,
) -> None:
    """Draw a figure; what it says is there for a person who cannot see it.

    Args:
        figure: As built by the functions of this package.
        alt: What the figure shows and what follows from it, for a screen reader.
        key: Names the chart on its page, so that it is updated in place.
        takeaway: A sentence below the figure for everybody; may be empty.
        on_click: Called with the index of a mark that was clicked, before the page or fragment
            reruns. Bars and markers can be clicked, cells of a heat map cannot.
        clickable: Index of the only trace whose marks count; None counts those of all.
    """
    figure.update_layout(uirevision=key)
    if on_click is None:
        st.plotly_chart(figure, key=key, alt=alt, config=CHART_CONFIG)
    else:
        figure.update_layout(clickmode="event+select")
        st.plotly_chart(
            figure, key=key, alt=alt, config=CHART_CONFIG, selection_mode="points",
            on_select=callback(partial(_pass_on, key, on_click, clickable)),
        )  # fmt: skip
    if takeaway:
        st.caption(plain(takeaway))


def _pass_on(key: str, on_click: Callable[[int], None], clickable: int | None) -> None:
    """Tell the clicked mark. A second click on it takes plotly's selection away: same mark."""
    state: Any = st.session_state.get(key)
    points = state["selection"]["points"] if isinstance(state, Mapping) else []
    if clickable is not None:
        points = [point for point in points if point["curve_number"] == clickable]
    last = f"{key}_clicked"
    if points:
        st.session_state[last] = int(points[0]["point_index"])
    if last in st.session_state:
        on_click(st.session_state[last])
