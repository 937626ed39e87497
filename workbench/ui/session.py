"""What is on the bench: the workspace named in the address, mirrored for one browser session."""

import re
import secrets

import streamlit as st

_ADDRESS_KEY = "ws"
_SESSION_KEY = "workspace_id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9_-]{16,64}")


def open_workspace() -> None:
    """Find the workspace of this session and keep its id in the address.

    The address wins, so that a link or a reload brings its workspace back; navigation in the
    sidebar drops the address's parameters, and then the session remembers.
    """
    asked = st.query_params.get(_ADDRESS_KEY, "")
    if _WELL_FORMED.fullmatch(asked):
        st.session_state[_SESSION_KEY] = asked
    elif _SESSION_KEY not in st.session_state:
        st.session_state[_SESSION_KEY] = secrets.token_urlsafe(16)
    if asked != workspace_id():
        st.query_params[_ADDRESS_KEY] = workspace_id()


def workspace_id() -> str:
    """The unguessable id of the current workspace."""
    return str(st.session_state[_SESSION_KEY])
