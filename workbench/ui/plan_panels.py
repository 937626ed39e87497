"""The parts of the plan page: presets, the editor, what the plan amounts to, and its file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.errors import PlanError
from workbench.plan import PruningPlan
from workbench.ui import bench, curve_shelf, run_shelf, session
from workbench.ui.equaliser import (
    MAX_SPARSITY,
    Board,
    Measured,
    board_of,
    equaliser,
    pending_edit,
    protected_locks,
)
from workbench.ui.errors import callback, fragment, guard, plain
from workbench.ui.i18n import _
from workbench.ui.links import link_to
from workbench.ui.theme import compact, in_bytes
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves
    from workbench.store import ModelRef

_EDITOR = "equaliser"
_UNLOCKED = "classifier_unlocked"
_TARGET = "plan_target"
_SHOWN = "plan_shown"
_MAX_PLAN_BYTES = 1_000_000
_MAX_SEED = 2**53 - 1  # the browser counts no further


def show_presets() -> None:
    """A target for the whole model, spread over the layers by one of the allocations."""
    from workbench.allocation import ALLOCATIONS
    from workbench.criteria import CRITERIA

    plan = session.plan()
    with st.container(border=True):
        columns = st.columns([1.2, 1.6, 1.6, 0.8, 1.1], vertical_alignment="bottom")
        usual = int(session.setting(_TARGET, 80))
        target_key = f"{_TARGET}_{usual}"
        columns[0].number_input(
            _("Target sparsity, %"), 0, 99, usual, 5, key=target_key,
            help=_("The fraction of the weights in the unlocked layers that becomes zero."),
        )  # fmt: skip
        columns[1].selectbox(
            _("Scope"), list(ALLOCATIONS), key="plan_method", persist_state="session",
            format_func=_scope_titles().__getitem__, help=explain("scope"),
        )  # fmt: skip
        criteria = list(CRITERIA)
        criterion = columns[2].selectbox(
            _("Criterion"), criteria, criteria.index(plan.criterion),
            format_func=lambda name: CRITERIA[name].title,
            help=explain("criterion") + " " + CRITERIA[plan.criterion].summary,
            key=f"plan_criterion_{plan.criterion}",
        )  # fmt: skip
        seed = columns[3].number_input(
            _("Seed"), 0, _MAX_SEED, plan.seed, key=f"plan_seed_{plan.seed}",
            help=_("Decides what the random criterion prunes."),
            disabled=criterion != "random",
        )  # fmt: skip
        columns[4].button(
            _("Spread"), type="primary", icon=":material/auto_awesome:", width="stretch",
            on_click=callback(partial(_spread, target_key)),
            help=_("Sets every unlocked layer at once; undo brings the former plan back."),
        )  # fmt: skip
        if (criterion, int(seed)) != (plan.criterion, plan.seed):
            _replace(
                PruningPlan.from_dict(plan.to_dict() | {"criterion": criterion, "seed": int(seed)})
            )
            st.rerun()


def _scope_titles() -> dict[str, str]:
    return {
        "uniform": _("Layerwise (uniform)"),
        "global": _("Global (ranked together)"),
    }


def _spread(target_key: str) -> None:
    """Spread what the widgets say now: they may have changed with the very click."""
    from workbench.allocation import allocate

    target = int(st.session_state[target_key])
    session.remember(**{_TARGET: target})  # reads the workspace anew, too
    plan, locked = session.plan(), _locks()
    _replace(
        allocate(
            session.require_model(), st.session_state["plan_method"], sparsity=target / 100,
            criterion=st.session_state.get(f"plan_criterion_{plan.criterion}", plan.criterion),
            seed=int(st.session_state.get(f"plan_seed_{plan.seed}", plan.seed)),
            protected=tuple(locked), inspection=session.inspection(),
        )
    )  # fmt: skip


def _locks() -> dict[str, str]:
    """Locked layers and why: the classifier, unless it was unlocked."""
    return {} if session.setting(_UNLOCKED, False) else protected_locks(session.inspection())


def show_editor() -> None:
    """The equaliser and what follows from it; a released column redraws nothing else."""
    fragment(_edit)


def _edit() -> None:
    _follow_other_tabs()
    board = _board()
    plan = session.plan()
    edit = pending_edit(board, plan.sparsities, key=_EDITOR, revision=session.plan_revision())
    if edit is not None:
        changed = plan.with_sparsities(edit.sparsities)
        _note_shown(plan, changed)
        session.set_plan(changed)
        plan = session.plan()
    _note_shown(plan)
    equaliser(
        board,
        plan.sparsities,
        key=_EDITOR,
        revision=session.plan_revision(),
        measured=_last_measured(),
    )
    _show_size(plan)
    _lock_switch()
    _native_controls(board, plan)


def _follow_other_tabs() -> None:
    """Another tab may have changed the plan or the model: what the store holds is shown.

    A change that the hand makes on top of an outdated plan would undo what the other tab did, so
    it is dropped, and the columns follow the store.
    """
    before = session.model_ref()
    session.refresh()
    if session.model_ref() != before:
        st.rerun()
    model, own = st.session_state.get(_SHOWN, (None, ()))
    if model == before and dict(session.plan().sparsities) not in own:
        _replace(session.plan())


def _replace(plan: PruningPlan) -> None:
    """Put another plan on the bench; the columns follow."""
    _note_shown(session.plan(), plan)
    session.replace_plan(plan)
    _note_shown(plan)


def _note_shown(*plans: PruningPlan) -> None:
    """Remember what this browser session made of the plan, to notice what another one makes of it.

    The next click may end a run of the script anywhere, so before a plan is kept the one that it
    follows counts as well.
    """
    own = [dict(plan.sparsities) for plan in plans]
    st.session_state[_SHOWN] = (session.model_ref(), own)


def _board() -> Board:
    key, curves = curve_shelf.current_key(), curve_shelf.current()
    stamp = (key, len(curves.points), curves.complete) if curves else ("", 0, False)
    return _cached_board(
        session.model_ref(), bool(session.setting(_UNLOCKED, False)), stamp, curves
    )


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=bench.BY_REFERENCE)
def _cached_board(
    ref: ModelRef,
    unlocked: bool,
    stamp: tuple[str, int, bool],  # noqa: ARG001  part of the key
    _curves: SensitivityCurves | None,
) -> Board:
    """The board changes with the model, the lock and the curves, and with nothing else.

    Args:
        ref: The model on the bench.
        unlocked: Whether the classifier may be pruned.
        stamp: Names the curves and tells how far they are.
        _curves: The curves themselves.
    """
    inspection = bench.inspection(ref)
    return board_of(
        inspection, _curves, num_classes=bench.model(ref).num_classes,
        locked={} if unlocked else protected_locks(inspection),
    )  # fmt: skip


def _last_measured() -> Measured | None:
    """The accuracy of the newest run, for comparison with what is predicted."""
    newest = run_shelf.newest()
    if newest is None:
        return None
    stage = newest.run.final
    return Measured(
        stage.validation.accuracy, stage.validation.ci_low, stage.validation.ci_high,
        stage.validation.samples, newest.run.plan.sparsities,
        _("{name}, {stage}").format(name=newest.name, stage=run_shelf.stage_title(stage.name)),
    )  # fmt: skip


def _show_size(plan: PruningPlan) -> None:
    """What the saved plan amounts to, computed on the server."""
    from workbench.accounting import size_of_plan

    size = size_of_plan(session.groups(plan.granularity), plan)
    if not any(plan.sparsities.values()):
        st.caption(_("The plan is empty: drag a column, or spread a target."))
        return
    st.markdown(
        _(
            ":material/check_circle: Saved: **{kept}** of {total} parameters stay "
            "({ratio}× fewer), {bytes} of {dense_bytes}, {macs} of {dense_macs} MACs."
        ).format(
            kept=compact(size.num_nonzero), total=compact(size.num_params),
            ratio=f"{size.compression_ratio:.2f}", bytes=in_bytes(size.bytes),
            dense_bytes=in_bytes(size.dense_bytes), macs=compact(size.macs),
            dense_macs=compact(size.dense_macs),
        )
    )  # fmt: skip
    link_to("finetune", _("Prune with this plan"), "content_cut")


def _lock_switch() -> None:
    """The classifier is protected unless a person says otherwise."""
    unlocked = bool(session.setting(_UNLOCKED, False))
    widget = f"unlock_{session.workspace_id()}_{unlocked}"
    locked = protected_locks(session.inspection())

    def toggle() -> None:
        now = bool(st.session_state[widget])
        session.remember(**{_UNLOCKED: now})
        plan = session.plan()
        kept = {k: v for k, v in plan.sparsities.items() if now or k not in locked}
        if kept != dict(plan.sparsities):
            _replace(plan.with_sparsities(kept, plan.allocation))

    if locked:
        st.toggle(
            _("Allow pruning the classifier ({layers})").format(layers=plain(", ".join(locked))),
            value=unlocked, key=widget, on_change=callback(toggle),
            help=next(iter(locked.values())),
        )  # fmt: skip


def _native_controls(board: Board, plan: PruningPlan) -> None:
    """The same values as a table: exact numbers, paste from a spreadsheet, no dragging."""
    with st.expander(_("Exact values as a table"), icon=":material/table_rows:"):
        columns = [column for column in board.columns if column.prunable]
        frame = pd.DataFrame(
            {
                "layer": [column.name for column in columns],
                "sparsity": [100 * plan.sparsities.get(column.name, 0.0) for column in columns],
                "weights": [column.num_weights for column in columns],
                "note": [column.reason for column in columns],
            }
        )
        kind = st.column_config
        edited = st.data_editor(
            frame, hide_index=True, key=f"table_{plan.digest}",
            disabled=["layer", "weights", "note"], height=min(36 * (len(frame) + 1) + 3, 480),
            column_config={
                "layer": kind.TextColumn(_("Layer"), pinned=True),
                "sparsity": kind.NumberColumn(
                    _("Sparsity, %"), min_value=0.0, max_value=100 * MAX_SPARSITY, step=0.01,
                    format="%.2f", help=explain("sparsity"), required=True,
                ),
                "weights": kind.NumberColumn(_("Weights"), format="localized"),
                "note": kind.TextColumn(_("Locked because")),
            },
        )  # fmt: skip
        changed = changed_values(frame, edited, board)
        if changed:
            _replace(plan.with_sparsities({**plan.sparsities, **changed}))
            st.rerun()


def changed_values(before: pd.DataFrame, after: pd.DataFrame, board: Board) -> dict[str, float]:
    """Layers whose value was typed anew; locked ones keep theirs."""
    rows = zip(before["layer"], before["sparsity"], after["sparsity"], strict=True)
    return {
        name: min(MAX_SPARSITY, max(0.0, float(new) / 100))
        for name, old, new in rows
        if new is not None and new == new and new != old and name not in board.locked
    }


def show_plan_file() -> None:
    """Take the plan away as a file, or bring one."""
    from workbench.plan_file import format_plan

    with st.expander(_("Plan file"), icon=":material/description:"):
        left, right = st.columns(2, gap="large")
        left.download_button(
            _("Download the plan"), format_plan(session.plan()), file_name="plan.yaml",
            mime="application/yaml", icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        left.caption(_("YAML that a person can edit; the command line takes it as --plan."))
        with right.form("plan_file", border=False, clear_on_submit=True):
            file = st.file_uploader(_("Open a plan"), ["yaml", "yml"], max_upload_size=1)
            sent = st.form_submit_button(_("Use this plan"), icon=":material/upload_file:")
        if sent and file is None:
            st.info(_("Choose a file first."), icon=":material/info:")
        elif sent and file is not None:
            with guard():
                _open_plan(file.getvalue())
                st.rerun()


def _open_plan(content: bytes) -> None:
    """Read an uploaded plan and put it on the bench if it fits the model.

    Raises:
        PlanError: If it is malformed or does not fit; the former plan stays.
    """
    from workbench.accounting import size_of_plan
    from workbench.criteria import get_criterion
    from workbench.plan_file import parse_plan

    plan = parse_plan(content[: _MAX_PLAN_BYTES + 1].decode("utf-8", errors="replace"))
    get_criterion(plan.criterion)
    groups = session.groups(plan.granularity)
    size_of_plan(groups, plan)  # refuses groups that the model does not have
    if plan.seed > _MAX_SEED:
        raise PlanError(
            _("The plan's seed is {seed}.").format(seed=plan.seed),
            _("Choose a whole number from 0 to {most}.").format(most=f"{_MAX_SEED:,}"),
        )
    put_plan(plan)


def put_plan(plan: PruningPlan) -> None:
    """Put a plan that fits the model on the bench; one that prunes the classifier unlocks it."""
    protected = protected_locks(session.inspection())
    if any(plan.sparsities.get(name) for name in protected):
        session.remember(**{_UNLOCKED: True})
    _replace(plan)
