"""What stands under the navigation: the model, the data and the address to come back to."""

import streamlit as st

from workbench.ui.i18n import _


def show() -> None:
    """Draw the lower part of the sidebar."""
    with st.sidebar:
        st.caption(_("The address of this page is your workspace: bookmark it to come back."))
