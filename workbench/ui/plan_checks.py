"""The plan on the bench is measured as soon as the hand lets go, and the board is told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.plan import PruningPlan
from workbench.ui import plan_record, session
from workbench.ui.equaliser import Checked, KnownAccuracy
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.plan_record import RecordedPlan
from workbench.ui.quick_checks import Wish, quick_checks
from workbench.ui.repair_choice import quick_repair, usual_repair

if TYPE_CHECKING:
    from workbench.quick_check import Check
    from workbench.ui.equaliser import Board


def follow(plan: PruningPlan, board: Board) -> Checked | None:
    """Have the plan on the bench measured where it was not, and tell what is known.

    What was found since the last look is remembered in the workspace. A plan that was measured
    before, in a run or in the arena as well, is not measured again. An empty plan only makes the
    model ready for the first check.

    Args:
        plan: On the bench.
        board: Its board; tells what was predicted.

    Returns:
        None where there are no images to measure with.
    """
    if session.workspace().data_ref is None:
        return None
    try:
        wishes = _wishes(plan, board)
    except WorkbenchError:
        return None  # the page tells what does not fit
    if not any(plan.sparsities.values()):
        quick_checks().ask(session.workspace_id(), wishes[:1])
        return _checked(plan, wishes, {}, "", board)
    known: dict[str, RecordedPlan] = {}
    problem = ""
    for wish in wishes:
        one = _recorded(wish)
        if one is None:
            found = quick_checks().found(wish)
            if isinstance(found, WorkbenchError):
                problem = found.message
            elif found is not None:
                one = _record(wish, found, board)
        if one is not None:
            known[wish.repair] = one
    missing = [wish for wish in wishes if wish.repair not in known]
    quick_checks().ask(session.workspace_id(), missing or [_ready(wishes[0])])
    return _checked(plan, wishes, known, problem, board)


def offer_retry(plan: PruningPlan, board: Board, checked: Checked | None) -> None:
    """A button that has a plan measured again that could not be."""
    if checked is None or not checked.problem:
        return

    def retry() -> None:
        quick_checks().retry(_wishes(plan, board))

    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            _("This plan was not measured: {problem}").format(problem=plain(checked.problem))
        )
        st.button(_("Try again"), icon=":material/refresh:", on_click=callback(retry))


def _wishes(plan: PruningPlan, board: Board) -> list[Wish]:
    """The plan after the repair of the prediction if that is quick, and after the final one."""
    model, data = session.require_model(), session.require_data()
    near = board.forecast.repair if board.forecast else ""
    if near not in ("none", "bn"):
        near = quick_repair()
    final = usual_repair(session.setting("repair"))
    own = PruningPlan(
        {name: value for name, value in plan.sparsities.items() if value}, plan.granularity,
        plan.criterion, seed=plan.seed, model=model.digest,
        channel_multiple=plan.channel_multiple,
    )  # fmt: skip
    groups, device = session.groups(plan.granularity), session.device()
    place = f"{session.measurement_key()}-{device}"
    return [
        Wish(place, own, repair, model, data, groups, device)
        for repair in dict.fromkeys((near, final))
    ]


def _ready(wish: Wish) -> Wish:
    """The same for the dense model, which makes everything ready."""
    return Wish(
        wish.place, wish.plan.with_sparsities({}), wish.repair, wish.model, wish.data, wish.groups,
        wish.device,
    )  # fmt: skip


def _recorded(wish: Wish) -> RecordedPlan | None:
    """What the workspace knows of a plan."""
    plan = wish.plan
    return next(
        (one for one in plan_record.on_bench() if one.repair == wish.repair and _same(one, plan)),
        None,
    )


def _same(one: RecordedPlan, plan: PruningPlan) -> bool:
    other = one.plan
    return _kind(other) == _kind(plan) and {k: v for k, v in other.sparsities.items() if v} == dict(
        plan.sparsities
    )


def _kind(plan: PruningPlan) -> tuple[object, ...]:
    return plan.granularity, plan.channel_multiple, plan.criterion, plan.seed


def _record(wish: Wish, found: Check, board: Board) -> RecordedPlan:
    """Remember a check in the workspace; a loss that is not finite is only shown."""
    one = RecordedPlan(
        wish.plan, wish.data.digest, wish.repair, found.loss, found.accuracy, found.samples,
        "check", predicted=_predicted(wish, board), baseline=found.baseline,
        seconds=plan_record.now(), interval=(found.ci_low, found.ci_high),
    )  # fmt: skip
    if math.isfinite(found.loss):
        plan_record.add(one)
    return one


def _predicted(wish: Wish, board: Board) -> dict[str, object] | None:
    """What the board predicted of a plan after that repair."""
    for forecast in (board.forecast, board.final_forecast):
        if forecast is not None and forecast.repair == wish.repair:
            cut = board.settled(wish.plan.sparsities)
            return forecast.predictor.predict(cut).to_dict()
    return None


def _checked(
    plan: PruningPlan, wishes: list[Wish], known: dict[str, RecordedPlan], problem: str,
    board: Board,
) -> Checked:  # fmt: skip
    """What the board shows: as soon as it is there, what the prediction can be held against."""
    near, final = wishes[0].repair, wishes[-1].repair
    missing = [wish.repair for wish in wishes if wish.repair not in known]
    if board.forecast and board.forecast.repair == final and final in known:
        near, missing = final, []
    shown, last = known.get(near), known.get(final)
    awaits = "" if problem or not any(plan.sparsities.values()) else next(iter(missing), "")
    if shown is None:
        others = [one for one in plan_record.on_bench() if one.origin == "check"]
        shown = next((one for one in reversed(others) if one.repair != "full"), None)
        alike = (one for one in others if shown and _same(one, shown.plan))
        last = next((one for one in alike if one.repair == final), None)
    return Checked(
        known=_accuracy(shown) if shown else None,
        other=shown is not None and _kind(shown.plan) != _kind(plan),
        final=_accuracy(last) if last and final != near else None,
        awaits=awaits, asked=plan.sparsities, problem=problem,
    )  # fmt: skip


def _accuracy(one: RecordedPlan) -> KnownAccuracy:
    from workbench.metrics import wilson_interval

    low, high = one.interval or wilson_interval(round(one.accuracy * one.samples), one.samples)
    dense = one.baseline[1] if one.baseline else None
    return KnownAccuracy(
        one.accuracy, low, high, one.samples, one.repair, one.plan.sparsities, dense, one.predicted
    )  # fmt: skip
