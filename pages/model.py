"""The model on the bench: its size, its accuracy and where its weights lie."""

import streamlit as st

from workbench.ui import model_panels, weights_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Model"))
model_panels.show_overview()
model_panels.measure_accuracy()
st.subheader(_("Where the weights lie"), anchor=False)
when_warm(weights_panels.show_overview, weights_panels.OVERVIEW_HEIGHT)
st.divider()
left, right = st.columns(2, gap="large")
with left:
    when_warm(model_panels.choose_model, 300)
with right:
    when_warm(model_panels.choose_data, 200)
    when_warm(model_panels.choose_device, 80)
