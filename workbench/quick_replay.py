"""Replaying a network from the last place before the first layer that differs from last time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.progress import ShouldStop, raise_if_stopped
from workbench.sweep import even_parts, spread
from workbench.tape import Statistics, Tape, Values

BATCH = 125
_MOST_STARTS = 32


@dataclass(frozen=True, eq=False)
class _Trace:
    """What a check left behind for the next one.

    Attributes:
        repaired: Whether statistics were measured.
        weights: Changed weights by name.
        statistics: BatchNorm's means and variances after repair, by name.
        calibration: What each batch of calibration images gave on its way.
        validation: The same for validation images.
    """

    repaired: bool
    weights: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor] = field(default_factory=dict)
    calibration: Sequence[Values] = ()
    validation: Sequence[Values] = ()


class Replay:
    """A network as a list of calls, and what the last plan left behind.

    Attributes:
        tapes: Images in a batch to the list for it.
        num_calibration: Calibration images.

    Raises:
        UnrepeatableError: If the network cannot be replayed.
    """

    def __init__(
        self, module: torch.nn.Module, images: Tensor, calibration: Sequence[Tensor],
        device: torch.device, kept_bytes: int,
    ) -> None:  # fmt: skip
        self._module, self._device = module, device
        self._validation = [images[place] for place in even_parts(len(images), BATCH)]
        self._calibration = calibration
        self.num_calibration = sum(map(len, calibration))
        self.tapes: dict[int, Tape] = {}
        batches = [*self._validation, *calibration]
        for batch in batches:
            if len(batch) not in self.tapes:
                other = next(iter(self.tapes.values()), None)
                self.tapes[len(batch)] = Tape(module, batch.to(device), other)
        first = self._validation[0].to(device)
        self._tape = self.tapes[len(first)]
        budget = kept_bytes // max(1, sum(map(len, batches)))
        self._starts = choose_starts(self._tape, first, budget)
        self._keep = {
            size: frozenset[int]().union(*map(tape.needs, self._starts))
            for size, tape in self.tapes.items()
        }
        self._trace: _Trace | None = None

    def scores(
        self, weights: Mapping[str, Tensor], repaired: bool, should_stop: ShouldStop
    ) -> Tensor:  # fmt: skip
        """Class scores ``(samples, classes)`` of the validation images with changed weights."""
        last = self._trace
        start = self._start(last, weights, repaired)
        before = last if last is not None and start is not None else _Trace(repaired, {})
        statistics, calibration = dict(before.statistics), before.calibration
        if repaired:
            kept = before.calibration
            done = self._pass(self._calibration, kept, weights, start, should_stop, measured=True)
            total = Statistics()
            for _, _, own in done:
                total.add(own)
            statistics |= total.buffers()
            calibration = [values for _, values, _ in done]
        changed = {**weights, **statistics}
        done = self._pass(self._validation, before.validation, changed, start, should_stop)
        validation = [values for _, values, _ in done]
        self._trace = _Trace(repaired, weights, statistics, calibration, validation)
        return torch.cat([scores for scores, _, _ in done])

    def _pass(
        self, batches: Sequence[Tensor], before: Sequence[Values], changed: Mapping[str, Tensor],
        start: frozenset[str] | None, should_stop: ShouldStop, measured: bool = False,
    ) -> list[tuple[Tensor, Values, Statistics]]:  # fmt: skip
        """Class scores, what is kept, and statistics of every batch."""

        def one(number: int) -> tuple[Tensor, Values, Statistics]:
            raise_if_stopped(should_stop)
            images, own = batches[number], Statistics()
            taken = own if measured else None
            tape, keep = self.tapes[len(images)], self._keep[len(images)]
            if start is None:
                scores, kept = tape.run(images.to(self._device), keep, taken, changed)
            else:
                scores, kept = tape.resume(before[number], changed, keep, taken, start)
            return scores.float().cpu(), kept, own

        return spread(one, range(len(batches)), self._device)

    def _start(
        self, last: _Trace | None, weights: Mapping[str, Tensor], repaired: bool
    ) -> frozenset[str] | None:  # fmt: skip
        """The latest start before all that changed; None for the images themselves."""
        if last is None or last.repaired != repaired:
            return None
        changed = {
            name
            for name in {*weights, *last.weights}
            if name not in weights
            or name not in last.weights
            or not torch.equal(weights[name], last.weights[name])
        }
        closed = self._tape.closed(changed)
        return next((names for names in reversed(self._starts) if closed <= names), None)


def choose_starts(tape: Tape, images: Tensor, budget: int) -> list[frozenset[str]]:
    """Where a check may begin: the places that spare most for what memory allows.

    Args:
        tape: The network.
        images: A batch for it.
        budget: Bytes that may be kept of one image.

    Returns:
        For each place, from first to last, the names of all that is read from there on. Names that
        are read before as well cannot begin a part, so some places are left out.
    """
    order = tape.names
    found: list[tuple[int, frozenset[str]]] = []
    after: frozenset[str] = frozenset()
    for place in range(len(order) - 1, 0, -1):
        after |= order[place]
        if order[place] and after.isdisjoint(frozenset().union(*order[:place])):
            found.insert(0, (place, after))
    found = found[:: math.ceil(len(found) / _MOST_STARTS) or 1]
    needs = [tape.needs(names) for _, names in found]
    _, values = tape.run(images, frozenset[int]().union(*needs))
    each = {number: tensor.nbytes / len(images) for number, tensor in values.items()}
    while sum(each[slot] for slot in frozenset[int]().union(*needs)) > budget:
        worst = _least_useful([place for place, _ in found], needs, each)
        del found[worst], needs[worst]
    return [names for _, names in found]


def _least_useful(
    places: Sequence[int], needs: Sequence[frozenset[int]], each: Mapping[int, float]
) -> int:  # fmt: skip
    """Number of the start that frees most bytes for the calls that it spares."""
    ends = [0, *places, 2 * places[-1] - (places[-2] if len(places) > 1 else 0)]

    def worth(number: int) -> float:
        others = frozenset[int]().union(*(n for i, n in enumerate(needs) if i != number))
        freed = sum(each[slot] for slot in needs[number] - others)
        before, here, then = ends[number : number + 3]
        return (here - before) * (then - here) / max(1.0, freed)

    return min(range(len(places)), key=worth)
