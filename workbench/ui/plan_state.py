"""The plan on the bench as the plan page edits it: its board, its locks, the ways to change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from workbench.errors import PlanError
from workbench.plan import PruningPlan
from workbench.ui import bench, curve_shelf, plan_limits, plan_record, running_curves, session
from workbench.ui.criterion_choice import usual_criterion
from workbench.ui.equaliser import (
    Board,
    board_of,
    parse_return,
    pending_board,
    pending_edit,
    protected_locks,
    sent,
)
from workbench.ui.errors import callback
from workbench.ui.i18n import _
from workbench.ui.repair_choice import usual_repair

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.groups import Groups
    from workbench.store import ModelRef

EDITOR = "equaliser"
UNLOCKED = "classifier_unlocked"
_LAST_PLANS = "plans_by_granularity"
_MOST_PLANS = 12
_SHOWN = "plan_shown"
_FORMER = "plan_former"


# Boards


def protected(granularity: str | None = None) -> dict[str, str]:
    """Groups that stay dense and why: the classifier, unless it was unlocked."""
    return {} if session.setting(UNLOCKED, False) else protected_locks(session.groups(granularity))


def locks(granularity: str | None = None) -> dict[str, str]:
    """Groups that do not move and why: what a person locked, and what is protected."""
    name = granularity or session.plan().granularity
    return plan_limits.lock_reasons(name) | protected(granularity)


def fitting_curves(plan: PruningPlan) -> SensitivityCurves | None:
    """The sensitivity curves of the plan's granularity, of its criterion where there are such.

    The curves that the sensitivity page shows come first among equals. Those of a measurement
    that is running come before, as soon as they tell more.
    """
    current = curve_shelf.current()
    found = [*([current] if current else []), *curve_shelf.shelf().values()]
    own = [one for one in found if one.settings.granularity == plan.granularity]
    same = [one for one in own if one.settings.criterion == plan.criterion]
    finished = next(iter([*same, *own]), None)
    return running_curves.grown(plan, finished) or finished


def board_for(
    granularity: str,
    multiple: int,
    curves: SensitivityCurves | None = None,
    criterion: str = "",
) -> Board:
    """The board of a granularity and rounding for the model on the bench.

    Args:
        granularity: Of a plan.
        multiple: What kept channels are rounded to.
        curves: What is shown behind the columns; what the hand may do does not depend on them.
        criterion: Of the plan, for what is predicted of it.
    """
    stamp: tuple[object, ...] = ()
    if curves:
        final = usual_repair(session.setting("repair"))
        stamp = (
            curves.settings, len(curves.points), curves.complete, criterion, final,
            session.workspace_id(), plan_record.stamp(),
        )  # fmt: skip
    held = tuple(locks(granularity).items())
    ref = session.model_ref()
    return _cached_board(ref, granularity, multiple, held, repr(stamp), curves, criterion)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=bench.BY_REFERENCE)
def _cached_board(
    ref: ModelRef,
    granularity: str,
    multiple: int,
    held: tuple[tuple[str, str], ...],
    stamp: str,  # noqa: ARG001  part of the key
    _curves: SensitivityCurves | None,
    _criterion: str,
) -> Board:
    """The board changes with the model, the granularity, the locks and what was measured alone.

    Args:
        ref: The model on the bench.
        granularity: Of the plan.
        multiple: What kept channels are rounded to.
        held: Groups that do not move and why.
        stamp: Names the curves and what else was measured, and tells how far the curves are.
        _curves: The curves themselves.
        _criterion: Of the plan.
    """
    groups, grounds = bench.groups(ref, granularity), None
    if _curves:
        repairs = (_curves.settings.repair, usual_repair(session.setting("repair")))
        grounds = plan_record.grounds(granularity, _criterion, repairs)
    return board_of(
        groups, _curves, num_classes=bench.model(ref).num_classes,
        locked=dict(held), channel_multiple=multiple, grounds=grounds,
    )  # fmt: skip


# Changing the plan


def replace(plan: PruningPlan) -> None:
    """Put another plan on the bench; the columns follow."""
    plan = plan_limits.with_frozen(plan)
    former = session.plan()
    if _essence(former) != _essence(plan):
        st.session_state[_FORMER] = (session.model_ref(), former)
    note_shown(former, plan)
    session.replace_plan(plan)
    note_shown(plan)


def former() -> tuple[Board, PruningPlan] | None:
    """The plan that the last replacement took off the bench, with its board; None without."""
    model, plan = st.session_state.get(_FORMER, (None, None))
    if plan is None or model != session.model_ref():
        return None
    return board_for(plan.granularity, plan.channel_multiple), plan


def change_granularity(name: str) -> None:
    """Start, or go on with, the plan of another granularity; the present one is remembered.

    Raises:
        PlanError: If there is no such granularity, or nothing in the model can be cut so.
    """
    plan = session.plan()
    if name == plan.granularity:
        return
    groups = session.groups(name)
    if not groups.prunable:
        raise PlanError(
            _("{title} do not fit this model. {reason}").format(
                title=groups.granularity.title, reason=why_unsuitable(groups)
            ),
            _("Choose another granularity, such as single weights."),
        )
    keep_last()
    replace(last_plan(name) or _empty(plan, name))


def _empty(plan: PruningPlan, granularity: str) -> PruningPlan:
    """A plan that prunes nothing, ranked as another one where that can be."""
    criterion = usual_criterion(granularity, plan.criterion)
    return PruningPlan({}, granularity, criterion, seed=plan.seed)


def why_unsuitable(groups: Groups) -> str:
    """The reason that most layers give where none can be cut."""
    reasons = [
        group.reason for group in groups.groups if group.layer is None or group.layer.prunable
    ]
    return max(reasons, key=reasons.count, default=_("It has no layers with weights."))


def change_multiple(multiple: int) -> None:
    """Round kept channels to another multiple; the values asked for stay."""
    values = session.plan().to_dict() | {"channel_multiple": multiple}
    replace(PruningPlan.from_dict(values))


def last_plan(granularity: str) -> PruningPlan | None:
    """The plan that stood on the bench when that granularity was left, for the same model."""
    kept = session.setting(_LAST_PLANS, {}).get(granularity)
    plan = PruningPlan.from_dict(kept) if kept else None
    return plan if plan and plan.model == session.require_model().digest else None


def keep_last() -> None:
    """Remember the plan on the bench as the last of its granularity."""
    plan = session.plan()
    others = {k: v for k, v in session.setting(_LAST_PLANS, {}).items() if k != plan.granularity}
    newest = dict([*others.items()][1 - _MOST_PLANS :])
    session.remember(**{_LAST_PLANS: newest | {plan.granularity: plan.to_dict()}})


# What the browser sends


def take_edit() -> None:
    """Keep what the hand did in the equaliser.

    Called before the script runs again, on whatever page, and at the top of the editor.
    """
    if not is_own_model():
        return
    plan, revision = session.plan(), session.plan_revision()
    asked = pending_board(EDITOR, revision)
    if asked is None:
        return
    if asked != (plan.granularity, plan.channel_multiple):
        _go_back(*asked)
        return
    edit = pending_edit(board_for(*asked), plan.sparsities, key=EDITOR, revision=revision)
    if edit is not None:
        changed = plan.with_sparsities(edit.sparsities)
        note_shown(plan, changed)
        session.set_plan(changed)
        note_shown(changed)


def _go_back(granularity: str, multiple: int) -> None:
    """Undo, or redo, led to a plan of another granularity or rounding."""
    plan = session.plan()
    if granularity == plan.granularity:
        former = plan
    else:
        former = last_plan(granularity) or _empty(plan, granularity)
    other = board_for(granularity, multiple)
    edit = parse_return(sent(EDITOR), other, former.sparsities)
    if edit is None:
        return
    if granularity != plan.granularity:
        keep_last()
    values = former.with_sparsities(edit.sparsities).to_dict()
    if session.groups(granularity).granularity.structured:
        values["channel_multiple"] = multiple
    replace(PruningPlan.from_dict(values))


@callback
def on_edit() -> None:
    """Keep the hand's edit before the script runs again, also where that draws another page."""
    follow_other_tabs()
    take_edit()


# Other tabs


def is_own_model() -> bool:
    """Whether the columns that this browser session shows are those of the model on the bench."""
    model, _own = st.session_state.get(_SHOWN, (None, ()))
    return bool(model == session.model_ref())


def follow_other_tabs() -> bool:
    """Another tab may have changed the plan or the model: what the store holds is shown.

    A change that the hand makes on top of an outdated plan would undo what the other tab did, so
    it is dropped, and the columns follow the store.

    Returns:
        Whether there is another model.
    """
    before = session.model_ref()
    session.refresh()
    if session.model_ref() != before:
        return True
    model, own = st.session_state.get(_SHOWN, (None, ()))
    if model == before and _essence(session.plan()) not in own:
        replace(session.plan())
    return False


def note_shown(*plans: PruningPlan) -> None:
    """Remember what this browser session made of the plan, to notice what another one makes of it.

    The next click may end a run of the script anywhere, so before a plan is kept the one that it
    follows counts as well.
    """
    st.session_state[_SHOWN] = (session.model_ref(), [_essence(plan) for plan in plans])


def _essence(plan: PruningPlan) -> tuple[str, int, dict[str, float]]:
    return plan.granularity, plan.channel_multiple, dict(plan.sparsities)
