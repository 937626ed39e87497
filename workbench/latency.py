"""How long one pass through a network takes on this machine."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from workbench.device import on_device, wait_for
from workbench.errors import SettingsError

MIN_RUNS = 20
WARM_UP_RUNS = 5
WARM_UP_SECONDS = 0.05


@dataclass(frozen=True)
class Latency:
    """Time of one pass, measured.

    Attributes:
        median_ms: Median of all runs, in milliseconds.
        low_ms: Lower quartile.
        high_ms: Upper quartile.
        runs: Measured runs, warm-up not counted.
        batch: Images in a pass.
        threads: CPU threads.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    runs: int
    batch: int
    threads: int

    @property
    def spread_ms(self) -> float:
        """Distance between the quartiles."""
        return self.high_ms - self.low_ms


def measure_latency(
    module: nn.Module, input_shape: Sequence[int], *, batch: int = 1, threads: int | None = None,
    runs: int = 30, device: torch.device | str = "cpu",
) -> Latency:  # fmt: skip
    """Time passes of random images through a network in PyTorch, after a warm-up.

    Zeros in the weights cost as much as other numbers here: what a masked model saves shows in
    its theoretical MACs and in its stored bytes, not in this figure.

    Args:
        module: The network; it stays as it is.
        input_shape: ``(channels, height, width)`` of one image.
        batch: Images in a pass.
        threads: CPU threads; None leaves them as they are.
        runs: Passes to measure, at least 20.
        device: Where to run.

    Raises:
        SettingsError: If ``runs``, ``batch`` or ``threads`` is too small.
    """
    for name, value, least in (
        ("runs", runs, MIN_RUNS), ("batch", batch, 1), ("threads", threads or 1, 1)
    ):  # fmt: skip
        if value < least:
            raise SettingsError(f"{name} is {value}.", f"Choose at least {least}.")
    module = on_device(module, device)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, *input_shape, generator=generator).to(device)
    with _threads(threads), torch.inference_mode():
        end = time.perf_counter() + WARM_UP_SECONDS
        warm = 0
        while warm < WARM_UP_RUNS or time.perf_counter() < end:
            module(images)
            warm += 1
        times = [_time_ms(module, images) for _ in range(runs)]
        used = torch.get_num_threads()
    low, median, high = statistics.quantiles(times, n=4)
    return Latency(median, low, high, runs, batch, used)


def _time_ms(module: nn.Module, images: torch.Tensor) -> float:
    wait_for(images.device)
    start = time.perf_counter()
    module(images)
    wait_for(images.device)
    return (time.perf_counter() - start) * 1000


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
