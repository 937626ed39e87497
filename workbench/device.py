"""Where tensors are computed."""

import copy

import torch
from torch import nn

from workbench.errors import SettingsError
from workbench.names import suggest

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(requested: str | None = None) -> torch.device:
    """The device to compute on.

    Args:
        requested: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto`` or None takes CUDA where
            present, else MPS, else the CPU.

    Raises:
        SettingsError: If the device is unknown or absent from this machine.
    """
    if requested in (None, "", "auto"):
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if _count(kind)))
    kind, _, index = str(requested).partition(":")
    if kind not in DEVICES or (index and not index.isdecimal()):
        raise SettingsError(f"There is no device {requested!r}.", suggest(kind, DEVICES))
    if int(index or 0) >= _count(kind):
        raise SettingsError(
            f"This machine has no device {requested!r}.", "Choose 'auto' to take what it has."
        )
    return torch.device(str(requested))


def on_device(module: nn.Module, device: torch.device | str) -> nn.Module:
    """The module itself if it lies on the device and is in eval mode, else a copy that is."""
    device = torch.device(device)
    lies_there = all(_same(tensor.device, device) for tensor in _tensors(module))
    if lies_there and not any(part.training for part in module.modules()):
        return module
    return copy.deepcopy(module).to(device).eval()


def wait_for(device: torch.device | str) -> None:
    """Wait until the device has done all that was asked of it; clocks are read after this."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize()


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _same(one: torch.device, other: torch.device) -> bool:
    return one.type == other.type and (one.index or 0) == (other.index or 0)


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return 1
