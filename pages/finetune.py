"""Prune by the plan, repair, and train with the masks held."""

import streamlit as st

from workbench.ui.i18n import _

st.title(_("Prune and fine-tune"))
st.write(_("Pruning follows the plan; fine-tuning then trains the weights that are left."))
