"""Accuracy and loss against what is pruned, one layer or group at a time."""

import streamlit as st

from workbench.ui import sensitivity_form, sensitivity_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Sensitivity"))
st.write(
    _(
        "What pruning costs, one layer or group of channels at a time: all others stay dense, and "
        "the model is measured on validation images."
    )
)
when_warm(sensitivity_form.measure_again, 60)
when_warm(sensitivity_panels.show_curves, 560)
