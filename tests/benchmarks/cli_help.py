"""Seconds that the command line takes to help: ``python -m tests.benchmarks.cli_help``.

Every repeat is a fresh interpreter, timed from outside; the bare interpreter is timed beside it.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

COMMANDS = {
    "bare interpreter": ("-c", "pass"),
    "import workbench": ("-c", "import workbench"),
    "import workbench.cli": ("-c", "import workbench.cli"),
    "workbench --help": ("-m", "workbench", "--help"),
    "workbench prune --help": ("-m", "workbench", "prune", "--help"),
}


def seconds(command: Sequence[str]) -> float:
    """Time of one run in a fresh interpreter."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    """Print the median and the slowest of each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    for name, command in COMMANDS.items():
        times = [seconds(command) for _ in range(repeats)]
        median, slowest = statistics.median(times), max(times)
        print(f"{name:24} median {median:.3f} s, slowest {slowest:.3f} s (limit 1 s, n={repeats})")


if __name__ == "__main__":
    main()
