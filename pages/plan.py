"""A sparsity for every layer or group, by hand or by a preset."""

import streamlit as st

from workbench.ui import (
    accounting_panels,
    links,
    plan_choices,
    plan_panels,
    plan_search,
    plan_spread,
)
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    st.title(_("Plan"), width="stretch")
    when_warm(plan_spread.show_quick_start, 40)
st.write(
    _(
        "Drag a column to set how much of it is pruned. The colour behind it is the damage "
        "measured when nothing else is pruned."
    )
)
when_warm(links.open_link, 1)
when_warm(plan_choices.show_granularity, 130)
when_warm(plan_spread.show_spread, 180)
when_warm(plan_panels.show_editor, 640)
when_warm(plan_search.show_search, 60)
when_warm(accounting_panels.show_accounting, 60)
