"""How long one pass through a network takes on this machine."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.device import on_device, wait_for
from workbench.errors import SettingsError
from workbench.names import suggest
from workbench.progress import Progress, Report, ShouldStop, StoppedError, ignore, never

try:
    import resource
except ImportError:  # Windows does not tell
    resource = None  # type: ignore[assignment]

MIN_RUNS = 20
WARM_UP_RUNS = 5
WARM_UP_SECONDS = 0.05
SAME = 0.03
"""Two times are the same unless they surely differ by more than this."""
UNCLEAR = 0.1
LONG_MS = 10.0
RUNTIMES: Mapping[str, str] = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime"}
"""Name to title of what can be timed."""

Pass = Callable[[], object]
"""One pass through a network; returns when all of it is done."""


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


@dataclass(frozen=True)
class LatencyComparison:
    """A dense and a pruned network timed in turns, in one run.

    Attributes:
        runtime: Name in ``RUNTIMES``.
        dense: Time of a pass through the dense network.
        pruned: Time of a pass through the pruned one.
        measured_speedup: Median over the turns of dense time divided by pruned time.
        speedup_low: The 95 % interval of that median, free of any assumption on the times.
        speedup_high: See ``speedup_low``.
    """

    runtime: str
    dense: Latency
    pruned: Latency
    measured_speedup: float
    speedup_low: float
    speedup_high: float

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` where that is sure, by more than 3 %; else ``same``.

        ``unclear`` where the interval reaches 10 % and more to one side: the machine was busy.
        """
        if self.speedup_low > 1 + SAME:
            return "faster"
        if self.speedup_high < 1 / (1 + SAME):
            return "slower"
        near = self.speedup_low > 1 / (1 + UNCLEAR) and self.speedup_high < 1 + UNCLEAR
        return "same" if near else "unclear"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LatencyComparison":
        """The reverse of ``to_dict``."""
        both = {key: Latency(**values[key]) for key in ("dense", "pruned")}
        return cls(**{**values, **both})


