"""Every layer: where its weights lie, what it costs and what hangs together with it."""

import streamlit as st

from workbench.ui import group_panels, layer_table, weights_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Layers"))
when_warm(layer_table.show_summary, 40)
when_warm(weights_panels.show_explorer, weights_panels.EXPLORER_HEIGHT)
st.subheader(_("What hangs together"), anchor=False)
when_warm(group_panels.show_groups, group_panels.GROUPS_HEIGHT)
st.subheader(_("All layers"), anchor=False)
when_warm(layer_table.show_layer_table, 400)
