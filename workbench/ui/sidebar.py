"""The sidebar: links to the pages, the model and the data, the address to come back to."""

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.navigation.page import Page

from workbench.ui import navigation, session, words
from workbench.ui.errors import plain
from workbench.ui.i18n import _
from workbench.ui.theme import compact


def show(pages: Mapping[str, Sequence[Page]]) -> None:
    """Draw the sidebar."""
    with st.sidebar:
        with st.container(gap="xsmall"):
            navigation.show_links(pages, {session.ADDRESS_KEY: session.workspace_id()})
        st.divider()
        bench = session.workspace()
        model, data = bench.model_ref, bench.data_ref
        if model is not None:
            st.markdown(f":material/deployed_code: **{plain(model.name)}**")
        facts = session.model_facts()
        if facts is not None:
            st.caption(
                _("{params} parameters, {macs} MACs").format(
                    params=compact(facts.num_params), macs=compact(facts.macs)
                )
            )
        name = plain(data.name) if data is not None else _("no data yet")
        st.markdown(f":material/image: {name}")
        st.divider()
        words.show_glossary()
        st.caption(
            _(
                "This page's address is your workspace. Copy it from the address bar to come "
                "back or to share what is on the bench; whoever has it can change it."
            ),
        )
