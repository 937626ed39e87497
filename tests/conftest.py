"""What every test may rely on: its own data folder, no network, reproducible properties."""

import os
import socket

import pytest
from hypothesis import HealthCheck, settings

# Tiny networks are slower on two threads than on one, much slower where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile(
    "workbench",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("workbench")

_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory):
    """The data folder of this test run, so that no test touches a person's own workspaces."""
    folder = tmp_path_factory.mktemp("workbench-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """Refuse every connection that leaves this machine: the workbench works offline."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else ""
        if host and not str(host).startswith(_LOOPBACK):
            raise AssertionError(f"A test tried to reach {host}.")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
