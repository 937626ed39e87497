"""How a refusal or a fault of ours looks on a page: a headline, a hint, never a traceback."""

import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.ui.i18n import _

P = ParamSpec("P")
_log = logging.getLogger("workbench.ui")
_NOTICES = "_notices"


def plain(text: str) -> str:
    """Text that Markdown shows as it stands, underscores and dollar signs included."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$<>~:])", r"\\\1", text)


def show_error(error: WorkbenchError) -> None:
    """Show a refusal: what is true as headline, what to do next below it."""
    hint = f"\n\n{plain(error.hint)}" if error.hint else ""
    st.error(f"**{plain(error.message)}**{hint}", icon=":material/error:")


def fault_of(error: Exception) -> WorkbenchError:
    """What a person is told about a fault of ours; the traceback goes to the server's log."""
    number = secrets.token_hex(3)
    _log.error("Fault %s", number, exc_info=error)
    return WorkbenchError(
        _("Something went wrong on our side (fault {number}).").format(number=number),
        _("Nothing you made is lost. Reload the page; the server's log tells more."),
    )


@contextmanager
def guard() -> Iterator[None]:
    """Turn what the code inside raises into a box on the page."""
    try:
        yield
    except WorkbenchError as error:
        show_error(error)
    except Exception as error:
        show_error(fault_of(error))


def guarded(body: Callable[P, None]) -> Callable[P, None]:
    """Guard a function that draws, such as the body of a fragment."""

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with guard():
            body(*args, **kwargs)

    return run


def callback(action: Callable[P, None]) -> Callable[P, None]:
    """Guard a widget's callback; what it raises stands above the page until the next one."""

    @wraps(action)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        st.session_state.pop(_NOTICES, None)
        try:
            action(*args, **kwargs)
        except WorkbenchError as error:
            notify(error)
        except Exception as error:
            notify(fault_of(error))

    return run


def notify(error: WorkbenchError) -> None:
    """Keep a refusal above the page until it is dismissed or the next action succeeds."""
    st.session_state.setdefault(_NOTICES, []).append(error)


def show_notices() -> None:
    """Show what was refused before this run."""
    notices: list[WorkbenchError] = st.session_state.get(_NOTICES, [])
    for error in notices:
        show_error(error)
    if notices:
        st.button(_("Dismiss"), icon=":material/close:", on_click=notices.clear, key="dismiss")


def fragment(body: Callable[[], None], *, run_every: float | None = None) -> None:
    """Draw a part of the page that reruns alone, guarded; ``run_every`` in seconds polls."""
    st.fragment(guarded(body), run_every=run_every)()
