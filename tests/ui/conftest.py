"""Fixtures of the page tests: the whole app from its entry point, without a browser."""

from pathlib import Path

import pytest
import streamlit as st
import torch  # noqa: F401  torch is in before the pages ask for it, as on a warm server
from streamlit.testing.v1 import AppTest

import workbench.model  # noqa: F401
from workbench.ui import plan_checks

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "workbench" / "ui" / "app.py"


@pytest.fixture(scope="session", autouse=True)
def fresh_caches():
    """What the server shares is made in this test run's own data folder."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def checks(monkeypatch):
    """Instant checks that measure nothing: ``asked`` holds the last wishes, ``answers`` is set."""
    still = StillChecks()
    monkeypatch.setattr(plan_checks, "quick_checks", lambda: still)
    return still


class StillChecks:
    """Remembers what was asked for, and answers what a test puts in, by repair."""

    def __init__(self):
        self.asked, self.retried, self.answers = (), (), {}

    def ask(self, _owner, wishes):
        self.asked = tuple(wishes)

    def retry(self, wishes):
        self.retried = tuple(wishes)

    def found(self, wish):
        return self.answers.get(wish.repair)


@pytest.fixture
def open_app(monkeypatch):
    """Open a browser session: ``open_app(ws=...)`` comes back to a workspace.

    ``model`` and ``data`` are what the server was started with.
    """

    def open_(ws: str = "", page: str = "", model: str = "", data: str = "") -> AppTest:
        monkeypatch.setenv("WORKBENCH_MODEL", model)
        monkeypatch.setenv("WORKBENCH_DATA", data)
        app = AppTest.from_file(ENTRY, default_timeout=120)
        if ws:
            app.query_params["ws"] = ws
        app.run()
        return go_to(app, page) if page else app

    return open_


def go_to(app: AppTest, page: str) -> AppTest:
    """Open another page of the same session, as the sidebar does: the address is dropped."""
    app.query_params.clear()
    return app.switch_page(f"../../pages/{page}.py").run()


def address(app: AppTest) -> str:
    """The workspace id in the address."""
    value = app.query_params["ws"]
    return value[0] if isinstance(value, list) else value
