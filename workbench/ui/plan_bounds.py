"""A table of the bounds and locks of every group; every allocation obeys them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from workbench.granularity import parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import plan_limits, plan_state, session
from workbench.ui.i18n import _, ngettext
from workbench.ui.words import explain

Limits = dict[str, tuple[float, float]]


def show_bounds(plan: PruningPlan) -> None:
    """An expander with the table; it is drawn only where a person opens it."""
    opened = st.expander(
        _title(plan.granularity), icon=":material/lock_open_right:", key="plan_bounds",
        on_change="rerun",
    )  # fmt: skip
    if not opened.open:
        return
    with opened:
        st.caption(
            _(
                "Every allocation stays between the bounds, and a locked column keeps the value it "
                "has, under your hand too. By hand you may leave the bounds."
            )
        )
        frame = table(plan)
        edited = st.data_editor(
            frame, hide_index=True, disabled=["group", "stage", "now"],
            height=min(36 * (len(frame) + 1) + 3, 480), column_config=_columns(plan),
            key=f"limits_{_stamp(frame)}",
        )  # fmt: skip
        within, held = changed_limits(frame, edited)
        if (within, held) != changed_limits(frame, frame):
            plan_limits.remember(plan.granularity, within, held)
            st.rerun()


def _title(granularity: str) -> str:
    within, held = plan_limits.bounds(granularity), plan_limits.locked(granularity)
    if not within and not held:
        return _("Bounds and locks")
    bounded = ngettext("{n} bounded", "{n} bounded", len(within)).format(n=len(within))
    locked = ngettext("{n} locked", "{n} locked", len(held)).format(n=len(held))
    return _("Bounds and locks: {bounded}, {locked}").format(bounded=bounded, locked=locked)


def table(plan: PruningPlan) -> pd.DataFrame:
    """One row a group that may move: stage, value, bounds in percent, and whether it is locked."""
    from workbench.stages import stage_of_groups

    stages = stage_of_groups(session.groups())
    within, held = plan_limits.bounds(plan.granularity), plan_limits.locked(plan.granularity)
    fixed = {*plan_state.protected(), *plan_limits.frozen(plan.granularity)}
    names = [group.name for group in session.groups().prunable if group.name not in fixed]
    ends = [within.get(name, plan_limits.FREE) for name in names]
    return pd.DataFrame({
        "group": names,
        "stage": [stages[name].title for name in names],
        "now": [100 * plan.sparsities.get(name, 0.0) for name in names],
        "least": [100 * low for low, _high in ends],
        "most": [100 * high for _low, high in ends],
        "locked": [name in held for name in names],
    })  # fmt: skip


def changed_limits(before: pd.DataFrame, after: pd.DataFrame) -> tuple[Limits, list[str]]:
    """Bounds and locked groups as a table says them.

    Of two ends that cross, the one that was typed moves the other along; an end that was deleted
    is free again.
    """
    within: Limits = {}
    for old, new in zip(before.to_dict("records"), after.to_dict("records"), strict=True):
        low = 0.0 if pd.isna(new["least"]) else float(new["least"]) / 100
        high = 1.0 if pd.isna(new["most"]) else float(new["most"]) / 100
        if low > high:
            low, high = (high, high) if new["most"] != old["most"] else (low, low)
        if (low, high) != plan_limits.FREE:
            within[str(new["group"])] = (low, high)
    return within, [str(name) for name in after["group"][after["locked"].astype(bool)]]


def _stamp(frame: pd.DataFrame) -> str:
    """Names what the table shows, so that a saved edit is not made twice."""
    return str(hash(tuple(frame.itertuples(index=False))))


def _columns(plan: PruningPlan) -> dict[str, Any]:
    kind = st.column_config
    structured = parse_granularity(plan.granularity).structured
    return {
        "group": kind.TextColumn(_("Group") if structured else _("Layer"), pinned=True),
        "stage": kind.TextColumn(_("Stage"), help=explain("stage of the network")),
        "now": kind.NumberColumn(_("Now, %"), format="%.1f", help=_("What the plan says.")),
        "least": kind.NumberColumn(
            _("Least, %"), min_value=0.0, max_value=100.0, step=0.1, format="%.1f",
            help=_("At least so much of it is pruned."),
        ),
        "most": kind.NumberColumn(
            _("Most, %"), min_value=0.0, max_value=100.0, step=0.1, format="%.1f",
            help=_("At most so much of it is pruned."),
        ),
        "locked": kind.CheckboxColumn(
            _("Locked"), help=_("It keeps the value it has, whatever acts on the others.")
        ),
    }  # fmt: skip
