"""The parts of the plan page: the editor, what the plan amounts to, its table, file and link."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.errors import PlanError
from workbench.plan import PruningPlan
from workbench.ui import (
    bench,
    curves_note,
    links,
    plan_bounds,
    plan_checks,
    plan_choices,
    plan_freeze,
    plan_state,
    plan_why,
    prediction_panels,
    run_shelf,
    running_curves,
    session,
)
from workbench.ui.equaliser import Board, Measured, equaliser, protected_locks
from workbench.ui.errors import callback, fragment, guard, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.plan_spread import MAX_SEED
from workbench.ui.theme import compact, in_bytes
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.accounting import PlanSize
    from workbench.store import ModelRef

_MAX_PLAN_BYTES = 1_000_000
_GROW_S = 1.0


def show_editor() -> None:
    """The equaliser and what follows from it; a released column redraws nothing else.

    While sensitivity is measured for the plan it is drawn anew every second: colours and
    prediction grow in, and the hand goes on undisturbed.
    """
    measuring = running_curves.job_for_plan(session.plan()) is not None
    fragment(partial(_edit, measuring), run_every=_GROW_S if measuring else None)


def _edit(measuring: bool) -> None:
    if plan_state.follow_other_tabs():
        st.rerun()
    plan_state.take_edit()
    plan = session.plan()
    if not plan_choices.are_of(plan):
        st.rerun()  # undo led to a plan of another granularity
    if measuring != (running_curves.job_for_plan(plan) is not None):
        st.rerun()  # it has begun or ended
    curves = plan_state.fitting_curves(plan)
    kind = (plan.granularity, plan.channel_multiple, curves, plan.criterion)
    checked = plan_checks.follow(plan, plan_state.board_for(*kind))
    board = plan_state.board_for(*kind)  # a check corrects what is predicted
    plan_state.note_shown(plan)
    equaliser(
        board,
        plan.sparsities,
        key=plan_state.EDITOR,
        revision=session.plan_revision(),
        model=session.require_model().digest,
        measured=_last_measured(plan),
        checked=checked,
        former=plan_state.former(),
        on_edit=plan_state.on_edit,
    )
    plan_checks.offer_retry(plan, board, checked)
    curves_note.show_curves_note(plan, curves)
    _show_size(plan)
    plan_why.show_why(board, plan, curves)
    _lock_switch()
    _native_controls(board, plan)
    plan_bounds.show_bounds(plan)
    prediction_panels.show_outcomes()
    _plan_file()


def _last_measured(plan: PruningPlan) -> Measured | None:
    """The accuracy of the newest run, for comparison with what is predicted."""
    newest = run_shelf.newest()
    if newest is None:
        return None
    stage, measured = newest.run.final, newest.run.plan
    kinds = [(one.granularity, one.channel_multiple) for one in (plan, measured)]
    return Measured(
        stage.validation.accuracy, stage.validation.ci_low, stage.validation.ci_high,
        stage.validation.samples, measured.sparsities,
        _("{name}, {stage}").format(name=newest.name, stage=run_shelf.stage_title(stage.name)),
        other=kinds[0] != kinds[1],
    )  # fmt: skip


def _show_size(plan: PruningPlan) -> None:
    """What the saved plan amounts to, computed on the server."""
    from workbench.accounting import size_of_plan

    groups = session.groups()
    size = size_of_plan(groups, plan)
    if not any(plan.sparsities.values()):
        st.caption(_("The plan is empty: drag a column, or spread a target."))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            _(
                ":material/check_circle: Saved: **{kept}** of {total} parameters stay "
                "({ratio}× fewer), {bytes} of {dense_bytes}, {macs} of {dense_macs} MACs."
            ).format(
                kept=compact(size.num_nonzero), total=compact(size.num_params),
                ratio=f"{size.compression_ratio:.2f}", bytes=in_bytes(size.bytes),
                dense_bytes=in_bytes(size.dense_bytes), macs=compact(size.macs),
                dense_macs=compact(size.dense_macs),
            ),
            width="content",
        )  # fmt: skip
        links.link_to("finetune", _("Prune with this plan"), "content_cut")
    if plan.channel_multiple > 1:
        free = PruningPlan.from_dict(plan.to_dict() | {"channel_multiple": 1})
        _show_rounding(plan, size, size_of_plan(groups, free))


def _show_rounding(plan: PruningPlan, size: PlanSize, free: PlanSize) -> None:
    """What rounding the kept channels does to the plan."""
    groups = session.groups()
    moved = sum(
        groups.num_pruned(name, value, plan.channel_multiple) != groups.num_pruned(name, value)
        for name, value in plan.sparsities.items()
    )
    if not moved:
        told = _(
            ":material/straighten: Rounding to multiples of {multiple} changes nothing in this "
            "plan."
        )
    else:
        told = ngettext(
            ":material/straighten: Rounded to multiples of {multiple}: {count} group keeps another "
            "number of channels. {params} parameters instead of {free_params}, {macs} MACs instead "
            "of {free_macs}.",
            ":material/straighten: Rounded to multiples of {multiple}: {count} groups keep another "
            "number of channels. {params} parameters instead of {free_params}, {macs} MACs instead "
            "of {free_macs}.",
            moved,
        )
    st.caption(
        told.format(
            multiple=plan.channel_multiple, count=moved, params=compact(size.num_nonzero),
            free_params=compact(free.num_nonzero), macs=compact(size.macs),
            free_macs=compact(free.macs),
        )
    )  # fmt: skip


def _lock_switch() -> None:
    """The classifier is protected unless a person says otherwise."""
    unlocked = bool(session.setting(plan_state.UNLOCKED, False))
    widget = f"unlock_{session.workspace_id()}_{unlocked}"
    locked = protected_locks(session.groups())

    def toggle() -> None:
        now = bool(st.session_state[widget])
        session.remember(**{plan_state.UNLOCKED: now})
        plan = session.plan()
        kept = {k: v for k, v in plan.sparsities.items() if now or k not in locked}
        if kept != dict(plan.sparsities):
            plan_state.replace(plan.with_sparsities(kept, plan.allocation))

    if locked:
        st.toggle(
            _("Allow pruning the classifier ({layers})").format(layers=plain(", ".join(locked))),
            value=unlocked, key=widget, on_change=callback(toggle),
            help=next(iter(locked.values())),
        )  # fmt: skip


def _native_controls(board: Board, plan: PruningPlan) -> None:
    """The same values as a table: exact numbers, paste from a spreadsheet, no dragging."""
    opened = st.expander(
        _("Exact values as a table"), icon=":material/table_rows:", key="plan_table",
        on_change="rerun",
    )  # fmt: skip
    if not opened.open:
        return  # drawing it takes longer than all the rest of the editor
    with opened:
        structured = board.granularity == "channel"
        frame = _table(board, plan)
        kind = st.column_config
        edited = st.data_editor(
            frame, hide_index=True, key=f"table_{plan.digest}",
            disabled=["layer", "stage", "weights", "kept", "note"],
            height=min(36 * (len(frame) + 1) + 3, 480),
            column_config={
                "layer": kind.TextColumn(_("Group") if structured else _("Layer"), pinned=True),
                "stage": kind.TextColumn(_("Stage"), help=explain("stage of the network")),
                "sparsity": kind.NumberColumn(
                    _("Pruned, %") if structured else _("Sparsity, %"), min_value=0.0,
                    max_value=99.99, step=0.01, format="%.2f", help=explain("sparsity"),
                    required=True,
                ),
                "kept": kind.TextColumn(_("Kept")),
                "weights": kind.NumberColumn(
                    _("Parameters") if structured else _("Weights"), format="localized"
                ),
                "note": kind.TextColumn(_("Locked because")),
            },
        )  # fmt: skip
        changed = changed_values(frame, edited, board)
        if changed:
            plan_state.replace(plan.with_sparsities({**plan.sparsities, **changed}))
            st.rerun()


def _table(board: Board, plan: PruningPlan) -> pd.DataFrame:
    from workbench.stages import stage_of_groups

    columns = [column for column in board.columns if column.prunable]
    groups = session.groups()
    stages = stage_of_groups(groups)
    values = [plan.sparsities.get(column.name, 0.0) for column in columns]
    frame = pd.DataFrame(
        {
            "layer": [column.name for column in columns],
            "stage": [stages[column.name].title for column in columns],
            "sparsity": [100 * value for value in values],
            "weights": [column.num_weights for column in columns],
            "note": [column.reason for column in columns],
        }
    )
    if board.granularity == "channel":
        kept = [
            column.num_units - groups.num_pruned(column.name, value, board.channel_multiple)
            for column, value in zip(columns, values, strict=True)
        ]
        texts = [f"{n} / {column.num_units}" for n, column in zip(kept, columns, strict=True)]
        frame.insert(3, "kept", texts)
    return frame if any(frame["note"]) else frame.drop(columns="note")


def changed_values(before: pd.DataFrame, after: pd.DataFrame, board: Board) -> dict[str, float]:
    """Groups whose value was typed anew, as the hand could set it; locked ones keep theirs."""
    rows = zip(before["layer"], before["sparsity"], after["sparsity"], strict=True)
    typed = {
        name: float(new) / 100
        for name, old, new in rows
        if new is not None and new == new and new != old and name not in board.locked
    }
    return {
        column.name: column.settled(
            min(column.most, max(0.0, typed[column.name])), board.channel_multiple
        )
        for column in board.columns
        if column.name in typed
    }


def _plan_file() -> None:
    """Take the plan away as a file or a link, or bring a file."""
    from workbench.plan_file import format_plan

    opened = st.expander(
        _("Plan file and link"), icon=":material/description:", key="plan_file_box",
        on_change="rerun",
    )  # fmt: skip
    if not opened.open:
        return
    with opened:
        left, right = st.columns(2, gap="large")
        left.download_button(
            _("Download the plan"), format_plan(session.plan()), file_name="plan.yaml",
            mime="application/yaml", icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        left.caption(_("YAML that a person can edit; the command line takes it as --plan."))
        with left:
            links.show_copy_link()
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
    from workbench.plan_file import parse_plan

    plan = parse_plan(content[: _MAX_PLAN_BYTES + 1].decode("utf-8", errors="replace"))
    check_plan(plan, session.model_ref())
    put_plan(plan)


def check_plan(plan: PruningPlan, model: ModelRef) -> None:
    """Refuse a plan that does not fit a model.

    Raises:
        PlanError: If it names a criterion that there is not or that cannot rank its granularity,
            a group that there is not, or a seed that the pages cannot hold.
    """
    from workbench.accounting import size_of_plan
    from workbench.criteria import get_criterion

    get_criterion(plan.criterion, plan.granularity)
    size_of_plan(bench.groups(model, plan.granularity), plan)
    if plan.seed > MAX_SEED:
        raise PlanError(
            _("The plan's seed is {seed}.").format(seed=plan.seed),
            _("Choose a whole number from 0 to {most}.").format(most=f"{MAX_SEED:,}"),
        )


def put_plan(plan: PruningPlan) -> None:
    """Put a plan that fits the model on the bench; what it prunes is unlocked and thawed."""
    protected = protected_locks(session.groups(plan.granularity))
    if any(plan.sparsities.get(name) for name in protected):
        session.remember(**{plan_state.UNLOCKED: True})
    plan_freeze.thaw_for(plan)
    plan_state.keep_last()
    plan_state.replace(plan)
