"""Torch comes in behind the first page, so that the first numbers never wait for it."""

import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable

import streamlit as st

from workbench.ui.errors import fragment

DELAY_S = 1.0
POLL_S = 0.25


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Event:
    """Start, once per server, to import torch a second from now; the event tells when it is in.

    A thread that imports at once would fight with the first page for the interpreter.
    """
    ready = threading.Event()
    if "workbench.model" in sys.modules and "torch.nn" in sys.modules:
        ready.set()
    else:
        timer = threading.Timer(DELAY_S, _import_torch, (ready,))
        timer.daemon = True
        timer.start()
    return ready


def _import_torch(ready: threading.Event) -> None:
    """Import torch, run one tiny network forward and back, and freeze the collector's objects."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not starve a job
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("workbench.model")
        network = torch.nn.Linear(2, 2)
        network(torch.zeros(1, 2)).sum().backward()
        gc.collect()
        gc.freeze()
    finally:
        ready.set()


def is_warm() -> bool:
    """Whether a page may use torch without making a person wait for its import."""
    return warm_up().is_set()


def when_warm(body: Callable[[], None], height: int) -> None:
    """Draw ``body`` once torch is in; until then a placeholder of the same height in pixels."""
    if is_warm():
        body()
    else:
        st.skeleton(height=height)


def rerun_when_warm() -> None:
    """Draw the page again as soon as torch is in; does nothing where it is in already."""

    def wait() -> None:
        if is_warm():
            st.rerun()

    if not is_warm():
        fragment(wait, run_every=POLL_S)
