"""A target for the whole model, spread over the groups by one of the allocations."""

from functools import partial

import streamlit as st

from workbench.granularity import Granularity, parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import plan_state, session
from workbench.ui.errors import callback
from workbench.ui.i18n import _
from workbench.ui.words import explain

_TARGET = "plan_target"
_UNIT = "plan_target_unit"
_SPARSITY = "sparsity"
UNITS = (_SPARSITY, "params", "macs", "bytes")
MAX_SEED = 2**53 - 1  # the browser counts no further


def show_spread() -> None:
    """The target, how it is spread, and how what goes is ranked."""
    from workbench.allocation import ALLOCATIONS

    plan = session.plan()
    kind = parse_granularity(plan.granularity)
    with st.container(border=True):
        columns = st.columns([1.78, 0.68, 1.62, 1.45, 0.6, 1.0], vertical_alignment="bottom")
        unit = str(session.setting(_UNIT, _SPARSITY))
        # titles change with the kind, and a widget that outlives its titles hands out an old one
        unit_key, units = f"{_UNIT}_{unit}_{kind.structured}", list(UNITS)
        columns[0].selectbox(
            _("Target"), units, units.index(unit), key=unit_key,
            format_func=_unit_titles(kind.structured).__getitem__,
            help=_("What you give: the part to prune, or the part of the model that stays."),
            on_change=callback(partial(_remember_unit, unit_key)),
        )  # fmt: skip
        target_key = _target_input(columns[1], unit, kind)
        columns[2].selectbox(
            _("Scope"), list(ALLOCATIONS), key="plan_method", persist_state="session",
            format_func=lambda name: _scope_titles().get(name, ALLOCATIONS[name].title),
            help=explain("scope"),
        )  # fmt: skip
        _ranking(columns[3], columns[4], plan)
        columns[5].button(
            _("Spread"), type="primary", icon=":material/auto_awesome:", width="stretch",
            on_click=callback(partial(_spread, unit_key, target_key)),
            help=_("Sets every unlocked group at once; undo brings the former plan back."),
        )  # fmt: skip


def _remember_unit(key: str) -> None:
    session.remember(**{_UNIT: st.session_state[key]})


def _unit_titles(structured: bool) -> dict[str, str]:
    return {
        _SPARSITY: _("Channel pruning ratio") if structured else _("Sparsity"),
        "params": _("Parameters kept"),
        "macs": _("MACs kept"),
        "bytes": _("Bytes kept"),
    }


def _scope_titles() -> dict[str, str]:
    return {
        "uniform": _("Layerwise (uniform)"),
        "global": _("Global (ranked together)"),
    }


def _target_input(place: "st.delta_generator.DeltaGenerator", unit: str, kind: Granularity) -> str:
    """The number of the target in percent; returns the key of its widget."""
    name = f"{_TARGET}/{kind.name if unit == _SPARSITY else unit}"
    value = int(session.setting(name, _usual_target(unit, kind)))
    key = f"{name}/{value}"
    least, most = (0, 99) if unit == _SPARSITY else (1, 100)
    place.number_input(_("Percent"), least, most, value, 5, key=key, help=_target_help(unit, kind))
    return key


def _target_help(unit: str, kind: Granularity) -> str:
    if unit != _SPARSITY:
        return _("Of the dense model; as little is pruned as meets it.")
    if kind.structured:
        return _("Of all channels, neurons and heads in the unlocked groups.")
    if kind.kind == "nm":
        return _(
            "Of the weights in the unlocked layers, as nearly as can be: at {n}:{m} a layer is "
            "dense or loses {percent} %."
        ).format(n=kind.n, m=kind.m, percent=_usual_target(unit, kind))
    return _("Of the weights in the unlocked layers.")


def _usual_target(unit: str, kind: Granularity) -> int:
    """What stands there at first: what N:M leaves out of every group, 80 % of single weights."""
    if unit == _SPARSITY and kind.kind == "nm":
        return round(100 * (1 - kind.n / kind.m))
    return 80 if unit == _SPARSITY and kind.kind == "weight" else 50


def _ranking(
    left: "st.delta_generator.DeltaGenerator",
    right: "st.delta_generator.DeltaGenerator",
    plan: PruningPlan,
) -> None:
    """The criterion and its seed; another one keeps the sparsities."""
    from workbench.criteria import CRITERIA

    names = list(CRITERIA)
    criterion = left.selectbox(
        _("Criterion"), names, names.index(plan.criterion),
        format_func=lambda name: CRITERIA[name].title,
        help=explain("criterion") + " " + CRITERIA[plan.criterion].summary,
        key=f"plan_criterion_{plan.criterion}",
    )  # fmt: skip
    seed = right.number_input(
        _("Seed"), 0, MAX_SEED, plan.seed, key=f"plan_seed_{plan.seed}",
        help=_("Decides what the random criterion prunes."),
        disabled=criterion != "random",
    )  # fmt: skip
    if (criterion, int(seed)) != (plan.criterion, plan.seed):
        changed = plan.to_dict() | {"criterion": criterion, "seed": int(seed)}
        plan_state.replace(PruningPlan.from_dict(changed))
        st.rerun()


def _spread(unit_key: str, target_key: str) -> None:
    """Spread what the widgets say now: they may have changed with the very click."""
    from workbench.allocation import Budget, allocate

    target, unit = int(st.session_state[target_key]), str(st.session_state[unit_key])
    session.remember(**{target_key.rpartition("/")[0]: target})  # reads the workspace anew, too
    plan, groups = session.plan(), session.groups()
    sparsity = target / 100 if unit == _SPARSITY else None
    plan_state.replace(
        allocate(
            session.require_model(), st.session_state["plan_method"], sparsity=sparsity,
            budget=None if unit == _SPARSITY else Budget(unit, target / 100),
            granularity=plan.granularity, channel_multiple=plan.channel_multiple,
            criterion=st.session_state.get(f"plan_criterion_{plan.criterion}", plan.criterion),
            seed=int(st.session_state.get(f"plan_seed_{plan.seed}", plan.seed)),
            protected=tuple(plan_state.locks()), groups=groups,
        )
    )  # fmt: skip
