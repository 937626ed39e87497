"""How long an allocation takes from ready curves.

    python -m tests.benchmarks.allocation_speed [--groups N] [--runs N]

A made-up network of 160 groups, and curves of a made-up shape with noise, for single weights and
for channels whose costs are products of what two groups keep. Printed is the median processor time
in milliseconds of every method that needs curves, on one thread, at five budgets in every unit, and
at the end the largest of all. The aim is 500 ms.
"""

import argparse
import statistics
import time

import torch

from tests.unit.made_up import made_up_curves, made_up_groups, made_up_latencies, made_up_model
from workbench.allocation import ALLOCATIONS, Budget, allocate

KEPT = (0.7, 0.5, 0.25, 0.125, 0.1)
UNITS = {"weight": ("params", "macs", "bytes"), "channel": ("params", "macs", "bytes", "latency")}


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", type=int, default=160)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    largest = 0.0
    for granularity, units in UNITS.items():
        for unit in units:
            for method in (name for name, entry in ALLOCATIONS.items() if entry.needs_curves):
                times = [
                    median_ms(arguments.groups, granularity, method, Budget(unit, kept),
                              arguments.runs)
                    for kept in KEPT
                ]  # fmt: skip
                largest = max(largest, *times)
                print(
                    f"{granularity:8} {unit:8} {method:10} "
                    + "  ".join(
                        f"{kept:g}: {taken:4.0f} ms"
                        for kept, taken in zip(KEPT, times, strict=True)
                    )
                )
    print(f"{arguments.groups} groups: at most {largest:.0f} ms")


def median_ms(count: int, granularity: str, method: str, budget: Budget, runs: int) -> float:
    """Median processor time of one allocation in milliseconds."""
    model, groups = made_up_model(), made_up_groups(count, granularity)
    curves = made_up_curves(groups, model)
    latencies = made_up_latencies(groups, model) if budget.unit == "latency" else None
    times = []
    for _ in range(runs):
        start = time.process_time()
        allocate(
            model, method, budget=budget, granularity=granularity, groups=groups, curves=curves,
            latencies=latencies,
        )  # fmt: skip
        times.append((time.process_time() - start) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
