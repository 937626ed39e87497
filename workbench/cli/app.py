"""The verb ``run``: check what it was given and make Streamlit's command line of it."""

import os
import socket
import sys
from argparse import Namespace
from pathlib import Path

from workbench.cli.choices import DEVICES, check_choice
from workbench.errors import SettingsError
from workbench.loading.samples import (
    sample_arrays,
    sample_data_names,
    sample_names,
    sample_weights,
)

ENTRY = Path(__file__).resolve().parents[1] / "ui" / "app.py"
FLAGS = (
    "--browser.gatherUsageStats", "false", "--server.showEmailPrompt", "false",
    "--global.developmentMode", "false",
)  # fmt: skip


def prepare(arguments: Namespace) -> list[str]:
    """Hand the choices to the app through the environment; return the words for Streamlit.

    Raises:
        LoadError: If the model is neither a sample nor a file nor a factory.
        DataError: If the data are neither a sample nor a file.
        SettingsError: If the device is unknown or the port is taken.
    """
    settings = {
        "WORKBENCH_MODEL": _model(arguments.model),
        "WORKBENCH_DATA": _data(arguments.data),
        "WORKBENCH_HOME": str(Path(arguments.home).absolute()) if arguments.home else "",
        "WORKBENCH_DEVICE": _device(arguments.device),
        "WORKBENCH_RAY": arguments.ray or "",
    }
    _check_port(arguments.host, arguments.port)
    os.environ.update({name: value for name, value in settings.items() if value})
    quiet = arguments.no_browser or not sys.stdout.isatty()
    return [
        "run", str(ENTRY), *FLAGS, "--server.address", arguments.host,
        "--server.port", str(arguments.port), "--server.headless", str(quiet).lower(),
    ]  # fmt: skip


def _model(source: str | None) -> str:
    if not source or source in sample_names():
        return source or ""
    if Path(source).exists():
        return str(Path(source).absolute())
    if ":" in source and not Path(source).suffix:
        add_current_folder()
        return source
    sample_weights(source)
    return source


def _data(source: str | None) -> str:
    if not source or source in sample_data_names():
        return source or ""
    if not Path(source).exists():
        sample_arrays(source)
    return str(Path(source).absolute())


def _device(name: str | None) -> str:
    if name:
        check_choice("device", name.partition(":")[0], DEVICES)
    return name or ""


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise SettingsError(
            f"The app cannot listen on {host}, port {port}: {error.strerror or error}.",
            f"Choose another port, such as --port {port + 1 if port < 65535 else 8501}.",
        ) from error


def add_current_folder() -> None:
    """Let ``package.module:factory`` find modules in the folder the command was started in."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
