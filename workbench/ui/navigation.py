"""The pages, in the order of the work, and the links to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

from workbench.ui.i18n import _

_PACKAGE = Path(__file__).resolve().parent.parent
PAGE_FOLDER = next(
    folder for folder in (_PACKAGE / "_pages", _PACKAGE.parent / "pages") if folder.is_dir()
)


def sections() -> dict[str, list[Page]]:
    """All pages under what they are for; the very first is the one at ``/``."""
    return {
        _("Look"): [
            page("model", _("Model"), "deployed_code"),
            page("layers", _("Layers"), "stacks"),
            page("sensitivity", _("Sensitivity"), "monitor_heart"),
        ],
        _("Cut"): [
            page("plan", _("Plan"), "equalizer"),
            page("arena", _("Arena"), "stadium"),
            page("finetune", _("Prune and fine-tune"), "content_cut"),
            page("sparse", _("Sparse training"), "grain"),
        ],
        _("Judge"): [
            page("compare", _("Compare"), "scatter_plot"),
            page("robustness", _("Robustness"), "foggy"),
            page("ensembles", _("Ensembles"), "groups"),
        ],
        _("Take away"): [
            page("quantise", _("Quantise"), "compress"),
            page("export", _("Export"), "download"),
        ],
        _("Learn"): [page("methods", _("Methods"), "menu_book")],
    }


def page(name: str, title: str, icon: str) -> Page:
    """One page by the name of its script, which is its address as well."""
    return st.Page(
        PAGE_FOLDER / f"{name}.py",
        title=title,
        icon=f":material/{icon}:",
        url_path=None if name == "model" else name,
        default=name == "model",
    )


def show_links(targets: Mapping[str, Sequence[Page]], address: dict[str, str]) -> None:
    """Draw the links to the pages by section, each with the workspace in its address.

    Streamlit's own links drop the address's parameters, and putting them back costs the browser's
    Back button a second press.
    """
    for title, pages in targets.items():
        with st.container(gap=8):
            st.caption(title)
            for target in pages:
                st.page_link(target, query_params=address, width="stretch")
