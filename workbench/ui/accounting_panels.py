"""The panel that says what a plan saves: bytes in every encoding, time, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.granularity import parse_granularity
from workbench.plan import PruningPlan
from workbench.ui import bench, session, speed_panels
from workbench.ui.accounting_words import Account, what_it_saves
from workbench.ui.charts.encodings import encodings_figure
from workbench.ui.charts.show import show_chart
from workbench.ui.errors import fragment
from workbench.ui.i18n import _
from workbench.ui.theme import in_bytes, percent

if TYPE_CHECKING:
    from workbench.encodings import EncodedSizes, Encoding
    from workbench.store import DataRef, ModelRef

NO_BREAK = "\N{NO-BREAK SPACE}"
_POLL_S = 1.0


def show_accounting() -> None:
    """What the present plan saves and what it does not; costs nothing until it is opened.

    It is a part of the page that reruns alone, and it follows the plan within a second.
    """
    fragment(_panel)


def _panel() -> None:
    panel = st.expander(
        _("Why is it not smaller, or not faster?"), icon=":material/balance:", key="account_open",
        on_change="rerun",
    )  # fmt: skip
    if panel.open:
        with panel:
            fragment(_content, run_every=_POLL_S)  # a released column redraws its own part only


def _content() -> None:
    session.refresh()  # the plan may have changed, a timing may have ended since
    plan = session.plan()
    account = _account(plan)
    st.markdown(what_it_saves(account))
    views = {
        "size": _("File size"),
        "time": _("Time"),
        "staircase": _("Staircase of a group"),
    }
    view = st.segmented_control(
        _("Show"), list(views), format_func=views.__getitem__, default="size", key="account_view",
        persist_state="session", label_visibility="collapsed", required=True,
    )  # fmt: skip
    if view == "time":
        speed_panels.show_times(plan)
    elif view == "staircase":
        speed_panels.show_staircase(plan)
    else:
        _show_sizes(account)


def _account(plan: PruningPlan) -> Account:
    sizes, theory = _measured(session.model_ref(), session.workspace().data_ref, plan.digest, plan)
    granularity = parse_granularity(plan.granularity)
    prunes = any(plan.sparsities.values()) and (sizes.sparsity > 0 or sizes.removed > 0)
    return Account(granularity, prunes, sizes, theory, speed_panels.newest(plan))


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=bench.BY_REFERENCE)
def _measured(
    ref: ModelRef,
    data_ref: DataRef | None,
    digest: str,  # noqa: ARG001  part of the key
    _plan: PruningPlan,
) -> tuple[EncodedSizes, float]:
    """Sizes in every encoding, and the theoretical speedup; kept by model and plan.

    Args:
        ref: The dense model.
        data_ref: Images that the plan's criterion may look at.
        digest: Names the plan.
        _plan: The plan itself.
    """
    from workbench.prune import prune
    from workbench.saving import encode_pruned, theoretical_speedup

    pruned = prune(bench.seeing_model(ref, data_ref), _plan, bench.groups(ref, _plan.granularity))
    return encode_pruned(pruned), theoretical_speedup(pruned)


def _show_sizes(account: Account) -> None:
    from workbench.encodings import encodings_for

    sizes, entries = account.sizes, encodings_for(account.granularity)
    words = _(
        "Written to disk and measured: the weights file takes {file} ({dense} without pruning)."
    ).format(file=in_bytes(sizes.file_bytes), dense=in_bytes(sizes.dense_file_bytes))
    titles = {name: entry.title for name, entry in entries.items()}
    show_chart(
        encodings_figure(sizes, titles), key="encodings", takeaway=words,
        alt=_("Bars of the bytes in each encoding; the dashed line is the dense network. ")
        + _in_words(sizes, titles) + words,
    )  # fmt: skip
    st.table(_table(sizes, entries), hide_index=True, border="horizontal")
    st.caption(
        _(
            "Smaller from: the sparsity from which an encoding takes less than dense 32-bit "
            "weights. Weights without a zero, biases and normalisation are stored as they are."
        )
    )


def _in_words(sizes: EncodedSizes, titles: Mapping[str, str]) -> str:
    smallest = min((s for s in sizes.sizes if s.applies), key=lambda size: size.num_bytes)
    return _("The smallest is {title} with {share} of the dense network. ").format(
        title=titles[smallest.name], share=percent(smallest.num_bytes / sizes.dense_bytes, 0)
    )


def _table(sizes: EncodedSizes, entries: Mapping[str, Encoding]) -> pd.DataFrame:
    faster = {
        "everywhere": _("yes, everywhere"),
        "some hardware": _("in some places"),
        "nowhere": _("no"),
    }
    rows = []
    for size in sizes.sizes:
        entry = entries[size.name]
        title = f"**{entry.title}**  \n{entry.summary}"
        share = percent(size.num_bytes / sizes.dense_bytes, 0)
        rows.append(
            {
                _("Encoding"): title + ("" if size.applies else "  \n" + _not_here(size.name)),
                _("Bytes"): f"{in_bytes(size.num_bytes)}  \n{share}".replace(" ", NO_BREAK, 1),
                _("Smaller from"): _smaller_from(size.name, size.break_even),
                _("Saves time"): faster[entry.speed],
                _("Who computes with it"): entry.runtimes,
            }
        )
    return pd.DataFrame(rows)


def _not_here(name: str) -> str:
    """Why an encoding gains nothing from the plan."""
    if name == "removed":
        return _("*This plan removes no whole channel.*")
    if name == "nm":
        return _("*The weights of this plan do not follow the pattern.*")
    return _("*This plan leaves no zeros.*")


def _smaller_from(name: str, even: float | None) -> str:
    if name == "fp32":
        return "–"
    if even is None:
        return _("never")
    return percent(even) if even else _("always")
