"""How the time of a network goes with the width of one group: a staircase, not a slope.

Processors work on several channels at once, so that a few channels fewer may save nothing, or even
cost time. The whole network is timed, not the group's own layers: what a cut does to its
neighbours, to memory and to the runtime's choice of kernels is then in the figure.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from workbench.errors import ExportError, SettingsError
from workbench.groups import Group, Groups, find_groups
from workbench.latency import (
    MIN_RUNS,
    SAME,
    Latency,
    Pass,
    check_runtime,
    check_timing,
    cpu_threads,
    median_interval,
    onnx_pass,
    random_images,
    summarise,
    time_in_turns,
    torch_pass,
)
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import (
    Progress,
    Report,
    ShouldStop,
    StoppedError,
    ignore,
    never,
    raise_if_stopped,
)
from workbench.prune import Pruned, prune
from workbench.speedup import write_onnx
from workbench.thin_onnx import thin_onnx

SLOWER = 0.05
"""A cut is called slower where it surely costs more than this."""
RUNS = 30
_MAX_STEPS = 16


@dataclass(frozen=True)
class Step:
    """The network with one group cut to a number of units.

    Attributes:
        kept: Units that stay.
        latency: Time of a pass.
        relative: Median over the turns of its time divided by the whole network's.
        relative_low: The 95 % interval of that median.
        relative_high: See ``relative_low``.
        beaten_by: The largest number of units with which the network is faster all the same,
            by more than 5 % beyond doubt; 0 where there is none.
    """

    kept: int
    latency: Latency
    relative: float
    relative_low: float
    relative_high: float
    beaten_by: int = 0


@dataclass(frozen=True)
class Plateau:
    """Numbers of units between which the time does not change beyond its spread.

    Attributes:
        first: The smallest number.
        last: The largest.
        median_ms: Median of the medians on it, in milliseconds.
    """

    first: int
    last: int
    median_ms: float


@dataclass(frozen=True)
class Staircase:
    """Time of a whole network against the width of one group, everything else dense.

    Attributes:
        group: Name of the group.
        unit: What it is made of.
        num_units: How many it has.
        runtime: ``torch`` or ``onnxruntime``.
        steps: Measured widths, rising; the last is the whole network.
        plateaus: The steps put together, rising.
    """

    group: str
    unit: str
    num_units: int
    runtime: str
    steps: tuple[Step, ...]
    plateaus: tuple[Plateau, ...]

    @property
    def slower(self) -> tuple[Step, ...]:
        """Widths at which the network is slower than at a larger one."""
        return tuple(step for step in self.steps if step.beaten_by)

    def plateau(self, kept: int) -> Plateau:
        """The plateau that a width lies on; between two of them the upper one."""
        return next((p for p in self.plateaus if kept <= p.last), self.plateaus[-1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Staircase":
        """The reverse of ``to_dict``."""
        steps = tuple(
            Step(**{**step, "latency": Latency(**step["latency"])}) for step in values["steps"]
        )
        plateaus = tuple(Plateau(**plateau) for plateau in values["plateaus"])
        return cls(**{**values, "steps": steps, "plateaus": plateaus})


def measure_staircase(
    model: Model, group: str, *, counts: Sequence[int] | None = None, batch: int = 1,
    threads: int = 1, runtime: str = "onnxruntime", runs: int = RUNS,
    groups: Groups | None = None, report: Report = ignore, should_stop: ShouldStop = never,
) -> Staircase | None:  # fmt: skip
    """Time a network with one group cut to several widths, all in turns, on the CPU.

    Args:
        model: The dense network; it stays as it is.
        group: Name of a group of coupled channels.
        counts: Numbers of units to keep; None chooses at most 18 of them. The whole network is
            always measured as well.
        batch: Images in a pass.
        threads: CPU threads.
        runtime: ``torch`` or ``onnxruntime``.
        runs: Turns to measure after the warm-up, at least 20.
        groups: What ``find_groups(model, "channel")`` returned, to spare a second look.
        report: Hears of every step.
        should_stop: Ends early, with the turns so far if they are at least 20.

    Returns:
        The staircase, or None if it was stopped too early.

    Raises:
        PlanError: If the group is unknown or cannot be cut.
        SettingsError: If the runtime is unknown, a count lies outside 1 to the group's number of
            units, or ``runs``, ``batch`` or ``threads`` is too small.
        ExportError: If the network cannot be written as ONNX.
    """
    check_runtime(runtime)
    check_timing(runs, batch, threads)
    groups = groups or find_groups(model, "channel")
    found = groups.group(group)
    widths = _widths(found, counts)
    passes: list[Pass] = []
    with cpu_threads(threads):
        total = len(widths) + runs
        try:
            maker = _Maker(model, found, groups, runtime, batch, threads, should_stop)
            for kept in widths:
                report(Progress(len(passes), total, f"Cutting {group} to {kept}"))
                raise_if_stopped(should_stop)
                passes.append(maker.make(kept))
        except StoppedError:
            return None

        def turn(progress: Progress) -> None:
            report(Progress(len(widths) + progress.done, total, progress.message))

        times = time_in_turns(passes, runs, report=turn, should_stop=should_stop)
    if len(times[0]) < MIN_RUNS:
        return None
    steps = _steps(widths, times, batch, threads)
    plateaus = find_plateaus(widths, times)
    return Staircase(group, found.unit, found.num_units, runtime, steps, plateaus)


def usual_counts(num_units: int) -> list[int]:
    """Widths that show the steps of a group: every one of few, every second, fourth ... of many.

    The last but one is always among them: there a cut that spoils the processor's rhythm shows.
    """
    stride = 1
    while num_units / stride > _MAX_STEPS:
        stride *= 2
    return sorted({*range(stride, num_units + 1, stride), max(1, num_units - 1), num_units})


def find_plateaus(counts: Sequence[int], times: Sequence[Sequence[float]]) -> tuple[Plateau, ...]:
    """Put neighbouring widths together whose times differ by no more than their spread.

    A width belongs to the plateau below it unless the median over the turns of its time divided
    by the plateau's differs from 1, its whole 95 % interval, by more than 3 %.

    Args:
        counts: Numbers of units, rising.
        times: For each of them its times in milliseconds, one a turn; at least six turns.
    """
    runs: list[list[int]] = []
    for index in range(len(counts)):
        if runs:
            level = [statistics.median(turn) for turn in zip(*(times[i] for i in runs[-1]),
                                                             strict=True)]  # fmt: skip
            quotients = [a / b for a, b in zip(times[index], level, strict=True)]
            low, high = median_interval(quotients)
            if low <= 1 + SAME and high >= 1 - SAME:
                runs[-1].append(index)
                continue
        runs.append([index])
    return tuple(
        Plateau(
            counts[run[0]], counts[run[-1]],
            statistics.median(statistics.median(times[index]) for index in run),
        )
        for run in runs
    )  # fmt: skip


def _steps(
    counts: Sequence[int], times: Sequence[Sequence[float]], batch: int, threads: int
) -> tuple[Step, ...]:
    steps = []
    for index, kept in enumerate(counts):
        low, middle, high = _quotient(times[index], times[-1])
        faster = [
            counts[wider]
            for wider in range(index + 1, len(counts))
            if _quotient(times[index], times[wider])[0] > 1 + SLOWER
        ]
        latency = summarise(times[index], batch, threads)
        steps.append(Step(kept, latency, middle, low, high, max(faster, default=0)))
    return tuple(steps)


def _quotient(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Median of ``one / other`` over the turns, between the ends of its 95 % interval."""
    quotients = [a / b for a, b in zip(one, other, strict=True)]
    low, high = median_interval(quotients)
    return low, statistics.median(quotients), high


