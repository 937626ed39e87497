"""What the plan is made of: the granularity and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.granularity import EXAMPLES, MAX_BLOCK, Granularity, parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import plan_state, session
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.words import explain

PATTERNS = ("2:4", "4:8", "1:4")
MULTIPLES = (1, 4, 8, 16)
_DRAWN = "granularity_drawn"
_LAST_NAMES = "granularity_by_kind"


def show_granularity() -> None:
    """Choose what goes together, and the numbers that belong to it."""
    plan = session.plan()
    st.session_state[_DRAWN] = (plan.granularity, plan.channel_multiple)
    kind = parse_granularity(plan.granularity)
    fitting, others = _kinds(kind)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            key = f"plan_kind_{plan.granularity}"
            st.segmented_control(
                _("Granularity"), fitting, default=kind.kind, required=True, key=key,
                format_func=kind_titles().__getitem__, help=explain("granularity"),
                on_change=callback(partial(_change_kind, key, kind.kind)),
            )  # fmt: skip
            with st.container(
                horizontal=True, vertical_alignment="bottom", gap="medium", width="content"
            ):
                _show_numbers(kind, plan.channel_multiple)
        st.caption(plain(kind.summary))
        for name, reason in others.items():
            st.caption(
                _(":material/block: {title} do not fit this model. {reason}").format(
                    title=kind_titles()[name], reason=plain(reason)
                )
            )


def are_of(plan: PruningPlan) -> bool:
    """Whether the choices on the page are those of a plan."""
    return st.session_state.get(_DRAWN) == (plan.granularity, plan.channel_multiple)


def kind_titles() -> dict[str, str]:
    """Short names of the kinds, as they stand on the control."""
    return {
        "weight": _("Single weights"),
        "nm": _("N:M"),
        "block": _("Blocks"),
        "subblock": _("Sub-blocks"),
        "kernel": _("Kernels"),
        "channel": _("Channels, neurons, heads"),
    }


def _kinds(present: Granularity) -> tuple[list[str], dict[str, str]]:
    """Kinds that fit the model, and the others with their reason.

    Channels are followed through the network only once they are asked for.
    """
    fitting, others = [], {}
    for name in EXAMPLES:
        kind = parse_granularity(name)
        if kind.kind != present.kind and not kind.structured:
            groups = session.groups(name)
            if not groups.prunable:
                others[kind.kind] = plan_state.why_unsuitable(groups)
                continue
        fitting.append(kind.kind)
    return fitting, others


def _change_kind(key: str, present: str) -> None:
    kind = st.session_state[key]
    last = session.setting(_LAST_NAMES, {}).get(kind)
    usual = next(name for name in EXAMPLES if parse_granularity(name).kind == kind)
    _change(last or usual, {key: present})


def _change(name: str, before: Mapping[str, object]) -> None:
    """Change the granularity and remember its numbers for the next time.

    Args:
        name: The granularity.
        before: What the widgets go back to where it is refused.
    """
    try:
        plan_state.change_granularity(name)
    except WorkbenchError:
        st.session_state.update(before)
        raise
    kept = session.setting(_LAST_NAMES, {})
    session.remember(**{_LAST_NAMES: kept | {parse_granularity(name).kind: name}})


def _show_numbers(kind: Granularity, multiple: int) -> None:
    if kind.kind == "nm":
        _show_pattern(kind)
    elif kind.kind == "block":
        _show_block(kind)
    elif kind.kind == "subblock":
        _show_subblock(kind)
    elif kind.structured:
        _show_multiple(multiple)


def _show_pattern(kind: Granularity) -> None:
    present = f"{kind.n}:{kind.m}"
    key = f"plan_pattern_{present}"
    options = list(dict.fromkeys([*PATTERNS, present]))

    def change() -> None:
        _change(f"nm:{str(st.session_state[key]).strip()}", {key: present})

    st.selectbox(
        _("Pattern"), options, options.index(present), key=key, accept_new_options=True, width=170,
        help=_("Keep N of every M; choose one, or type another such as 3:8."),
        on_change=callback(change),
    )  # fmt: skip


def _show_block(kind: Granularity) -> None:
    _show_size(
        kind, "inside", kind.inside_kernels,
        lambda size, inside: f"block:{size}{':kernel' if inside else ''}",
        _("How many outputs a block spans, or rows of each kernel."),
        _("How many inputs a block spans, or columns of each kernel."),
        _("Inside kernels"),
        _("Cuts each kernel into blocks instead of the matrix of outputs by inputs."),
    )  # fmt: skip


def _show_subblock(kind: Granularity) -> None:
    _show_size(
        kind, "overlapping", kind.overlapping,
        lambda size, overlapping: f"subblock:{size}{'' if overlapping else ':disjoint'}",
        _("How many rows of a kernel a sub-block spans; at most those of the kernel."),
        _("How many columns of a kernel a sub-block spans; at most those of the kernel."),
        _("Overlapping"),
        _(
            "Sub-blocks lie at every place of a kernel, a step of one apart: a weight stays while "
            "any part that covers it stays. Off: they lie side by side, smaller at the far edges."
        ),
    )  # fmt: skip


def _show_size(
    kind: Granularity, switch: str, is_on: bool, name_of: Callable[[str, bool], str],
    rows_help: str, columns_help: str, switch_title: str, switch_help: str,
) -> None:  # fmt: skip
    """Rows and columns of a block and the one thing that is on or off about it."""
    names = [f"plan_{part}_{kind.name}" for part in ("rows", "columns", switch)]
    present = (kind.rows, kind.columns, is_on)

    def change() -> None:
        rows, columns, on = (st.session_state[name] for name in names)
        _change(name_of(f"{int(rows)}x{int(columns)}", on), dict(zip(names, present, strict=True)))

    act = callback(change)
    st.number_input(
        _("Rows"), 1, MAX_BLOCK, kind.rows, key=names[0], on_change=act, width=100, help=rows_help
    )
    st.number_input(
        _("Columns"), 1, MAX_BLOCK, kind.columns, key=names[1], on_change=act, width=100,
        help=columns_help,
    )  # fmt: skip
    st.toggle(switch_title, is_on, key=names[2], on_change=act, help=switch_help)


def _show_multiple(multiple: int) -> None:
    key = f"plan_multiple_{multiple}"

    def change() -> None:
        plan_state.change_multiple(int(st.session_state[key]))

    st.segmented_control(
        _("Round kept channels to multiples of"), sorted({*MULTIPLES, multiple}),
        default=multiple, required=True, key=key,
        help=_("Some runtimes are faster where channel counts are multiples of 8 or 16."),
        on_change=callback(change),
    )  # fmt: skip
