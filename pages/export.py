"""Files that run elsewhere, verified against the model in memory."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Export"))
st.write(_("Exported files are run and compared with the model in memory before you get them."))
