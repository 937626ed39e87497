"""A sparsity for every layer, by hand or by a preset."""

import streamlit as st

from workbench.ui import plan_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Plan"))
st.write(
    _(
        "Drag a column to set how much of a layer is pruned. The colour behind it is the damage "
        "measured when only that layer is pruned."
    )
)
when_warm(plan_panels.show_presets, 90)
when_warm(plan_panels.show_editor, 640)
when_warm(plan_panels.show_plan_file, 60)
