"""What the chosen run keeps of every layer or group, beside another run of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from workbench.ui import session
from workbench.ui.charts import Widths, show_chart, widths_figure
from workbench.ui.charts.groups import units
from workbench.ui.i18n import _
from workbench.ui.run_shelf import ShelvedRun
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.groups import Groups
    from workbench.plan import PruningPlan

_ALONE = 0
_ALIKE = 0.02


def show_widths(current: ShelvedRun, found: Sequence[ShelvedRun]) -> None:
    """Kept channels of every group, or kept weights of every layer; another run beside them."""
    other = _choose_other(current, found)
    groups = session.groups(current.run.plan.granularity)
    total = [units_of(groups, group.name) for group in groups.prunable]
    if not total:
        return
    run = _widths(current, groups)
    beside = _widths(other, session.groups(other.run.plan.granularity)) if other else None
    if beside is not None and len(beside.kept) != len(total):
        beside = None  # a layer without blocks, say, is no group there
    kinds = {group.unit for group in groups.prunable}
    as_share = not current.structured or len(kinds) > 1
    unit = groups.prunable[0].unit
    takeaway = _takeaway(groups, total, run)
    show_chart(
        widths_figure(
            [group.name for group in groups.prunable], total, run, beside, as_share=as_share,
            y_title=_("Kept share") if as_share else _("Kept {units}").format(units=units(unit, 2)),
        ),
        key=f"widths_{current.structured}", takeaway=takeaway,
        alt=_("Bars of what is left of every group. ") + takeaway,
    )  # fmt: skip


def _choose_other(current: ShelvedRun, found: Sequence[ShelvedRun]) -> ShelvedRun | None:
    """Another run of the same kind, the newest until one is chosen; None where there is none."""
    others = {
        one.number: one
        for one in reversed(found)
        if one.number != current.number and one.structured == current.structured
    }
    if not others:
        return None
    names = {_ALONE: _("Nothing")} | {number: one.name for number, one in others.items()}
    number = st.selectbox(
        _("Compare with"), list(names), 1, format_func=names.__getitem__,
        key=f"widths_{current.number}_{list(others)}",
        help=_("Another run whose channels are gone.")
        if current.structured
        else _("Another run whose weights are set to zero."),
    )  # fmt: skip
    return others.get(number)


def units_of(groups: Groups, name: str) -> int:
    """What a plan counts in a group: channels, or else weights."""
    group = groups.group(name)
    return (
        group.num_units
        if groups.granularity.structured or not group.layer
        else (group.layer.num_weights)
    )


def kept_units(groups: Groups, plan: PruningPlan) -> tuple[int, ...]:
    """What a plan leaves of every group that can be cut, in their order."""
    return tuple(
        units_of(groups, group.name)
        - groups.num_pruned(
            group.name, plan.sparsities.get(group.name, 0.0), plan.channel_multiple
        )
        for group in groups.prunable
    )  # fmt: skip


def _widths(one: ShelvedRun, groups: Groups) -> Widths:
    return Widths(one.name, kept_units(groups, one.run.plan))


def _takeaway(groups: Groups, total: Sequence[int], run: Widths) -> str:
    """The group that lost the largest part, or that all lost the same."""
    shares = [kept / max(1, of) for kept, of in zip(run.kept, total, strict=True)]
    if max(shares) - min(shares) < _ALIKE:
        return _("{run} keeps {share} of every group.").format(
            run=run.label, share=percent(sum(run.kept) / max(1, sum(total)))
        )
    thinnest = min(range(len(total)), key=shares.__getitem__)
    group = groups.prunable[thinnest]
    unit = group.unit if groups.granularity.structured else "weight"
    return _(
        "{run} keeps the smallest part of {group}: {kept} of {total} {units} ({share})."
    ).format(
        run=run.label, group=group.name, kept=f"{run.kept[thinnest]:,}",
        total=f"{total[thinnest]:,}", units=units(unit, total[thinnest]),
        share=percent(shares[thinnest]),
    )  # fmt: skip
