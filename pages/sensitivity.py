"""Accuracy and loss against sparsity, one layer at a time."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Sensitivity"))
st.write(_("Accuracy and loss against sparsity, one layer at a time, on validation images."))
