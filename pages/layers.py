"""Every layer: what it holds, what it costs and whether it can be pruned."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Layers"))
st.write(_("Every layer of the model: what it holds, what it costs and whether it can be pruned."))
