"""The catalogue on a page: a search, a family, and a card for every method."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from workbench.catalogue import find_method, search
from workbench.errors import SettingsError, WorkbenchError
from workbench.method import FAMILIES, NEEDS, Method
from workbench.ui import methods_trying, session
from workbench.ui.errors import plain, show_error
from workbench.ui.i18n import _
from workbench.ui.navigation import PAGE_FOLDER
from workbench.ui.warm import is_warm
from workbench.ui.words import explain

METHOD_KEY, FAMILY_KEY = "method", "family"
"""What an address may name: a method, and its family where the word means two."""
_MOST_WORDS = 60


def show_catalogue() -> list[str]:
    """Search, family, how methods are tried, and the cards; gives the families that are shown."""
    linked = _linked()
    words = st.text_input(
        _("Search"), key="methods_search", max_chars=_MOST_WORDS, icon=":material/search:",
        placeholder=_("a word of any text"), persist_state="session", width=420,
        help=_("Shows the methods of all families that tell of all these words."),
    )  # fmt: skip
    family = _choose_family(linked[0] if linked else "")
    if is_warm():
        methods_trying.show_settings(family)
    found = search(words) if words.strip() else {family: search("")[family]}
    if not found:
        st.info(
            _("No method tells of {words}. Try one word of it.").format(words=plain(words)),
            icon=":material/search_off:",
        )
    for where, those in found.items():
        if words.strip():
            st.subheader(family_title(where), anchor=False)
        _show_family(where, those, linked)
    return list(found)


def family_titles() -> dict[str, str]:
    """Short names of the families, as they stand on the control."""
    return {
        "criterion": _("Criteria"),
        "allocation": _("Allocation"),
        "repair": _("Repair"),
        "schedule": _("Schedules"),
        "sparse_training": _("Sparse training"),
        "finetuning": _("Fine-tuning"),
        "replacement": _("Quantise"),
        "ensemble": _("Ensembles"),
        "corruption": _("Corruptions"),
    }


def family_title(family: str) -> str:
    """What a family's methods decide."""
    return _(FAMILIES[family])


def link_to_method(family: str, name: str, label: str = "") -> None:
    """Draw a link to one method's card."""
    st.page_link(
        PAGE_FOLDER / "methods.py", label=label or _("Explained in the catalogue"),
        icon=":material/menu_book:",
        query_params={
            session.ADDRESS_KEY: session.workspace_id(), METHOD_KEY: name, FAMILY_KEY: family,
        },
    )  # fmt: skip


def _linked() -> tuple[str, Method] | None:
    """The method that the address names; a wrong name is told and opens nothing."""
    name, family = (str(st.query_params.get(key, "")) for key in (METHOD_KEY, FAMILY_KEY))
    if not name and not family:
        return None
    try:
        if not name and family in FAMILIES:
            return family, next(iter(search("")[family].values()))
        return find_method(name[:_MOST_WORDS], family[:_MOST_WORDS])
    except SettingsError as error:
        show_error(
            WorkbenchError(
                _("The link leads to no method: {message}").format(message=error.message),
                error.hint,
            )
        )
        return None


def _choose_family(linked: str) -> str:
    """The family that is shown: that of the link, until another is chosen."""
    titles = {name: title for name, title in family_titles().items() if name in search("")}
    first = linked if linked in titles else next(iter(titles))
    family = st.segmented_control(
        _("Family"), list(titles), format_func=titles.__getitem__, default=first, required=True,
        key=f"methods_family_{linked}", persist_state="session",
        help=explain("catalogue"),
    )  # fmt: skip
    return str(family)


def _show_family(
    family: str, those: Mapping[str, Method], linked: tuple[str, Method] | None
) -> None:  # fmt: skip
    """A card for every method of a family, that of the link first."""
    named = linked[1].name if linked and linked[0] == family else ""
    opened = named or (next(iter(those)) if len(those) == 1 else "")
    for name, method in sorted(those.items(), key=lambda one: one[0] != named):
        busy = methods_trying.is_of(family, name)
        title = f"**{plain(method.title)}** · {plain(method.summary)}"
        with st.expander(title, expanded=busy or name == opened, key=f"method_{family}_{name}"):
            _show_card(family, method)


def _show_card(family: str, method: Method) -> None:
    """All that a method tells, what it costs here, and how it did."""
    text, facts = st.columns([1.7, 1], gap="large")
    with text:
        st.write(plain(method.explanation))
        if method.formula:
            st.latex(method.formula)
    with facts:
        st.markdown(_(":green[:material/thumb_up:] {text}").format(text=plain(method.strengths)))
        st.markdown(_(":orange[:material/warning:] {text}").format(text=plain(method.limits)))
        needs = " ".join(_(NEEDS[need]) for need in method.needs)
        st.caption(_("**Needs** {needs}").format(needs=plain(needs)))
        paper = method.paper or _("Ours; there is no paper.")
        st.caption(_("**Paper** {paper}").format(paper=plain(paper)))
        if is_warm():
            methods_trying.show_cost(family, method)
        st.caption(_("**Name in plans and commands** `{name}`").format(name=method.name))
        link_to_method(family, method.name, _("Link to this method"))
    if is_warm():
        methods_trying.show_trial(family, method)
