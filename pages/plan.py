"""A sparsity for every layer, by hand or by a preset."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Plan"))
st.write(_("The plan holds a sparsity for every layer; what it does not name stays dense."))
