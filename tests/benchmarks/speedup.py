"""Measured speedup beside the theoretical one, half of the channels of every group removed.

Run: python -m tests.benchmarks.speedup [--models fashion-resnet20 fashion-mobilenet]
     [--sparsity 0.5] [--runs 60] [--json FILE]

Dense and pruned network are timed in turns in one process, in PyTorch and in ONNX Runtime, with 1
and 32 images at once and with 1 and 2 threads. A speedup is the median over the turns of dense time
divided by pruned time, in brackets its 95 % interval. The weights play no part, so nothing is
repaired. Run it on a machine that does nothing else.
"""

import argparse
import json
import os
from pathlib import Path

import torch

import workbench as wb
from workbench.latency import (
    RUNTIMES,
    LatencyComparison,
    compare_times,
    cpu_threads,
    onnx_pass,
    random_images,
    time_in_turns,
    torch_pass,
)
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.saving import theoretical_speedup
from workbench.speedup import write_onnx

BATCHES, THREADS = (1, 32), (1, 2)


def timed(
    dense: Model, pruned: Model, files: tuple[bytes, bytes], runtime: str, batch: int,
    threads: int, runs: int,
) -> LatencyComparison:  # fmt: skip
    """Dense and pruned in turns; the ONNX files are written once for all settings."""
    images = random_images(dense.input_shape, batch)
    with cpu_threads(threads):
        if runtime == "torch":
            passes = [torch_pass(model.module, images) for model in (dense, pruned)]
        else:
            passes = [onnx_pass(file, images, threads) for file in files]
        one, other = time_in_turns(passes, runs)
    return compare_times(runtime, one, other, batch, threads)


def half_of_every_group(model: Model, sparsity: float, multiple: int) -> PruningPlan:
    """The same part of every group that can be cut and is not protected."""
    plan = wb.allocate(model, "uniform", sparsity=sparsity, granularity="channel")
    return PruningPlan.from_dict(plan.to_dict() | {"channel_multiple": multiple})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["fashion-resnet20", "fashion-mobilenet"])
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--multiple", type=int, default=1, help="kept channels: a multiple of it")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        model = wb.load_model(name)
        plan = half_of_every_group(model, arguments.sparsity, arguments.multiple)
        pruned = wb.prune(model, plan)
        theory = theoretical_speedup(pruned)
        files = (write_onnx(model), write_onnx(pruned.model))
        print(
            f"\n{name}: {arguments.sparsity:.0%} of the channels of every group, "
            f"theoretical speedup {theory:.2f}x, {os.cpu_count()} cores, torch {torch.__version__}"
        )
        print("| runtime | images | threads | dense | pruned | measured speedup |")
        print("| --- | --- | --- | --- | --- | --- |")
        for runtime in RUNTIMES:
            for batch in BATCHES:
                for threads in THREADS:
                    found = timed(
                        model, pruned.model, files, runtime, batch, threads, arguments.runs
                    )
                    print(row(found), flush=True)
                    rows.append({"model": name, "theoretical_speedup": theory, **found.to_dict()})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


def row(found: LatencyComparison) -> str:
    """One line of the table."""
    dense, pruned = (
        f"{time.median_ms:.3g} ms ({time.low_ms:.3g} to {time.high_ms:.3g})"
        for time in (found.dense, found.pruned)
    )
    return (
        f"| {RUNTIMES[found.runtime]} | {found.dense.batch} | {found.dense.threads} | {dense} | "
        f"{pruned} | **{found.measured_speedup:.2f}x** ({found.speedup_low:.2f} to "
        f"{found.speedup_high:.2f}) |"
    )


if __name__ == "__main__":
    main()
