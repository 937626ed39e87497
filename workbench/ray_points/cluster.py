"""The connection to a Ray cluster: quiet, checked before it is tried, closed after use."""

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from workbench.errors import JobError, SettingsError

LOCAL = "local"
AUTO = "auto"
REACH_SECONDS = 3.0
_LEAST_STORE = 100 * 2**20
_ADDRESSES = (
    "Give 'local' to start it here, 'auto' for the one that runs here, or HOST:PORT or "
    "ray://HOST:PORT."
)
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def check_address(address: str) -> None:
    """Refuse what cannot be an address.

    Raises:
        SettingsError: With what can be one.
    """
    if address in (LOCAL, AUTO):
        return
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        port = parts.port
    except ValueError:
        port = None
    if not port or not parts.hostname or parts.scheme not in ("", "ray"):
        raise SettingsError(f"{address!r} is no address of Ray.", _ADDRESSES)


def named(address: str) -> str:
    """How messages call the cluster at an address."""
    return "Ray on this machine" if address in (LOCAL, AUTO) else f"Ray at {address}"


@contextmanager
def connected(address: str, size: int) -> Iterator[Any]:
    """Ray, connected; a connection made here ends here.

    Args:
        address: As for ``ray_points``.
        size: Bytes that its shared memory has to hold.

    Raises:
        JobError: If it cannot be reached or started.
    """
    with _environment(_QUIET | (_closed_to_others() if address == LOCAL else {})):
        import ray
        import ray.exceptions

        if ray.is_initialized():
            yield ray
            return
        here: dict[str, Any] = {
            "num_cpus": os.cpu_count() or 1, "include_dashboard": False,
            "object_store_memory": max(_LEAST_STORE, 2 * size), "_node_ip_address": "127.0.0.1",
        }  # fmt: skip
        try:
            ray.init(
                address=address, namespace="workbench", log_to_driver=False,
                logging_level=logging.ERROR, **(here if address == LOCAL else {}),
            )  # fmt: skip
        except Exception as error:
            reason = str(error).strip().split("\n")[0].partition(". ")[0]
            raise _unreachable(address, reason) from error
        try:
            yield ray
        finally:
            ray.shutdown()


@lru_cache(maxsize=1)
def _closed_to_others() -> dict[str, str]:
    """What keeps others away from a cluster started here: only this machine, only with a secret.

    Whoever reaches a cluster can run code on it. Ray reads these variables once, when it is
    imported: where it was already, it looks after this itself.
    """
    if "ray" in sys.modules:
        return {}
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listen on the loopback interface alone
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # in no file
    }


def check_reachable(address: str) -> None:
    """Refuse an address where nobody listens, at once: Ray itself would try for long.

    Raises:
        JobError: If nobody does.
    """
    if address in (LOCAL, AUTO):
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), REACH_SECONDS).close()
    except ConnectionRefusedError as error:
        raise _unreachable(address, "nothing listens there") from error
    except socket.gaierror as error:
        raise _unreachable(address, "there is no such host") from error
    except TimeoutError as error:
        raise _unreachable(address, f"no answer in {REACH_SECONDS:g} s") from error
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> JobError:
    if address == LOCAL:
        return JobError(
            f"Ray could not be started on this machine: {reason.rstrip('.')}.",
            "Measure without it.",
        )
    return JobError(
        f"{named(address)} cannot be reached: {reason.rstrip('.')}.",
        "Start it (ray start --head) or correct the address; nothing that was measured is lost.",
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that have no value yet, for a while."""
    fresh = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(fresh)
    try:
        yield
    finally:
        for name in fresh:
            os.environ.pop(name, None)