def _widths(group: Group, counts: Sequence[int] | None) -> list[int]:
    num_units = group.num_units
    for count in counts or ():
        if not 1 <= count <= num_units:
            raise SettingsError(
                f"{group.name} cannot be cut to {count}: it has {num_units} {group.unit}s.",
                f"Choose numbers from 1 to {num_units}.",
            )
    return sorted({*(counts or usual_counts(num_units)), num_units})


class _Maker:
    """Makes passes of one network at several widths; ONNX is written in full only once if it can.

    Args:
        model: The dense network.
        group: What is cut.
        groups: All its coupled channels.
        runtime: ``torch`` or ``onnxruntime``.
        batch: Images in a pass.
        threads: CPU threads.
        should_stop: True raises ``StoppedError``.
    """

    def __init__(
        self, model: Model, group: Group, groups: Groups, runtime: str, batch: int, threads: int,
        should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._should_stop = should_stop
        self._model, self._group, self._groups, self._threads = model, group, groups, threads
        self._images = random_images(model.input_shape, batch)
        self._content = b"" if runtime == "torch" else write_onnx(model, should_stop)
        self._thins = True

    def make(self, kept: int) -> Pass:
        """A pass through the network with the group cut to a number of units."""
        plan = PruningPlan({self._group.name: 1 - kept / self._group.num_units}, "channel")
        pruned = prune(self._model, plan, self._groups)
        if not self._content:
            return torch_pass(pruned.model.module, self._images)
        if kept == self._group.num_units:
            return onnx_pass(self._content, self._images, self._threads)
        if self._thins:
            try:
                return self._thinned(pruned)
            except ExportError:
                self._thins = False
        return onnx_pass(write_onnx(pruned.model, self._should_stop), self._images, self._threads)

    def _thinned(self, pruned: Pruned) -> Pass:
        """The dense file with its weights cut, which must give the network's own scores.

        Raises:
            ExportError: If it does not.
        """
        content = thin_onnx(
            self._content, self._model.module.state_dict(), self._group.slices,
            pruned.kept[self._group.name], pruned.model.module,
        )  # fmt: skip
        try:
            run = onnx_pass(content, self._images, self._threads)
            scores = torch.from_numpy(run()[0])  # type: ignore[index]
        except Exception as error:  # whatever the runtime says to a file that is not consistent
            raise ExportError(f"The thinner file does not run: {error}") from error
        with torch.inference_mode():
            expected = pruned.model.module(self._images)
        if not torch.allclose(scores, expected, rtol=1e-3, atol=1e-3):
            raise ExportError("The thinner file gives other scores.")
        return run
