"""The model on the bench and where its weights lie."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Model"))
st.write(_("The model on the bench, its size and its accuracy."))
