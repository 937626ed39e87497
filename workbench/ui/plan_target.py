"""What a plan should reach: what is counted and how much of it stays, as the page asks for it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from workbench.granularity import Granularity, parse_granularity
from workbench.ui import session
from workbench.ui.errors import callback
from workbench.ui.i18n import _
from workbench.ui.words import explain

SPARSITY = "sparsity"
WIDE, NARROW = 200, 120
"""Widths of the widgets in pixels."""
_TARGET = "plan_reach"
_UNIT = "plan_reach_unit"
_USUAL_FACTOR = 4
_MOST_FACTOR = 1000.0


def units(kind: Granularity) -> list[str]:
    """What can be asked of a plan of a granularity: only channels save time."""
    budgets = ["macs", "params", "bytes"]
    return [*budgets, "latency", SPARSITY] if kind.structured else [SPARSITY, *budgets]


def unit(kind: Granularity) -> str:
    """What was asked for last, where it fits the granularity."""
    kept = str(session.setting(_UNIT, ""))
    return kept if kept in units(kind) else units(kind)[0]


def part(name: str, kind: Granularity) -> float:
    """How much was asked for last: of a sparsity what goes, of anything else what stays."""
    usual = _usual_percent(kind) / 100 if name == SPARSITY else 1 / _USUAL_FACTOR
    return float(session.setting(_setting(name, kind), usual))


def remember(name: str, value: float, kind: Granularity) -> None:
    """Ask for that from now on; the widgets follow."""
    session.remember(**{_UNIT: name, _setting(name, kind): value})
    for key, shown in _shown(name, value, kind).items():
        st.session_state[key] = shown


def show_unit(kind: Granularity) -> str:
    """Choose what to reach; returns the key of the widget."""
    names, chosen = units(kind), unit(kind)
    # titles change with the kind, and a widget that outlives its titles hands out an old one
    key = _unit_key(kind)
    if st.session_state.get(key) != chosen:
        st.session_state[key] = chosen
    st.selectbox(
        _("Target"), names, key=key, width=WIDE,
        format_func=titles(kind).__getitem__, help=explain(_terms(kind)[chosen]),
        on_change=callback(partial(_remember_unit, key)),
    )  # fmt: skip
    return key


def show_part(kind: Granularity) -> None:
    """Ask how far: a percentage, or of a budget a factor and the percentage that is the same."""
    name = unit(kind)
    shown = _shown(name, part(name, kind), kind)
    for key, value in shown.items():
        st.session_state.setdefault(key, value)
    if name == SPARSITY:
        (percent,) = shown
        st.number_input(
            _("Percent"), 0, 99, step=5, key=percent, width=NARROW, help=_sparsity_help(kind),
            on_change=callback(partial(_remember_part, name, kind)),
        )  # fmt: skip
        return
    factor, percent = shown
    time = name == "latency"
    st.number_input(
        _("Times faster") if time else _("Times fewer"), 1.0, _MOST_FACTOR, step=1.0,
        format="%.4g", key=factor, width=NARROW,
        on_change=callback(partial(_remember_part, name, kind)),
        help=_("4 leaves a quarter of the dense model; as little is pruned as meets it."),
    )  # fmt: skip
    st.number_input(
        _("Percent kept"), 100 / _MOST_FACTOR, 100.0, step=5.0, format="%.4g", key=percent,
        width=NARROW,
        on_change=callback(partial(_remember_part, name, kind)),
        help=_("The same as a part of the dense model."),
    )  # fmt: skip


def read(unit_key: str, kind: Granularity) -> tuple[str, float]:
    """What the widgets ask for now, and remember it: they may have changed with the very click."""
    name = str(st.session_state.get(unit_key, unit(kind)))
    value = _typed(name, kind)
    remember(name, value, kind)
    return name, value


def titles(kind: Granularity) -> dict[str, str]:
    """What can be asked for, as the page calls it."""
    return {
        SPARSITY: _("Channel pruning ratio") if kind.structured else _("Sparsity"),
        "params": _("Parameters"),
        "macs": _("MACs"),
        "bytes": _("Stored bytes"),
        "latency": _("Measured latency"),
    }


def _terms(kind: Granularity) -> dict[str, str]:
    """The words of the glossary that explain them."""
    return {
        SPARSITY: "channel pruning ratio" if kind.structured else "sparsity",
        "params": "non-zero parameters",
        "macs": "MACs",
        "bytes": "stored size",
        "latency": "latency",
    }


def _unit_key(kind: Granularity) -> str:
    return f"{_UNIT}_{kind.structured}"


def _remember_unit(key: str) -> None:
    """Keep what was chosen, unless the widget belongs to a granularity that was left."""
    kind = parse_granularity(session.plan().granularity)
    if key == _unit_key(kind) and st.session_state[key] in units(kind):
        session.remember(**{_UNIT: st.session_state[key]})


def _remember_part(name: str, kind: Granularity) -> None:
    """Keep what was typed, unless something else is asked for by now."""
    if kind == parse_granularity(session.plan().granularity) and name == unit(kind):
        remember(name, _typed(name, kind), kind)


def _typed(name: str, kind: Granularity) -> float:
    """What the widgets of a target say: that of the two which differs from what was asked last."""
    before = part(name, kind)
    for key, shown in _shown(name, before, kind).items():
        now = st.session_state.get(key, shown)
        if now != shown:
            return 1 / float(now) if key.endswith("factor") else float(now) / 100
    return before


def _shown(name: str, value: float, kind: Granularity) -> dict[str, float]:
    """Keys of the widgets of a target, and what they say at a value."""
    key = _setting(name, kind)
    if name == SPARSITY:
        return {f"{key}/percent": round(100 * value)}
    return {
        f"{key}/factor": float(f"{1 / value:.4g}"),
        f"{key}/percent": float(f"{100 * value:.4g}"),
    }


def _setting(name: str, kind: Granularity) -> str:
    return f"{_TARGET}/{kind.name if name == SPARSITY else name}"


def _sparsity_help(kind: Granularity) -> str:
    if kind.structured:
        return _("Of all channels, neurons and heads in the unlocked groups.")
    if kind.kind == "nm":
        return _(
            "Of the weights in the unlocked layers, as nearly as can be: at {n}:{m} a layer is "
            "dense or loses {percent} %."
        ).format(n=kind.n, m=kind.m, percent=_usual_percent(kind))
    if kind.kind == "subblock":
        return _(
            "Of the weights in the unlocked layers. Sub-blocks go as a whole, so each layer may "
            "lose up to {count} weights more."
        ).format(count=kind.rows * kind.columns - 1)
    return _("Of the weights in the unlocked layers.")


def _usual_percent(kind: Granularity) -> int:
    """What stands there at first: what N:M leaves out of every group, 80 % of single weights."""
    if kind.kind == "nm":
        return round(100 * (1 - kind.n / kind.m))
    return 80 if kind.kind == "weight" else 50
