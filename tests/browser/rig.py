"""Servers to test against and what to watch while a page is open."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request, Response, expect

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "artifacts"
HOST = "127.0.0.1"
TITLES = {
    "/": "Model",
    "/layers": "Layers",
    "/sensitivity": "Sensitivity",
    "/plan": "Plan",
    "/arena": "Arena",
    "/finetune": "Prune and fine-tune",
    "/sparse": "Sparse training",
    "/compare": "Compare",
    "/robustness": "Robustness",
    "/ensembles": "Ensembles",
    "/quantise": "Quantise",
    "/export": "Export",
    "/methods": "Methods",
}
PAGES = tuple(TITLES)
VIEWPORT = {"width": 1400, "height": 900}
# Generous, for machines that do other work as well; nothing waits longer than it has to.
expect.set_options(timeout=30_000)
_PROBES = re.compile(r"/_stcore/(health|host-config)$")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """One running workbench; ``stop`` and ``start`` again to test a restart.

    Attributes:
        home: Folder of its workspaces (WORKBENCH_HOME).
        port: Where it listens.
        command: What starts it; the port is added as the last word.
        environment: Added to this process's environment.
        cwd: Folder that it starts in; its home by default, so that nothing depends on the checkout.
    """

    home: Path
    port: int = field(default_factory=free_port)
    command: tuple[str, ...] = (sys.executable, "-m", "workbench", "run", "--port")
    environment: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Everything the server printed."""
        return self.home / "server.log"

    def start(self, timeout_s: float = 60) -> "Server":
        """Start, and wait until the server answers.

        Raises:
            RuntimeError: With the log, if the server ends or does not answer in time.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*self.command, str(self.port)],
                cwd=self.cwd or self.home,
                env=os.environ | {"WORKBENCH_HOME": str(self.home)} | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + timeout_s
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"The server did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        return self

    def is_healthy(self) -> bool:
        """Whether the server answers."""
        address = f"{self.url}/_stcore/health"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1) as answer:
            return answer.status == 200
        return False

    def stop(self) -> None:
        """End the server as a person does with Ctrl-C's kinder sibling, then by force."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server while it runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Watch:
    """Collects what must not happen on a page: errors, bad answers, requests to other hosts."""

    def __init__(self, page: Page) -> None:
        self.problems: list[str] = []
        self._tolerated: list[re.Pattern[str]] = []
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("console", self._on_console)
        page.on("response", self._on_response)
        page.on("request", self._on_request)

    def tolerate(self, pattern: str) -> None:
        """Let pass what matches, such as the lost connection of a server that a test stops."""
        self._tolerated.append(re.compile(pattern))

    def check(self) -> None:
        """Fail with everything that was seen and not tolerated."""
        problems = [
            problem
            for problem in self.problems
            if not any(pattern.search(problem) for pattern in self._tolerated)
        ]
        assert not problems, "\n".join(problems)

    def _on_console(self, message) -> None:
        # A failed load is told by its answer, which says the address as well.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _on_response(self, response: Response) -> None:
        # A deep link makes Streamlit probe for its base path; the wrong guesses are answered 404.
        if response.status >= 400 and not _PROBES.search(urlsplit(response.url).path):
            self.problems.append(f"answer {response.status}: {response.url}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.hostname != HOST:
            self.problems.append(f"request to another host: {request.url}")


# Playwright does not await promises here: the function itself remembers since when all is still.
_IS_SETTLED = """
() => {
    const app = document.querySelector("[data-testid=stApp]");
    const still = app && app.dataset.testScriptState === "notRunning"
        && app.dataset.testConnectionState === "CONNECTED"
        && document.querySelector("[data-testid=stMain] h1")
        && !document.querySelector("[data-testid^=stSkeleton], [data-stale=true]");
    const now = performance.now();
    window.stillSince = still ? window.stillSince ?? now : null;
    return still && now - window.stillSince >= 150;
}
"""


def settled(page: Page, timeout_ms: float = 60_000) -> None:
    """Wait until the page has a heading and has stood still for 150 ms."""
    page.evaluate("window.stillSince = null")
    page.wait_for_function(_IS_SETTLED, timeout=timeout_ms)


def has_no_error_box(page: Page) -> None:
    """Fail if the page shows a traceback or an error."""
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def screenshot(page: Page, name: str, *, full_page: bool = True) -> Path:
    """Save what the page shows as ``artifacts/NAME.png``.

    Streamlit scrolls a column inside the window, so the window is made as tall as the column first.
    """
    path = ARTIFACTS / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    if full_page and size:
        height = page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]');"
            " return m ? m.scrollHeight : document.body.scrollHeight; }"
        )
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
        settled(page)
    page.screenshot(path=path)
    if full_page and size:
        page.set_viewport_size(size)
    return path