def measure_latency(
    module: nn.Module, input_shape: Sequence[int], *, batch: int = 1, threads: int | None = None,
    runs: int = 30, device: torch.device | str = "cpu", should_stop: ShouldStop = never,
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
        should_stop: Asked at every pass.

    Raises:
        SettingsError: If ``runs``, ``batch`` or ``threads`` is too small.
        StoppedError: If it was stopped before ``MIN_RUNS`` passes.
    """
    check_timing(runs, batch, threads)
    images = random_images(input_shape, batch).to(device)
    with cpu_threads(threads):
        times = time_in_turns(
            [torch_pass(on_device(module, device), images)], runs, should_stop=should_stop
        )
        used = torch.get_num_threads()
    if len(times[0]) < MIN_RUNS:
        raise StoppedError
    return summarise(times[0], batch, used)


def check_timing(runs: int, batch: int, threads: int | None) -> None:
    """Refuse settings that time nothing, or too little.

    Raises:
        SettingsError: If one of them is too small.
    """
    for name, value, least in (
        ("runs", runs, MIN_RUNS), ("batch", batch, 1), ("threads", threads or 1, 1)
    ):  # fmt: skip
        if value < least:
            raise SettingsError(f"{name} is {value}.", f"Choose at least {least}.")


def check_runtime(name: str) -> None:
    """Refuse a runtime that cannot be timed.

    Raises:
        SettingsError: If there is none of that name.
    """
    if name not in RUNTIMES:
        raise SettingsError(f"There is no runtime {name!r}.", suggest(name, RUNTIMES))


def random_images(input_shape: Sequence[int], batch: int) -> Tensor:
    """The same random images every time, ``(batch, *input_shape)``."""
    return torch.rand(batch, *input_shape, generator=torch.Generator().manual_seed(0))


def torch_pass(module: nn.Module, images: Tensor) -> Pass:
    """A pass through a network in PyTorch, which lies where the images lie."""

    def run() -> object:
        with torch.inference_mode():
            scores = module(images)
            wait_for(images.device)
        return scores

    return run


def onnx_pass(content: bytes, images: Tensor, threads: int) -> Pass:
    """A pass through an ONNX file in ONNX Runtime on the CPU.

    Threads do not spin after a pass, as they would by default: they would take the processor from
    the network that comes next.

    Args:
        content: The file.
        images: ``(batch, channels, height, width)``.
        threads: CPU threads.
    """
    import onnxruntime  # here, because only this needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised, too
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)


def time_in_turns(
    passes: Sequence[Pass], runs: int, *, report: Report = ignore, should_stop: ShouldStop = never
) -> list[list[float]]:
    """Time several networks in turns, A B C A B C ..., so that what disturbs one disturbs all.

    A pass during which the system gave the processor to another program is timed again, as long as
    there are not more of those than passes asked for; on a busy machine some stay in. Where a pass
    takes 10 ms and more none is repeated: on such a machine it would never go undisturbed.

    Args:
        passes: One for each network; all are warmed up first.
        runs: Turns.
        report: Hears of every turn.
        should_stop: Asked at every pass; ends with the whole turns so far.

    Returns:
        For each network its times in milliseconds, one a turn.
    """
    times: list[list[float]] = [[] for _ in passes]
    # All are repeated or none, for else the one that is would look faster.
    short = max(_warm_up(run, should_stop) for run in passes) < LONG_MS
    spare = runs * len(passes)
    with _no_garbage_collection():
        for turn in range(runs):
            taken: list[float] = []
            for run in passes:
                if should_stop():
                    return times
                took, again = _undisturbed_ms(run, spare if short else 0, should_stop)
                taken.append(took)
                spare -= again
            for own, took in zip(times, taken, strict=True):
                own.append(took)
            report(Progress(turn + 1, runs, "Timing in turns"))
    return times


def compare_times(
    runtime: str, dense: Sequence[float], pruned: Sequence[float], batch: int, threads: int
) -> LatencyComparison:
    """Put the times of two networks, taken in turns, side by side.

    Args:
        runtime: Name in ``RUNTIMES``.
        dense: Times of the dense network in milliseconds, one a turn.
        pruned: Those of the pruned one, of the same turns.
        batch: Images in a pass.
        threads: CPU threads.
    """
    quotients = [a / b for a, b in zip(dense, pruned, strict=True)]
    low, high = median_interval(quotients)
    return LatencyComparison(
        runtime, summarise(dense, batch, threads), summarise(pruned, batch, threads),
        statistics.median(quotients), low, high,
    )  # fmt: skip


def summarise(times: Sequence[float], batch: int, threads: int) -> Latency:
    """Median and quartiles of times in milliseconds."""
    low, median, high = statistics.quantiles(times, n=4)
    return Latency(median, low, high, len(times), batch, threads)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a median, from two of the sorted values.

    It assumes nothing about how the values are distributed; with 20 values it goes from the sixth
    smallest to the sixth largest.

    Args:
        values: At least six.

    Reference:
        Thompson 1936, "On Confidence Ranges for the Median".
    """
    count, ordered = len(values), sorted(values)
    below, outside = 0.0, -1
    for number in range(count):
        below += math.comb(count, number) / 2**count
        if below > 0.025:
            break
        outside = number
    outside = max(outside, 0)
    return ordered[outside], ordered[count - 1 - outside]


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """PyTorch computes with so many CPU threads inside; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Python's collector waits until the clock has stopped."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _warm_up(run: Pass, should_stop: ShouldStop) -> float:
    """Run until everything is in place; returns the time of the fastest pass in milliseconds."""
    end = time.perf_counter() + WARM_UP_SECONDS
    fastest, warm = math.inf, 0
    while (warm < WARM_UP_RUNS or time.perf_counter() < end) and not should_stop():
        start = time.perf_counter()
        run()
        fastest = min(fastest, (time.perf_counter() - start) * 1000)
        warm += 1
    return fastest


def _undisturbed_ms(run: Pass, spare: int, should_stop: ShouldStop) -> tuple[float, int]:
    """Time of a pass, and how often it was repeated, at most ``spare`` times."""
    repeated = 0
    while True:
        before = _interruptions()
        taken = _time_ms(run)
        if repeated == spare or _interruptions() == before or should_stop():
            return taken, repeated
        repeated += 1


def _interruptions() -> int:
    """How often the system took the processor from this process; 0 where it does not tell."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def _time_ms(run: Pass) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000
