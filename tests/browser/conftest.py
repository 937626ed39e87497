"""Fixtures of the browser tests: servers, a browser, and pages that are watched.

A test takes ``server`` and ``page`` and calls ``page.goto(server.url + "/layers")``. It fails by
itself on any page error, console error, HTTP answer of 400 or more, and request to another host
than this one.
"""

import re

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import rig
from tests.browser.chromium import ARGUMENTS, find_chromium

_REPORT = pytest.StashKey[pytest.TestReport]()
_SERVERS = pytest.StashKey[list[rig.Server]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep the outcome for the pages' way out, and show the running servers' logs of a failure."""
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
        if report.failed:
            for server in item.session.stash.get(_SERVERS, []):
                if server.process:
                    log = server.log.read_text()[-4000:]
                    report.sections.append((f"log of {server.url}", log))
    return report


@pytest.fixture(scope="session")
def start_server(tmp_path_factory, request):
    """Start more servers, for cold starts and restarts: ``start_server()`` returns a Server."""
    servers = request.session.stash.setdefault(_SERVERS, [])

    def start(**options) -> rig.Server:
        options.setdefault("home", tmp_path_factory.mktemp("home"))
        servers.append(rig.Server(**options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start_server) -> rig.Server:
    """The server that most tests share; each page opens a workspace of its own in it."""
    return start_server()


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; a machine without one fails, it does not skip."""
    path = find_chromium()
    if path is None:
        pytest.fail("No Chromium was found; `make browser` gets one, or set CHROMIUM to its path.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def color_scheme() -> str:
    """``light``; ``@pytest.mark.parametrize("color_scheme", ["light", "dark"])`` gives both."""
    return "light"


@pytest.fixture
def open_page(chromium, color_scheme, request):
    """Open pages, each in a browser profile of its own: ``open_page(viewport=..., ...)``.

    ``page.watch.tolerate(pattern)`` lets expected errors pass.
    """
    pages = []

    def open_one(**options):
        options = {"viewport": rig.VIEWPORT, "color_scheme": color_scheme} | options
        context = chromium.new_context(**options)
        page = context.new_page()
        page.watch = rig.Watch(page)
        pages.append(page)
        return page

    yield open_one
    report = request.node.stash.get(_REPORT, None)
    failed = report is None or report.failed
    name = re.sub(r"[^\w.-]+", "_", request.node.name)
    for number, page in enumerate(pages):
        if (failed or page.watch.problems) and not page.is_closed():
            folder = rig.ARTIFACTS / "failures"
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{name}-{number}.png")
        page.context.close()
    for page in pages:
        page.watch.check()


@pytest.fixture
def page(open_page):
    """One watched page of 1400 x 900."""
    return open_page()
