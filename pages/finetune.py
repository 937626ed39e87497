"""Prune by the plan, repair, and train with the masks held."""

import streamlit as st

from workbench.ui import finetune_panels, training_panels
from workbench.ui.i18n import _
from workbench.ui.warm import when_warm

st.title(_("Prune and fine-tune"))
when_warm(finetune_panels.show_prune, 200)
when_warm(finetune_panels.show_outcome, 240)
when_warm(training_panels.show_finetune, 400)
