"""Layers that stay dense, named by patterns: every column that fits is locked at 0."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import streamlit as st

from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import plan_limits, plan_state, session
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.words import explain

_BEFORE = "plan_before_freezing"
_TRIES = "freeze_tries"


def show_freeze() -> None:
    """The field of patterns, and what they freeze."""
    from workbench.freezing import suggest_patterns

    granularity = session.plan().granularity
    now = plan_limits.patterns()
    options = list(dict.fromkeys([*now, *suggest_patterns(session.groups())]))
    # a refusal draws the field anew, without what was refused
    key = f"plan_freeze_{granularity}_{'|'.join(now)}_{st.session_state.get(_TRIES, 0)}"
    st.multiselect(
        _("Freeze"), options, list(now), key=key, accept_new_options=True, select_all=False,
        filter_mode="contains",
        placeholder=_("Layers to leave dense, such as {pattern}").format(pattern=options[0]),
        on_change=callback(partial(_change, key)),
        help=explain("freeze"),
    )  # fmt: skip
    told = _told(granularity, now)
    if told:
        st.caption(told)


def thaw_for(plan: PruningPlan) -> None:
    """Drop the patterns that freeze what a plan prunes, before it is put on the bench."""
    from workbench.freezing import fitting_patterns, frozen_groups

    groups = session.groups(plan.granularity)
    kept = []
    for pattern in plan_limits.patterns():
        names = frozen_groups(groups, fitting_patterns(groups, [pattern]))
        if not any(plan.sparsities.get(name) for name in names):
            kept.append(pattern)
    if len(kept) < len(plan_limits.patterns()):
        plan_limits.remember_patterns(kept)


def _change(key: str) -> None:
    """Take what the field holds now; what is refused is taken out of it again."""
    typed = [str(pattern).strip() for pattern in st.session_state[key]]
    st.session_state[_TRIES] = int(st.session_state.get(_TRIES, 0)) + 1
    session.refresh()
    freeze([pattern for pattern in typed if pattern])


def freeze(patterns: Sequence[str]) -> None:
    """Freeze by these patterns and no others; columns set free get back what they had.

    Raises:
        PlanError: If a new pattern fits nothing here, or a column that is locked above 0.
    """
    from workbench.freezing import hold_frozen

    plan, before = session.plan(), plan_limits.patterns()
    groups = session.groups()
    new = [pattern for pattern in patterns if pattern not in before]
    locks = {
        name: plan.sparsities.get(name, 0.0) for name in plan_limits.locked(plan.granularity)
    }  # fmt: skip
    hold_frozen(groups, new, locks)
    was = plan_limits.frozen(plan.granularity)
    plan_limits.remember_patterns(dict.fromkeys(patterns))
    now = plan_limits.frozen(plan.granularity)
    if not groups.prunable or len(now) == len(groups.prunable):
        plan_limits.remember_patterns(before)
        raise PlanError(
            _("{patterns} would freeze every column.").format(patterns=", ".join(patterns)),
            _("Leave something to prune."),
        )
    _move(plan, set(now) - set(was), set(was) - set(now))


def _move(plan: PruningPlan, caught: Collection[str], freed: Collection[str]) -> None:
    """Set what was caught to 0 and remember its values; give back those of what was freed."""
    kept = dict(session.setting(_BEFORE) or {})
    of = [session.require_model().digest, plan.granularity]
    had: dict[str, float] = dict(kept["values"]) if kept.get("of") == of else {}
    values = dict(plan.sparsities)
    for name in freed:
        if had.get(name) and not values.get(name):
            values[name] = had[name]
    had = {name: value for name, value in had.items() if name not in freed}
    had |= {name: values[name] for name in caught if values.get(name)}
    session.remember(**{_BEFORE: {"of": of, "values": had}})
    values |= {name: 0.0 for name in caught if name in values}
    if values != dict(plan.sparsities):
        plan_state.replace(plan.with_sparsities(values))


def _told(granularity: str, patterns: Sequence[str]) -> str:
    """How many columns are frozen, and which patterns fit nothing here."""
    from workbench.freezing import fitting_patterns

    if not patterns:
        return ""
    frozen = plan_limits.frozen(granularity)
    structured = parse_granularity(granularity).structured
    counted = (
        ngettext("{n} group frozen at 0", "{n} groups frozen at 0", len(frozen))
        if structured
        else ngettext("{n} layer frozen at 0", "{n} layers frozen at 0", len(frozen))
    )
    told = ":material/ac_unit: " + counted.format(n=len(frozen)) + "."
    fitting = fitting_patterns(session.groups(), patterns)
    idle = [pattern for pattern in patterns if pattern not in fitting]
    if idle:
        told += " " + _("Nothing fits {patterns} at this granularity.").format(
            patterns=plain(", ".join(idle))
        )
    if structured:
        told += " " + _("Frozen layers keep their outputs; inputs may go with those before them.")
    return told
