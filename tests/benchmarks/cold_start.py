"""Seconds from starting a fresh server to the first numbers on the screen.

    python -m tests.benchmarks.cold_start [--repeats 5]

Every repeat is a new server with an empty data folder and a new browser profile; the browser itself
already runs. The clock starts before the server's process does.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser import rig
from tests.browser.chromium import ARGUMENTS, find_chromium


def cold_start(browser: Browser, path: str, home: Path) -> tuple[float, float]:
    """Seconds until the server answers, and until the page shows its first number."""
    started = time.perf_counter()
    with rig.running(rig.Server(home=home)) as server:
        answered = time.perf_counter() - started
        context = browser.new_context(viewport=rig.VIEWPORT)
        page = context.new_page()
        page.goto(server.url + path)
        page.get_by_test_id("stMetricValue").first.wait_for(timeout=60_000)
        shown = time.perf_counter() - started
        context.close()
    return answered, shown


def main() -> None:
    """Print the median and the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--path", default="/", help="the page that is opened first")
    options = parser.parse_args()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        seconds = [
            cold_start(browser, options.path, Path(folder) / str(number))
            for number in range(options.repeats)
        ]
        browser.close()
    for name, values in zip(
        ("server answers", "first numbers on screen"), zip(*seconds, strict=True), strict=True
    ):
        print(
            f"{name}: median {statistics.median(values):.2f} s,"
            f" {min(values):.2f} to {max(values):.2f} s, {len(values)} starts"
        )


if __name__ == "__main__":
    main()
