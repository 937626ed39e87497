"""Files that run elsewhere, verified against the model in memory."""

import streamlit as st

from workbench.ui import export_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Export"))
st.write(_("Exported files are run and compared with the model in memory before you get them."))
when_warm(export_panels.show_export, 400)
