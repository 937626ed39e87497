"""The groups among which an allocation spreads its target."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from workbench.allocation.latencies import LatencyTable
from workbench.criteria import Criterion
from workbench.curves import SensitivityCurves
from workbench.errors import PlanError
from workbench.groups import Group, Groups
from workbench.model import Model
from workbench.patterns import nearest_sparsity, pattern_mask, unit_scores
from workbench.plan import num_pruned
from workbench.scoring import score_layer, score_units

ROUNDING = 1e-9
"""Room for the rounding of a product of a sparsity and a number of units."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Members:
    """Groups that may be pruned, and what they allow.

    Attributes:
        all: Every group of the model at the granularity of the plan.
        members: The groups to prune, in the order of the model.
        multiple: Kept channels are rounded to a multiple of this.
        bounds: Group name to its least and most sparsity; others are free.
        locked: Group name to its sparsity, for groups that are held; no members.
        latencies: Measured times, for budgets in latency.
    """

    all: Groups
    members: tuple[Group, ...]
    multiple: int = 1
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    locked: Mapping[str, float] = field(default_factory=dict)
    latencies: LatencyTable | None = None

    @property
    def kind(self) -> str:
        """Kind of the granularity, such as ``weight``."""
        return self.all.granularity.kind

    def bound(self, group: Group) -> tuple[float, float]:
        """The least and the most sparsity of a group: of itself and as bounded."""
        return self.bounds.get(group.name, (0.0, 1.0))

    def counts(self, group: Group) -> Sequence[int]:
        """The numbers of units that may go, fewest first, within the bounds; at N:M 0 and 1.

        Raises:
            PlanError: If the bounds leave no number.
        """
        total, (low, high) = group.num_units, self.bound(group)
        if self.kind == "nm":
            thinned = self.sparsity_of(group, 1)
            counts: Sequence[int] = [i for i in (0, 1) if low <= thinned * i <= high]
            return self._some(group, counts)
        least = max(0, math.ceil(low * total - ROUNDING))
        most = min(total - 1, math.floor(high * total + ROUNDING))
        counts = range(least, most + 1)
        step = self.multiple if self.kind == "channel" and group.rounds else 1
        if step > 1:  # all stay, or a multiple
            counts = [gone for gone in counts if not gone or (total - gone) % step == 0]
        return self._some(group, counts)

    def nearest(self, group: Group, sparsity: float) -> float:
        """The nearest sparsity that a group allows, as an exact quotient, within its bounds.

        Single weights take any: theirs stays as it is, and the count is rounded when pruning.
        """
        low, high = self.bound(group)
        if self.kind == "weight":
            return min(max(sparsity, low), high, (group.num_units - 1) / group.num_units)
        nearest = nearest_allowed(self.all, group, sparsity, self.multiple)
        if group.name not in self.bounds or low <= nearest <= high:
            return nearest
        counts = self.counts(group)
        return self.sparsity_of(group, counts[0] if nearest < low else counts[-1])

    def _some(self, group: Group, counts: Sequence[int]) -> Sequence[int]:
        if not counts:
            low, high = self.bound(group)
            raise PlanError(
                f"{group.name} cannot be cut to a sparsity from {low:g} to {high:g}: none of the "
                "numbers that it may lose lies there.",
                "Widen its bounds.",
            )
        return counts

    def sparsity_of(self, group: Group, count: int) -> float:
        """The exact quotient that stands for a number of units; at N:M for 0 or 1."""
        if self.kind == "nm":
            return nearest_sparsity(shape_of(group), self.all.granularity, float(count))
        return count / group.num_units

    def count_of(self, group: Group, sparsity: float) -> int:
        """The number of units that a sparsity stands for; at N:M 0 or 1."""
        if self.kind == "channel":
            return self.all.num_pruned(group.name, sparsity, self.multiple)
        if self.kind == "nm":
            return int(sparsity > 0)
        return num_pruned(sparsity, group.num_units)

    def num_pruned(self, sparsities: Mapping[str, float]) -> int:
        """Weights, or channels, that go from the members at these sparsities."""
        return sum(
            self.all.num_pruned(group.name, sparsities[group.name], self.multiple)
            for group in self.members
        )

    @property
    def num_units(self) -> int:
        """Weights, or channels, of the members."""
        if self.kind == "channel":
            return sum(group.num_units for group in self.members)
        return sum(group.num_params for group in self.members)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Members):
    """Groups that may be pruned, with the means to score them.

    Attributes:
        model: The dense model.
        criterion: How weights are ranked.
        seed: Seed of the criterion, and of everything random in the allocation.
        curves: What cutting each group alone costs, for the methods that need to know.
        trade_off: Exponent of the costs, for the method that weighs scores by them.
    """

    model: Model
    criterion: Criterion
    seed: int
    curves: SensitivityCurves | None = None
    trade_off: float = 1.0

    def check(self) -> None:
        """Ask whether the work should end.

        Raises:
            StoppedError: If the model's evidence says so.
        """
        if self.model.evidence is not None:
            self.model.evidence.check()

    def scores(
        self, change: Callable[[Tensor], Tensor] = lambda scores: scores
    ) -> Iterator[Tensor]:
        """Scores of the units of each group, flat, on the CPU; for N:M one of the layer.

        At N:M a layer is thinned as a whole: its score is the mean of those weights that go.

        Args:
            change: Makes other scores of those of a group's units, without changing their order;
                at N:M of those of its weights. None leaves them as they are.
        """
        changed = change if change is not None else _as_they_are
        for group in self.members:
            if self.kind == "channel":
                yield changed(score_units(self.criterion, self.model, group, self.seed))
                continue
            scores = self._layer_scores(group)
            if self.kind == "nm":
                mask = pattern_mask(scores, self.all.granularity, 1.0)
                yield changed(scores.flatten())[~mask.flatten()].mean().view(1).cpu()
            else:
                yield changed(unit_scores(scores, self.all.granularity)).cpu()

    def _layer_scores(self, group: Group) -> Tensor:
        assert group.layer is not None
        key = group.layer.parameter_name
        return score_layer(self.criterion, self.model, key, self.seed, group.name)


def _as_they_are(scores: Tensor) -> Tensor:
    return scores


def shape_of(group: Group) -> tuple[int, ...]:
    """Shape of the weight of a group that is one layer."""
    assert group.layer is not None
    return group.layer.shape


def nearest_allowed(groups: Groups, group: Group, sparsity: float, multiple: int) -> float:
    """The nearest sparsity that a group allows, as an exact quotient; of single weights any.

    Args:
        groups: Every group at the granularity.
        group: One of them.
        sparsity: Fraction of it to prune.
        multiple: Kept channels are rounded to a multiple of this.
    """
    kind = groups.granularity.kind
    if kind == "weight":
        return sparsity
    if kind == "channel":
        return groups.num_pruned(group.name, sparsity, multiple) / group.num_units
    return nearest_sparsity(shape_of(group), groups.granularity, sparsity)


def between(counts: Sequence[int], least: int, most: int) -> Sequence[int]:
    """The counts from the least to the most."""
    return counts[bisect_left(counts, least) : bisect_right(counts, most)]
