"""Tables of measured times: how the latency of a whole network goes with the width of a group."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from workbench.errors import PlanError
from workbench.groups import Groups
from workbench.model import Model

Steps = tuple[tuple[int, float], ...]
"""Kept units, rising, each with the network's time as a part of the dense network's."""


@dataclass(frozen=True)
class LatencyTable:
    """Times of one network on one machine with single groups cut; everything else dense.

    Attributes:
        model: Digest of the network.
        runtime: What it ran in, such as ``onnxruntime``.
        batch: Images in a pass.
        threads: CPU threads.
        dense_ms: Median time of the dense network in milliseconds.
        groups: Group name to what was measured; the last step of each is the dense network, 1.
    """

    model: str
    runtime: str
    batch: int
    threads: int
    dense_ms: float
    groups: Mapping[str, Steps] = field(default_factory=dict)

    def check_fit(self, model: Model) -> None:
        """Refuse another network's times.

        Raises:
            PlanError: If they are.
        """
        if self.model != model.digest:
            raise PlanError(
                f"The measured times belong to the model {self.model}; {model.name} is "
                f"{model.digest}.",
                "Measure the times of this model.",
            )

    def relative(self, group: str, kept: int) -> float:
        """Time with one group cut, as a part of the dense network's; 1 where not measured.

        Linear between the measured widths; below the first one it stays as it is there.
        """
        steps = self.groups.get(group, ())
        at = bisect_left(steps, kept, key=lambda step: step[0])
        if at == len(steps):
            return 1.0
        right, time = steps[at]
        if at == 0 or right == kept:
            return time
        left, before = steps[at - 1]
        return before + (time - before) * (kept - left) / (right - left)

    def predict(self, groups: Groups, num_kept_units: Mapping[str, int]) -> float:
        """Time with several groups cut at once, in milliseconds (see ``TimeModel``)."""
        return self.dense_ms * TimeModel(self, groups).relative(num_kept_units)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {name: [list(step) for step in steps] for name, steps in self.groups.items()}
        return asdict(self) | {"groups": plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LatencyTable":
        """The reverse of ``to_dict``."""
        steps = {
            name: tuple((int(kept), float(time)) for kept, time in rows)
            for name, rows in values["groups"].items()
        }
        return cls(**{**values, "groups": steps})


class TimeModel:
    """The time of a network with several groups cut, from times with one group cut.

    What two cuts save does not add up where a layer shrinks with both: half the inputs and half
    the outputs leave a quarter of the work, not none. So the work is split as MACs are, into
    parts that shrink with up to two groups, and the time that a group's own cut saves is taken as
    its *working share*: what would have to be left of the group for that time, were time
    proportional to MACs. Parts take the product of the working shares. A saving beyond what the
    group's MACs account for is taken off by itself. With one group cut the measured time comes
    out exactly.

    Args:
        table: What was measured.
        groups: Coupled channels of the network.
    """

    def __init__(self, table: LatencyTable, groups: Groups) -> None:
        self._table = table
        self._units = {group.name: group.num_units for group in groups.prunable}
        self._groups = groups

    @cached_property
    def parts(self) -> tuple[tuple[tuple[str, ...], float], ...]:
        """Groups that a part of the work shrinks with, and its part of all MACs."""
        total = max(1, sum(term.macs for term in self._groups.terms))
        return tuple((term.groups, term.macs / total) for term in self._groups.terms if term.macs)

    @cached_property
    def _hanging(self) -> dict[str, tuple[float, float]]:
        """Part of the MACs that a group shrinks once, and that it shrinks twice."""
        found: dict[str, tuple[float, float]] = {}
        for names, work in self.parts:
            for name in set(names):
                once, twice = found.get(name, (0.0, 0.0))
                if names.count(name) == 1:
                    found[name] = (once + work, twice)
                else:
                    found[name] = (once, twice + work)
        return found

    def split(self, group: str, kept: int) -> tuple[float, float]:
        """The working share of a group at a width, and the time saved beside it."""
        saved = 1 - self._table.relative(group, kept)
        once, twice = self._hanging.get(group, (0.0, 0.0))
        if not once + twice:
            return 1.0, saved
        share = kept / self._units[group]
        with_work = min(saved, once * (1 - share) + twice * (1 - share * share))
        if not twice:
            return 1 - with_work / once, saved - with_work
        root = math.sqrt(once * once + 4 * twice * (once + twice - with_work))
        return (root - once) / (2 * twice), saved - with_work

    def relative(self, num_kept_units: Mapping[str, int]) -> float:
        """Time as a part of the dense network's; groups that are not named are whole."""
        shares, aside = {}, 0.0
        for name, kept in num_kept_units.items():
            shares[name], beside = self.split(name, kept)
            aside += beside
        work = 0.0
        for names, part in self.parts:
            work += part * math.prod(shares.get(name, 1.0) for name in names)
        return max(0.0, work - aside)
