"""Where Chromium is; run as a script, get one where there is none.

    python -m tests.browser.chromium

Looked for in this order: the path in the environment variable CHROMIUM, a ``chromium`` on the PATH,
Playwright's own download.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    """Path of a Chromium, or None where there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    for name in NAMES:
        if path := shutil.which(name):
            return path
    return _playwright_chromium()


def _playwright_chromium() -> str | None:
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return str(path) if path.is_file() else None


def get_chromium() -> None:
    """Install Chromium from the system's packages, or let Playwright download its own."""
    apt = shutil.which("apt-get")
    sudo = [] if getattr(os, "geteuid", lambda: 1)() == 0 else ["sudo", "-n"]
    if apt and (not sudo or shutil.which("sudo")):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in ([apt, "update", "-qq"], [apt, "install", "-y", "-qq", "chromium"]):
            print("+", *sudo, *command, flush=True)
            subprocess.run(
                [*sudo, *command], check=False, env=environment, stdin=subprocess.DEVNULL
            )
        if find_chromium():
            return
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    print("+", *command, flush=True)
    subprocess.run(command, check=False, stdin=subprocess.DEVNULL)


def main() -> None:
    """Exit with status 1 and a sentence where no Chromium could be had."""
    if not find_chromium():
        print("The browser tests need Chromium; getting one.", flush=True)
        get_chromium()
    path = find_chromium()
    if not path:
        sys.exit(
            "No Chromium was found and none could be installed. "
            "Install one, or set CHROMIUM to the path of one."
        )
    print(f"Browser tests use {path}.")


if __name__ == "__main__":
    main()
