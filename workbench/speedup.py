"""Measured speedup: a dense and a pruned network timed beside each other in one runtime."""

import torch

from workbench.export.formats import onnx_bytes, trace
from workbench.latency import (
    MIN_RUNS,
    LatencyComparison,
    Pass,
    check_runtime,
    check_timing,
    compare_times,
    cpu_threads,
    onnx_pass,
    random_images,
    time_in_turns,
    torch_pass,
)
from workbench.model import Model
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    abandonable,
    ignore,
    never,
)

RUNS = 60


def measure_speedup(
    dense: Model, pruned: Model, *, runtime: str = "onnxruntime", batch: int = 1,
    threads: int = 1, runs: int = RUNS, report: Report = ignore, should_stop: ShouldStop = never,
) -> LatencyComparison | None:  # fmt: skip
    """Time a dense and a pruned network in turns, A B A B ..., on the CPU.

    Args:
        dense: The network before pruning.
        pruned: The same after it, with zeros or with fewer channels.
        runtime: ``torch`` or ``onnxruntime``; for the latter both are written as ONNX first.
        batch: Images in a pass.
        threads: CPU threads.
        runs: Turns to measure after the warm-up, at least 20.
        report: Hears of every step.
        should_stop: Ends early, with the turns so far if they are at least 20.

    Returns:
        Both latencies and the measured speedup, or None if it was stopped too early.

    Raises:
        SettingsError: If the runtime is unknown or ``runs``, ``batch`` or ``threads`` too small.
        ExportError: If a network cannot be written as ONNX.
    """
    check_runtime(runtime)
    check_timing(runs, batch, threads)
    passes = []
    with cpu_threads(threads):
        for number, model in enumerate((dense, pruned)):
            report(Progress(number, 2 + runs, "Writing ONNX" if runtime != "torch" else "Loading"))
            if should_stop():
                return None
            try:
                passes.append(make_pass(model, runtime, batch, threads, should_stop))
            except StoppedError:
                return None

        def turn(progress: Progress) -> None:
            report(Progress(2 + progress.done, 2 + runs, progress.message))

        times = time_in_turns(passes, runs, report=turn, should_stop=should_stop)
    if len(times[0]) < MIN_RUNS:
        return None
    return compare_times(runtime, times[0], times[1], batch, threads)


def make_pass(
    model: Model, runtime: str, batch: int, threads: int, should_stop: ShouldStop = never
) -> Pass:
    """A pass of random images through a model on the CPU, ready to be timed.

    Raises:
        ExportError: If it is to run in ONNX Runtime and cannot be written as ONNX.
        StoppedError: If it should stop.
    """
    images = random_images(model.input_shape, batch)
    if runtime == "torch":
        return torch_pass(model.copy_module().cpu().eval(), images)
    return onnx_pass(write_onnx(model, should_stop), images, threads)


def write_onnx(model: Model, should_stop: ShouldStop = never) -> bytes:
    """A model as an ONNX file, as an export writes it.

    Raises:
        ExportError: If it cannot be written as ONNX.
        StoppedError: If it should stop.
    """
    module = model.copy_module().cpu().eval()
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return abandonable(lambda: onnx_bytes(trace(module, model.input_shape), {}), should_stop)
