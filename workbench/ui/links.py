"""Links from one page to the next step, with the workspace in the address."""

import streamlit as st

from workbench.ui import session
from workbench.ui.navigation import PAGE_FOLDER


def link_to(name: str, label: str, icon: str) -> None:
    """Draw a link to another page.

    Args:
        name: The page's script and address, such as ``plan``.
        label: What the link says.
        icon: Name of a Material icon.
    """
    st.page_link(
        PAGE_FOLDER / f"{name}.py", label=label, icon=f":material/{icon}:",
        query_params={session.ADDRESS_KEY: session.workspace_id()},
    )  # fmt: skip
