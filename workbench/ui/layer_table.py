"""The table of layers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.ui import session
from workbench.ui.errors import plain
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import compact, percent, shape
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.layers import Inspection, LayerInfo


def layer_frame(inspection: Inspection) -> pd.DataFrame:
    """One row per layer: what it is, what it holds, what it costs, whether it can be pruned."""
    total = max(1, inspection.num_params)
    return pd.DataFrame(
        {
            "layer": [layer.layer_name for layer in inspection.layers],
            "type": [layer.type for layer in inspection.layers],
            "shape": [shape(layer.shape) for layer in inspection.layers],
            "params": [layer.num_params for layer in inspection.layers],
            "share": [100 * layer.num_params / total for layer in inspection.layers],
            "macs": [layer.macs for layer in inspection.layers],
            "zeros": [layer.num_zeros for layer in inspection.layers],
            "prunable": [_prunable(layer) for layer in inspection.layers],
            "used": [_used(layer) for layer in inspection.layers],
        }
    )


def _used(layer: LayerInfo) -> str:
    """Where the weight of a row is used, where that is several times."""
    from workbench.shared import describe_uses

    if layer.shares_with:
        return _("the weight of {layer}").format(layer=layer.shares_with)
    if not layer.shared:
        return ""
    return _("{count} times: {places}").format(
        count=len(layer.uses), places=describe_uses(layer.uses)
    )


def _prunable(layer: LayerInfo) -> str:
    """Whether a layer can be pruned, in few words; the reasons stand below the table."""
    if not layer.prunable:
        return _("No")
    return _("If you ask") if layer.protected else _("Yes")


def _why_not(inspection: Inspection) -> list[str]:
    """One sentence for every reason why layers are not pruned, or only if one asks."""
    told = []
    reasons = Counter(layer.reason for layer in inspection.layers if not layer.prunable)
    for reason, count in reasons.items():
        words = ngettext("No, {n} layer: {reason}", "No, {n} layers: {reason}", count)
        told.append(words.format(n=count, reason=plain(reason)))
    told += [
        _("If you ask: {layer} is protected until the plan page unlocks it.").format(
            layer=plain(layer.layer_name)
        )
        for layer in inspection.prunable
        if layer.protected
    ]
    return told


def show_summary() -> None:
    """One sentence: how many layers, and how much of the model can be pruned."""
    inspection = session.inspection()
    weights = sum(layer.num_weights for layer in inspection.prunable)
    st.write(
        _(
            "{prunable} of {count} layers can be pruned; their weights are {share} of the "
            "{params} parameters."
        ).format(
            prunable=len(inspection.prunable), count=len(inspection.layers),
            share=percent(weights / max(1, inspection.num_params)),
            params=compact(inspection.num_params),
        )
    )  # fmt: skip
    shared = [layer for layer in inspection.prunable if layer.shared]
    if shared:
        st.write(
            ngettext(
                "{count} weight is shared: it is used several times in one pass, counted once and "
                "pruned once, for all its uses together ({layers}).",
                "{count} weights are shared: each is used several times in one pass, counted once "
                "and pruned once, for all its uses together ({layers}).",
                len(shared),
            ).format(
                count=len(shared), layers=", ".join(plain(layer.layer_name) for layer in shared)
            )
        )


def show_layer_table() -> None:
    """Draw the table; it can be sorted, searched and downloaded."""
    frame = layer_frame(session.inspection())
    if not frame["used"].any():
        frame = frame.drop(columns="used")
    column = st.column_config
    st.dataframe(
        frame,
        hide_index=True,
        height=min(35 * (len(frame) + 1) + 3, 620),
        alt=_("Table of {count} layers with type, shape, size and work.").format(count=len(frame)),
        column_config={
            "layer": column.TextColumn(_("Layer"), pinned=True, width=150),
            "type": column.TextColumn(_("Type"), width=100),
            "shape": column.TextColumn(_("Shape"), width=105),
            "params": column.NumberColumn(
                _("Parameters"), format="localized", help=explain("parameters"), width=85
            ),
            "share": column.ProgressColumn(
                _("Share of parameters"), format="%.1f %%", min_value=0,
                max_value=max(1.0, float(frame["share"].max())), help=explain("share"),
                color="#7f93ad", width=130,
            ),
            "macs": column.NumberColumn(
                _("MACs"), format="localized", help=explain("MACs"), width=85
            ),
            "zeros": column.NumberColumn(
                _("Zeros"), format="localized", help=explain("zeros"), width=60
            ),
            "prunable": column.TextColumn(_("Can be pruned"), width=100),
            "used": column.TextColumn(_("Used"), help=explain("used"), width=190),
        },
    )  # fmt: skip
    for sentence in _why_not(session.inspection()):
        st.caption(sentence)
