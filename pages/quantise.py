"""8-bit numbers, codebooks and patterns in the place of weights, measured as files."""

import streamlit as st

from workbench.ui import quantise_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Quantise"))
st.write(
    _(
        "Fewer bits for what pruning left: every file is written, read back, measured and timed, "
        "and its zeros are counted."
    )
)
when_warm(quantise_panels.show_quantise, 560)
