"""Take a picture of every page, light and dark, into artifacts/screenshots.

    python -m tests.browser.screenshots [--url http://127.0.0.1:8501/?ws=...] [--readme]

Without an address a server of its own is started, so the pages show what a newcomer sees. With
``--readme`` the picture in the README is taken instead: the best plan of the usual sample.
"""

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser import hands, rig
from tests.browser.chromium import ARGUMENTS, find_chromium

README_PICTURE = rig.ROOT / "workbench" / "ui" / "static" / "screenshot.png"
README_SIZE = {"width": 1400, "height": 1230}


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


def take_readme(browser: Browser, url: str) -> None:
    """Save the plan page with the best plan, measured, as the picture in the README."""
    page = browser.new_context(viewport=README_SIZE).new_page()
    page.goto(urlunsplit(urlsplit(url)._replace(path="/plan")))
    rig.settled(page)
    hands.press(page, "4× fewer MACs, smallest loss")
    page.mouse.move(0, 0)
    hands.saved(page)
    tile = page.locator(".tile.measured").first
    expect(tile).to_contain_text("after full repair", timeout=hands.PATIENCE_MS)
    expect(tile).not_to_contain_text("being measured", timeout=hands.PATIENCE_MS)
    rig.settled(page)
    page.screenshot(path=README_PICTURE)
    print(README_PICTURE)


def main() -> None:
    """Start a server where no address is given, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="a running workbench and its workspace")
    parser.add_argument("--readme", action="store_true", help="only the picture in the README")
    arguments = parser.parse_args()
    url, shoot = arguments.url, take_readme if arguments.readme else take
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        if url:
            shoot(browser, url)
        else:
            with rig.running(rig.Server(home=Path(folder))) as server:
                shoot(browser, server.url)
        browser.close()


if __name__ == "__main__":
    main()
