"""What stands under the navigation: the model, the data and the address to come back to."""

import streamlit as st

from workbench.ui import session
from workbench.ui.errors import plain
from workbench.ui.i18n import _
from workbench.ui.theme import compact


def show() -> None:
    """Draw the lower part of the sidebar."""
    with st.sidebar:
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
        st.caption(
            _(
                "This page's address is your workspace. Copy it from the address bar to come "
                "back or to share what is on the bench; whoever has it can change it."
            ),
        )
