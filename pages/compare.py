"""All runs of the workspace: accuracy against size."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Compare"))
st.write(_("Every run of this workspace, with its accuracy and its size."))
