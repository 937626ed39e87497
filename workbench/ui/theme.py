"""One meaning for every colour, and numbers with sensible digits and units."""

import math

import plotly.graph_objects as go
import streamlit as st

from workbench.ui.i18n import _

KEPT = "#0072B2"
PRUNED = "#E69F00"
DENSE = "#999999"
RANDOM = "#CC79A7"
HIGHLIGHT = "#D55E00"
GOOD = "#009E73"
GRID = "rgba(128, 128, 128, 0.18)"
INVISIBLE = "rgba(0, 0, 0, 0)"
CHART_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}


def translucent(colour: str, opacity: float) -> str:
    """A ``#rrggbb`` colour as ``rgba()`` with an opacity from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def is_dark() -> bool:
    """Whether the page was last drawn in the dark theme."""
    return st.context.theme.type == "dark"


def ramp(dark: bool) -> list[tuple[float, str]]:
    """A sequential scale from nothing to much, readable on both themes, safe without colour.

    Opacity grows with the value, so that a change of theme never leaves a glaring block.
    """
    end = "#8fd0ff" if dark else "#08396b"
    middle = "#2f8fd0" if dark else "#2171b5"
    return [
        (0.0, translucent(middle, 0.0)),
        (0.3, translucent(middle, 0.3)),
        (0.7, translucent(middle, 0.85)),
        (1.0, translucent(end, 1.0)),
    ]


def lay_out(
    figure: go.Figure, *, height: int, x_title: str = "", y_title: str = "", legend: bool = False
) -> go.Figure:
    """Give a figure the common margins, grid and titles; ``height`` in pixels. Returns it."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 16, "t": 34, "b": 48},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
        dragmode="pan",
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(title=x_title or None, showgrid=False, zeroline=False)
    figure.update_yaxes(title=y_title or None, gridcolor=GRID, zeroline=False)
    return figure


def compact(number: float) -> str:
    """A count with three digits and k, M or G: 273,258 is ``273 k``."""
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size * 0.9995:
            return _three_digits(number / size) + suffix
    return f"{number:.0f}"


def in_bytes(number: float) -> str:
    """A file size with three digits in bytes, kB, MB or GB (powers of 1000)."""
    if number < 1000:
        return f"{number:.0f} B"
    return compact(number).replace(" k", " kB").replace(" M", " MB").replace(" G", " GB")


def _three_digits(value: float) -> str:
    rounded = float(f"{value:.2e}")
    digits = max(0, 2 - math.floor(math.log10(abs(rounded)) + 1e-9)) if rounded else 0
    return f"{rounded:.{digits}f}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as percent: 0.9312 is ``93.1 %``."""
    return f"{100 * fraction:.{digits}f} %"


def plain_number(value: float) -> str:
    """A number of any size with three digits and a true minus sign; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.3g}".replace("-", "−")


def milliseconds(value: float) -> str:
    """A duration in milliseconds with three digits."""
    return f"{_three_digits(value)} ms"


def duration(seconds: float) -> str:
    """A duration as a person says it: ``8 s``, ``2 min 5 s``, ``1 h 3 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return _("{seconds} s").format(seconds=whole)
    if whole < 3600:
        return _("{minutes} min {seconds} s").format(minutes=whole // 60, seconds=whole % 60)
    return _("{hours} h {minutes} min").format(hours=whole // 3600, minutes=whole % 3600 // 60)


def interval(low: float, high: float, samples: int) -> str:
    """What a measured accuracy rests on: its 95 % interval and the number of images."""
    return _("{low}–{high}, {samples:,} images").format(
        low=f"{100 * low:.1f}", high=percent(high), samples=samples
    )


def shape(sizes: tuple[int, ...]) -> str:
    """A tensor's shape: ``16 × 3 × 3 × 3``."""
    return " × ".join(map(str, sizes))
