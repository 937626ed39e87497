"""Zeros that training makes: penalties and growing cuts."""

import streamlit as st

from workbench.ui import sparse_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Sparse training"))
st.write(
    _(
        "The other way to a sparse network: instead of cutting a trained one, train it so that "
        "zeros appear. What comes out is a run like any other."
    )
)
when_warm(sparse_panels.show_form, 420)
when_warm(sparse_panels.show_training, 420)
