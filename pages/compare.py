"""All runs of the workspace: accuracy against size."""

import streamlit as st

from workbench.ui import class_panels, compare_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Compare"))
st.write(_("Every attempt with this model: how accurate it is on test images, and how small."))
when_warm(compare_panels.show_comparison, 560)
when_warm(class_panels.show_classes, 120)
