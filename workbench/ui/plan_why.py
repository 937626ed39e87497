"""Why each group of the plan has its value, and what the hand's moves cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.granularity import parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import latency_shelf, plan_limits, plan_moves, plan_state, plan_target, session
from workbench.ui.charts.prices import prices_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import guard, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.plan_moves import Move
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.allocation.reasons import Reason
    from workbench.curves import SensitivityCurves
    from workbench.ui.equaliser import Board

Reasons = Mapping[str, "Reason"]
_MOST_NAMED = 3


def show_why(board: Board, plan: PruningPlan, curves: SensitivityCurves | None) -> None:
    """The reasons in two sentences, and all of them where a person opens the box.

    Args:
        board: What the columns show.
        plan: On the bench.
        curves: What the prediction comes from; without any there are no reasons to tell.
    """
    if curves is None or curves.baseline is None or not any(plan.sparsities.values()):
        return
    with guard():
        unit = _unit(plan)
        reasons = _reasons(plan, curves, unit)
        takeaway = _takeaway(reasons, unit)
        for sentence in _moves(board, plan, reasons, unit):
            st.markdown(f":material/pan_tool: {sentence}")
        st.caption(f":material/balance: {plain(takeaway)}")
        opened = st.expander(
            _("Why each group got its value"), icon=":material/help:", key="plan_why",
            on_change="rerun",
        )  # fmt: skip
        if opened.open:
            with opened:
                _show_all(reasons, unit, takeaway, plan)


def _unit(plan: PruningPlan) -> str:
    """What steps are weighed by: what was asked for, if that is a budget."""
    kind = parse_granularity(plan.granularity)
    unit = plan_target.unit(kind)
    if unit == "latency" and latency_shelf.table() is None:
        return "macs"
    if unit == plan_target.SPARSITY:
        return "macs" if kind.structured else "params"
    return unit


def _reasons(plan: PruningPlan, curves: SensitivityCurves, unit: str) -> Reasons:
    """What every group pays: for each percent saved, or for each millisecond."""
    from workbench.allocation.prices import by_millisecond
    from workbench.allocation.reasons import explain_plan

    latencies = latency_shelf.table() if unit == "latency" else None
    reasons = explain_plan(
        session.groups(), plan, curves, unit, bounds=plan_limits.bounds(plan.granularity),
        locked=plan_state.locks(), latencies=latencies,
        num_classes=session.require_model().num_classes,
    )  # fmt: skip
    return reasons if latencies is None else by_millisecond(reasons, latencies)


def _of_all(unit: str) -> str:
    """What is saved, in the middle of a sentence."""
    return {
        "params": _("the parameters"),
        "macs": _("the MACs"),
        "bytes": _("the stored bytes"),
        "latency": _("the time"),
    }[unit]


def _saved_unit(unit: str) -> str:
    """What a price is for, in the middle of a sentence."""
    if unit == "latency":
        return _("millisecond")
    return _("percent of {whole}").format(whole=_of_all(unit))


# What the hand did


def _moves(board: Board, plan: PruningPlan, reasons: Reasons, unit: str) -> list[str]:
    """A sentence for every group that was moved since an allocation made the plan."""
    base = plan_moves.base_of(plan)
    if base is None or board.predictor is None:
        return []
    names = [name for name in plan_moves.moved(board, base, plan) if name in reasons]
    if not names:
        return []
    weighed = "macs" if unit == "latency" else unit
    scale = plan_moves.Scale(board, session.groups(), plan, weighed)
    told = [
        _move_in_words(scale.weigh(base, name, _others(reasons, name, base, plan)), weighed)
        for name in names[: plan_moves.MOST_TOLD]
    ]
    more = len(names) - len(told)
    if more:
        told.append(
            ngettext("{n} more column was moved.", "{n} more columns were moved.", more).format(
                n=more
            )
        )
    return told


def _others(reasons: Reasons, group: str, base: PruningPlan, plan: PruningPlan) -> list[str]:
    """Other groups in which as much might be saved for less, or spared for more, best first."""
    further = plan.sparsities.get(group, 0.0) > base.sparsities.get(group, 0.0)
    prices = {
        name: reason.price_next if further else reason.price_last
        for name, reason in reasons.items()
        if name != group and reason.kind != "locked"
    }
    known = [name for name, price in prices.items() if price is not None]
    return sorted(known, key=lambda name: (prices[name] or 0.0) * (1 if further else -1))


def _move_in_words(move: Move, unit: str) -> str:
    """What it was, what it costs or brings, and where the same could be had for less."""
    if move.now > move.before:
        told = _(
            "You cut **{group}** further, from {before} to {now}: it costs {points} for "
            "{part} of {whole}."
        )
        better = _("The same saving costs {points} in **{other}**.")
        none = _("Nowhere else does the same saving cost clearly less.")
        signs = 1
    else:
        told = _(
            "You spared **{group}**, from {before} to {now}: it brings {points} for {part} "
            "more of {whole}."
        )
        better = _("The same spent on **{other}** brings {points}.")
        none = _("Nowhere else does as much bring clearly more.")
        signs = -1
    first = told.format(
        group=plain(move.group), before=_whole(move.before), now=_whole(move.now),
        points=_points(signs * move.lost), part=percent(abs(move.saved)), whole=_of_all(unit),
    )  # fmt: skip
    if not move.elsewhere:
        return f"{first} {none}"
    other = better.format(
        other=plain(move.elsewhere), points=_points(signs * move.lost_elsewhere)
    )  # fmt: skip
    return f"{first} {other}"


def _whole(sparsity: float) -> str:
    """Whole percent; halves go up, as on the columns."""
    return percent(sparsity + 1e-9, 0)


def _points(accuracy: float) -> str:
    """Points of accuracy that a move costs or brings.

    The additive model may promise less than nothing, which nobody should count on.
    """
    shown = f"{max(0.0, 100 * accuracy):.1f}"
    if shown == "0.0":
        return _("next to nothing")
    return ngettext("about {n} point", "about {n} points", 1 if shown == "1.0" else 2).format(
        n=shown
    )


# What the plan says


def _takeaway(reasons: Reasons, unit: str) -> str:
    """What most groups pay, and those that stand out."""
    common = next((reason.price_common for reason in reasons.values()), None)
    if common is None:
        return _("No price is known: no step that was measured costs anything.")
    told = [
        _("Common price: {price} more loss for each {saved} saved.").format(
            price=_number(common), saved=_saved_unit(unit)
        )
    ]
    sentences = {
        "fragile": _("Cut no further, for their next step costs far more: {groups}."),
        "overdrawn": _("Cut deeper than pays, for their last step cost far more: {groups}."),
        "cheap": _("Could go further, for their next step costs far less: {groups}."),
    }
    for kind, sentence in sentences.items():
        names = [name for name, reason in reasons.items() if reason.kind == kind]
        names.sort(key=lambda name: _standing(reasons[name]), reverse=kind != "cheap")
        if names:
            told.append(sentence.format(groups=_named(names)))
    if len(told) == 1:
        told.append(_("No group could save as much for far less than another."))
    return " ".join(told)


def _standing(reason: Reason) -> float:
    """How far a group stands out, by the price that makes it."""
    price = reason.price_last if reason.kind == "overdrawn" else reason.price_next
    return price or 0.0


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    if more <= 0:
        return shown
    return ngettext("{names} and {n} other", "{names} and {n} others", more).format(
        names=shown, n=more
    )


def _show_all(reasons: Reasons, unit: str, takeaway: str, plan: PruningPlan) -> None:
    """The chart of the prices, and a row for every group."""
    found = list(reasons.values())
    show_chart(
        prices_figure(
            list(reasons), [one.price_last for one in found], [one.price_next for one in found],
            found[0].price_common,
            y_title=_("Loss for each {saved}").format(saved=_saved_unit(unit)),
        ),
        key="prices",
        alt=_("Marks of what the last and the next step of every group cost. ") + takeaway,
    )  # fmt: skip
    kind, structured = st.column_config, parse_granularity(plan.granularity).structured
    st.dataframe(
        _table(reasons), hide_index=True, placeholder="–",
        height=min(36 * (len(found) + 1) + 3, 480),
        column_config={
            "group": kind.TextColumn(_("Group") if structured else _("Layer"), pinned=True),
            "pruned": kind.NumberColumn(_("Pruned, %"), format="%.1f"),
            "damage": kind.NumberColumn(
                _("Loss alone"), format="%.3f",
                help=_("Predicted loss increase if nothing else were cut."),
            ),
            "saved": kind.NumberColumn(
                _("Saves, %"), format="%.1f",
                help=_("Of {whole}, with all others as they are.").format(whole=_of_all(unit)),
            ),
            "last": kind.NumberColumn(
                _("Last step"), format="%.2g",
                help=_("Loss that its last step added for each {saved} saved.").format(
                    saved=_saved_unit(unit)
                ),
            ),
            "next": kind.NumberColumn(
                _("Next step"), format="%.2g",
                help=_("Loss that its next step would add for each {saved} saved.").format(
                    saved=_saved_unit(unit)
                ),
            ),
            "why": kind.TextColumn(_("Why"), width="large"),
        },
    )  # fmt: skip


def _table(reasons: Reasons) -> pd.DataFrame:
    return pd.DataFrame({
        "group": list(reasons),
        "pruned": [100 * one.sparsity for one in reasons.values()],
        "damage": [one.damage for one in reasons.values()],
        "saved": [100 * one.saved for one in reasons.values()],
        "last": [_shown(one.price_last, one) for one in reasons.values()],
        "next": [_shown(one.price_next, one) for one in reasons.values()],
        "why": [why(one) for one in reasons.values()],
    })  # fmt: skip


def _shown(price: float | None, reason: Reason) -> float | None:
    """A price for the table: next to nothing beside the common one is 0."""
    nothing = (reason.price_common or 0.0) / 10_000
    return 0.0 if price is not None and price < nothing else price


def why(reason: Reason) -> str:
    """One short sentence."""
    sentences = {
        "locked": _("It is locked at this value."),
        "unmeasured": _("What cutting it costs was not measured."),
        "at_most": _("It is cut as far as it may be."),
        "at_least": _("It would be cut less, but may not be."),
        "cheap": _("Its next step costs only {next}× the common price: more could go here."),
        "fragile": _("Its next step costs {next}× the common price."),
        "fair": _("It pays about what the others pay."),
        "overdrawn": _("Its last step cost {last}× the common price: elsewhere it is cheaper."),
    }
    return sentences[str(reason.kind)].format(
        next=_times(reason.price_next, reason), last=_times(reason.price_last, reason)
    )


def _times(price: float | None, reason: Reason) -> str:
    """A price as a multiple of the common one."""
    if price is None or not reason.price_common:
        return "?"
    times = price / reason.price_common
    return "<0.01" if times < 0.01 else f"{times:.2g}" if times < 100 else ">100"


def _number(value: float) -> str:
    return f"{value:.2g}"
