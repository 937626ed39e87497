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
_PENDING = "_errors_of_callbacks"


def plain(text: str) -> str:
    """Text that Markdown shows as it stands, underscores and dollar signs included."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$<>~:])", r"\\\1", text)


def show_error(error: WorkbenchError) -> None:
    """Show a refusal: what is true as headline, what to do next below it."""
    hint = f"\n\n{plain(error.hint)}" if error.hint else ""
    st.error(f"**{plain(error.message)}**{hint}", icon=":material/error:")


def show_fault(error: Exception) -> None:
    """Show one friendly box with a number; the traceback goes to the server's log under it."""
    number = secrets.token_hex(3)
    _log.error("Fault %s", number, exc_info=error)
    headline = _("Something went wrong on our side (fault {number}).").format(number=number)
    hint = _("Nothing you made is lost. Reload the page; the server's log tells more.")
    st.error(f"**{headline}**\n\n{hint}", icon=":material/bug_report:")


@contextmanager
def guard() -> Iterator[None]:
    """Turn what the code inside raises into a box on the page."""
    try:
        yield
    except WorkbenchError as error:
        show_error(error)
    except Exception as error:
        show_fault(error)


def guarded(body: Callable[P, None]) -> Callable[P, None]:
    """Guard a function that draws, such as the body of a fragment."""

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with guard():
            body(*args, **kwargs)

    return run


def callback(action: Callable[P, None]) -> Callable[P, None]:
    """Guard a widget's callback; what it raises is shown at the top of the page drawn next."""

    @wraps(action)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            action(*args, **kwargs)
        except Exception as error:
            st.session_state[_PENDING] = error

    return run


def show_errors_of_callbacks() -> None:
    """Show, once, what the callback before this run raised."""
    error = st.session_state.pop(_PENDING, None)
    if isinstance(error, WorkbenchError):
        show_error(error)
    elif error is not None:
        show_fault(error)


def fragment(body: Callable[[], None], *, run_every: float | None = None) -> None:
    """Draw a part of the page that reruns alone, guarded; ``run_every`` in seconds polls."""
    st.fragment(guarded(body), run_every=run_every)()
