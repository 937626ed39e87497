"""Every method: what it is, what it costs here, and how it does beside the usual choice."""

import streamlit as st

from workbench.ui import criteria_table, methods_panels
from workbench.ui.i18n import _

st.title(_("Methods"))
st.write(
    _(
        "Every method of the workbench, explained: what it does, what it needs, where it is "
        "strong and where it fails. Each can be tried here on your model, beside the usual choice."
    )
)
families = methods_panels.show_catalogue()
if families == ["criterion"]:
    criteria_table.show_table()
