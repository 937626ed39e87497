"""Where sensitivity is measured: on this machine, or by the workers of Ray."""

import os

import streamlit as st

from workbench.ui import session
from workbench.ui.i18n import _

RAY_VARIABLE = "WORKBENCH_RAY"
_SETTING = "measured_on"
_HERE = ""


def offered() -> list[str]:
    """Addresses of Ray to choose from, empty for this machine without it, which comes first.

    What is on the other side of an address can run code here, so whoever starts the app names it,
    not whoever opens a page.
    """
    from workbench.ray_points import LOCAL, has_ray

    named = os.environ.get(RAY_VARIABLE, "").strip()
    ours = [LOCAL] if has_ray() else []
    return list(dict.fromkeys([_HERE, *([named] if named else []), *ours]))


def chosen() -> str:
    """Address of the Ray that measures; empty for this machine without it."""
    kept = str(session.setting(_SETTING, _HERE))
    return kept if kept in offered() else _HERE


def ask() -> str:
    """A list of the places to measure at; gives the address."""
    found = offered()
    titles = {address: _title(address) for address in found}
    return str(
        st.selectbox(
            _("Measure on"), found, found.index(chosen()), format_func=titles.__getitem__,
            help=_help(),
            disabled=len(found) == 1,
        )
    )  # fmt: skip


def remember(address: str) -> None:
    """Measure there from now on."""
    if address != chosen():
        session.remember(**{_SETTING: address})


def _title(address: str) -> str:
    from workbench.ray_points import LOCAL

    if address == _HERE:
        return _("This machine")
    if address == LOCAL:
        return _("Ray, started on this machine")
    return _("Ray at {address}").format(address=address)


def _help() -> str:
    """What the choice means, and how to get more of it."""
    from workbench.ray_points import has_ray

    what = _("Ray measures with all processors of a machine or of a cluster, point by point alike.")
    if not has_ray():
        how = _("It is not installed here: pip install 'pruning-workbench[ray]'.")
    elif not os.environ.get(RAY_VARIABLE):
        how = _("To use a cluster, start the app with workbench --ray ADDRESS.")
    else:
        how = _("The address was given when the app was started.")
    return f"{what} {how}"
