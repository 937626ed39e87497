"""What a pruned model really saves: bytes in every encoding, and time measured beside the dense."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from workbench.encodings import EncodedSizes, measure_encodings
from workbench.errors import ExportError
from workbench.granularity import parse_granularity
from workbench.latency import RUNTIMES, LatencyComparison, check_runtime, check_timing
from workbench.layers import inspect
from workbench.progress import Progress, Report, ShouldStop, ignore, never
from workbench.prune import Pruned
from workbench.shared import stored_once
from workbench.speedup import RUNS, measure_speedup


@dataclass(frozen=True)
class Saving:
    """What a pruned model saves.

    Attributes:
        sizes: Its bytes in every encoding.
        theoretical_speedup: MACs of the dense network divided by those that are left when every
            zero is passed over.
        speedups: Runtime to dense and pruned latency, measured in turns.
        unmeasured: Runtime to the reason why it was not timed.
    """

    sizes: EncodedSizes
    theoretical_speedup: float
    speedups: Mapping[str, LatencyComparison]
    unmeasured: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return self.sizes.to_dict() | {
            "theoretical_speedup": self.theoretical_speedup,
            "measured_speedup": {name: found.to_dict() for name, found in self.speedups.items()},
            "unmeasured": dict(self.unmeasured),
        }


def measure_saving(
    pruned: Pruned, *, runtimes: Collection[str] = tuple(RUNTIMES), batch: int = 1,
    threads: int = 1, runs: int = RUNS, report: Report = ignore, should_stop: ShouldStop = never,
) -> Saving:  # fmt: skip
    """Encode a pruned model every way and time it beside the dense one.

    Args:
        pruned: The pruned model, repaired and fine-tuned or not.
        runtimes: What to time it in; see ``workbench.latency.RUNTIMES``.
        batch: Images in a pass.
        threads: CPU threads.
        runs: Turns to measure, at least 20.
        report: Hears of every step.
        should_stop: Ends early; a runtime without 20 turns is left out.

    Raises:
        SettingsError: If a runtime is unknown or a setting too small.
    """
    for name in runtimes:
        check_runtime(name)
    check_timing(runs, batch, threads)
    speedups, unmeasured = {}, {}
    for number, name in enumerate(runtimes):
        try:
            found = measure_speedup(
                pruned.dense, pruned.model, runtime=name, batch=batch, threads=threads, runs=runs,
                report=part_of(report, number, len(runtimes), RUNTIMES[name]),
                should_stop=should_stop,
            )  # fmt: skip
        except ExportError as error:
            unmeasured[name] = error.message
            continue
        if found is not None:
            speedups[name] = found
        else:
            unmeasured[name] = "The timing was stopped."
    return Saving(encode_pruned(pruned), theoretical_speedup(pruned), speedups, unmeasured)


def encode_pruned(pruned: Pruned) -> EncodedSizes:
    """What a pruned model takes in every encoding, and its file on disk."""
    dense, own = pruned.dense.module, pruned.model.module
    return measure_encodings(
        stored_once(dense.state_dict(), dense), stored_once(own.state_dict(), own),
        parse_granularity(pruned.plan.granularity),
    )  # fmt: skip


def theoretical_speedup(pruned: Pruned) -> float:
    """MACs of the dense network divided by those of the pruned one, zeros passed over."""
    left = sum(
        layer.macs * (layer.num_weights - layer.num_zeros) / max(1, layer.num_weights)
        if layer.num_zeros
        else layer.macs
        for layer in inspect(pruned.model).layers
    )
    return inspect(pruned.dense).macs / max(1.0, left)


def part_of(report: Report, number: int, count: int, title: str) -> Report:
    """The report of one of several equal parts of the work; its messages begin with a title."""

    def report_part(progress: Progress) -> None:
        done, total = number * progress.total + progress.done, count * progress.total
        report(Progress(done, total, f"{title}: {progress.message}", progress.values))

    return report_part
