"""Take a picture of every page, light and dark, into artifacts/screenshots.

    python -m tests.browser.screenshots [--url http://127.0.0.1:8501/?ws=...]

Without an address a server of its own is started, so the pages show what a newcomer sees.
"""

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from playwright.sync_api import Browser, sync_playwright

from tests.browser import rig
from tests.browser.chromium import ARGUMENTS, find_chromium


def take(browser: Browser, url: str) -> None:
    """Save NAME-light.png and NAME-dark.png for every page of a running server."""
    parts = urlsplit(url)
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=rig.VIEWPORT, color_scheme=scheme)
        page = context.new_page()
        for path in rig.PAGES:
            page.goto(urlunsplit(parts._replace(path=path)))
            rig.settled(page)
            name = path.strip("/") or "model"
            print(rig.screenshot(page, f"screenshots/{name}-{scheme}"))
        context.close()


def main() -> None:
    """Start a server where no address is given, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="a running workbench and its workspace")
    url = parser.parse_args().url
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        if url:
            take(browser, url)
        else:
            with rig.running(rig.Server(home=Path(folder))) as server:
                take(browser, server.url)
        browser.close()


if __name__ == "__main__":
    main()
