"""All allocations and the person's own plan at the same budgets, measured alike."""

import streamlit as st

from workbench.ui import arena_form, arena_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Arena"))
st.write(
    _(
        "Every way to spread a budget over the layers, and your own plan, at the same budgets: "
        "pruned, repaired and measured alike on validation images."
    )
)
when_warm(arena_form.show_form, 60)
when_warm(arena_panels.show_arena, 640)
