"""Groups of coupled channels: drawn, listed, and one of them in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.ui import bench, session
from workbench.ui.charts import groups_figure, show_chart, unit_scores_figure
from workbench.ui.charts.groups import GROUPS_TRACE, units
from workbench.ui.criterion_choice import prepare
from workbench.ui.errors import fragment, plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import compact, percent
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.groups import Group, Groups
    from workbench.layers import Inspection
    from workbench.store import DataRef, ModelRef
    from workbench.unit_scores import UnitScores

GROUPS_HEIGHT = 640
_CHOSEN = "chosen_group"
_MOST_LISTED = 12


def show_groups() -> None:
    """Which layers hang together; click a group, or choose it by name, for its members."""
    fragment(_explore)


def _explore() -> None:
    found = session.groups("channel")
    st.write(_sentence(found))
    names = [group.name for group in found.groups]
    if st.session_state.get(_CHOSEN) not in names:
        st.session_state[_CHOSEN] = next((g.name for g in found.prunable), names[0])
    _draw(found, names.index(st.session_state[_CHOSEN]))
    left, right = st.columns([1, 2], gap="large")
    with left:
        name = st.selectbox(
            _("Group"), names, key=_CHOSEN, persist_state="session",
            help=explain("group") + " " + _("Or click a row of the picture above."),
        )  # fmt: skip
        group = found.groups[names.index(name)]
        _describe(group)
    with right:
        _show_units(found, group)
    with st.expander(_("All groups as a table"), icon=":material/table_rows:"):
        _show_table(found)


def _draw(found: Groups, chosen: int) -> None:
    """The picture; a click chooses a group."""

    def choose(index: int) -> None:
        st.session_state[_CHOSEN] = found.groups[index].name

    show_chart(
        groups_figure(found.groups, layers_of(found), chosen=chosen),
        key="groups", on_click=choose, clickable=GROUPS_TRACE,
        alt=_("Table of marks: which layers belong to which group of coupled channels. ")
        + _sentence(found).replace("**", ""),
    )  # fmt: skip


def layers_of(found: Groups) -> list[str]:
    """Layers that occur in groups, in the order of the network."""
    named = {name for group in found.groups for name in (*group.layers, *group.consumers)}
    listed = [layer.layer_name for layer in found.inspection.layers if layer.layer_name in named]
    others = [name for group in found.groups for name in group.layers if name not in listed]
    return [*listed, *dict.fromkeys(others)]


def _sentence(found: Groups) -> str:
    """How many groups can be cut, and which holds the most layers together."""
    counts = count_units(found.prunable)
    if not counts:
        return _("No channels of this model can be removed: {reason}").format(
            reason=plain(found.groups[0].reason) if found.groups else _("it has none.")
        )
    sentence = ngettext(
        "{n} of {total} groups can be cut, with **{units}** in all.",
        "{n} of {total} groups can be cut, with **{units}** in all.", len(found.prunable),
    ).format(n=len(found.prunable), total=len(found.groups), units=counts)  # fmt: skip
    widest = max(found.prunable, key=lambda group: len(group.layers))
    if len(widest.layers) > 1:
        sentence += " " + _(
            "{layers} layers hang together in {group}: cutting one cuts all of them."
        ).format(layers=len(widest.layers), group=plain(widest.name))
    return sentence


def count_units(groups: Sequence[Group]) -> str:
    """What groups hold in words: ``384 neurons and 24 heads``."""
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.unit] += group.num_units
    return _(" and ").join(f"{count:,} {units(unit, count)}" for unit, count in counts.items())


def _describe(group: Group) -> None:
    """Members of one group, what hangs on it, and why it cannot be cut."""
    if group.reason:
        st.info(plain(group.reason), icon=":material/lock:")
    else:
        st.markdown(
            _("**{count} {unit}**; {params} parameters ({share}) and {macs} MACs hang on them.")
            .format(
                count=group.num_units, unit=units(group.unit, group.num_units),
                params=compact(group.num_params), macs=compact(group.macs),
                share=percent(group.num_params / max(1, session.inspection().num_params)),
            )
        )  # fmt: skip
    st.caption(_listed(_("Lose outputs") if group.prunable else _("Members"), group.layers))
    if group.consumers:
        reads = _("Lose the inputs from there") if group.prunable else _("Read from them")
        st.caption(_listed(reads, group.consumers))


def _listed(title: str, names: Sequence[str]) -> str:
    shown = plain(", ".join(names[:_MOST_LISTED]))
    if len(names) > _MOST_LISTED:
        more = len(names) - _MOST_LISTED
        shown += " " + _("and {n} more, all in the table below").format(n=more)
    return f"**{title}:** {shown}"


def _show_units(found: Groups, group: Group) -> None:
    """How the units of a group rank, and where the plan cuts."""
    if not group.prunable:
        st.caption(_("A group that cannot be cut has no ranking."))
        return
    plan = session.plan()
    sparsity = plan.sparsities.get(group.name, 0.0) if _is_structured() else 0.0
    count = found.num_pruned(group.name, sparsity, plan.channel_multiple) if sparsity else 0
    prepare(plan.criterion, found.granularity.name)
    ranked = _ranked(
        session.model_ref(), session.workspace().data_ref, group.name, plan.criterion, plan.seed
    )
    lowest, highest = ranked.scores[0], ranked.scores[-1]
    takeaway = _(
        "By the plan's criterion the scores reach from {low} to {high} times the group's mean."
    ).format(low=f"{lowest:.2f}", high=f"{highest:.2f}")
    if count:
        gone = ranked.order[:count]
        takeaway += " " + _("The plan removes {count} of {total}: {which}.").format(
            count=count, total=f"{group.num_units} {units(group.unit, group.num_units)}",
            which=", ".join(f"{number}" for number in sorted(gone)[:12])
            + (" …" if count > 12 else ""),
        )  # fmt: skip
    show_chart(
        unit_scores_figure(ranked.scores, count, group.unit), key="unit_scores",
        alt=_("Bars of the scores of {group}. ").format(group=group.name) + takeaway,
        takeaway=takeaway,
    )  # fmt: skip


def _is_structured() -> bool:
    from workbench.granularity import parse_granularity

    return parse_granularity(session.plan().granularity).structured


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=bench.BY_REFERENCE)
def _ranked(
    ref: ModelRef, data_ref: DataRef | None, name: str, criterion: str, seed: int
) -> UnitScores:
    from workbench.unit_scores import rank_units

    model = bench.seeing_model(ref, data_ref)
    return rank_units(model, bench.groups(ref, "channel"), name, criterion, seed)


def group_frame(found: Groups, inspection: Inspection) -> pd.DataFrame:
    """One row per group: what goes together, what it holds, why it cannot be cut."""
    total = max(1, inspection.num_params)
    return pd.DataFrame(
        {
            "group": [group.name for group in found.groups],
            "units": [group.num_units for group in found.groups],
            "unit": [units(group.unit, 2) for group in found.groups],
            "layers": [", ".join(group.layers) for group in found.groups],
            "consumers": [", ".join(group.consumers) for group in found.groups],
            "params": [group.num_params for group in found.groups],
            "share": [100 * group.num_params / total for group in found.groups],
            "macs": [group.macs for group in found.groups],
            "prunable": [_("Yes") if group.prunable else group.reason for group in found.groups],
        }
    )


def _show_table(found: Groups) -> None:
    frame = group_frame(found, session.inspection())
    column = st.column_config
    st.dataframe(
        frame, hide_index=True, height=min(35 * (len(frame) + 1) + 3, 520),
        alt=_("Table of {count} groups with their members and size.").format(count=len(frame)),
        column_order=[
            "group", "units", "unit", "prunable", "layers", "consumers", "params", "share", "macs",
        ],
        column_config={
            "group": column.TextColumn(_("Group"), pinned=True, width=150, help=explain("group")),
            "units": column.NumberColumn(_("Units"), format="localized", width=60),
            "unit": column.TextColumn(_("Of"), width=80),
            "layers": column.TextColumn(_("Lose outputs"), width=190),
            "consumers": column.TextColumn(_("Lose inputs"), width=190),
            "params": column.NumberColumn(
                _("Parameters"), format="localized", width=85,
                help=_("All parameters that would go with all units of the group."),
            ),
            "share": column.NumberColumn(_("Share"), format="%.1f %%", width=70),
            "macs": column.NumberColumn(
                _("MACs"), format="localized", width=95, help=explain("MACs")
            ),
            "prunable": column.TextColumn(_("Can be cut"), width=150),
        },
    )  # fmt: skip
