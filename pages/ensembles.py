"""Several runs that answer as one, beside the dense model at equal size."""

import streamlit as st

from workbench.ui import ensemble_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Ensembles"))
st.write(
    _(
        "Several pruned models that answer together may take no more room or work than the dense "
        "one. What is learnt and chosen rests on validation images; the numbers are of test images."
    )
)
when_warm(ensemble_panels.show_form, 90)
when_warm(ensemble_panels.show_ensembles, 600)
