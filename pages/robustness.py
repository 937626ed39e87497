"""Accuracy on corrupted test images, the dense model beside its runs."""

import streamlit as st

from workbench.ui import robustness_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Robustness"))
st.write(
    _(
        "What pruning costs where images are worse than those of the test split: noise, blur, "
        "little contrast, something in front. Every model sees the same corrupted images."
    )
)
when_warm(robustness_panels.show_form, 90)
when_warm(robustness_panels.show_robustness, 640)
