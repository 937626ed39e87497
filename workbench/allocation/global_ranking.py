"""One ranking over the units of all groups."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.allocation.knob import too_sparse
from workbench.allocation.pool import Pool
from workbench.allocation.rule import Allocation, by_level
from workbench.errors import SparsityError
from workbench.groups import Group
from workbench.patterns import lowest_pruned, split_counts


class GlobalRanking:
    """Exactly so many of the lowest scores go, in whichever groups they lie.

    Each group's sparsity is stored as the exact quotient of its pruned and all its units, so
    that pruning group by group gives the same. Equal scores go in the order of the groups. The
    highest score of each group always stays: no layer is cut off. At N:M the layers themselves
    are ranked, and the lowest are thinned. Of bounded groups as many go first, and as many stay
    to the end, as the bounds ask for.

    A sparsity counts weights, and for channels it counts channels. Blocks and kernels of
    different lengths are ranked by their mean scores.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7
        (global magnitude pruning).
        Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.3 (channels).
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        scores = [*self.ranked(pool)]
        self._num_units = sum(map(len, scores))
        ends = [_ends(pool, group) for group in pool.members]
        self._least = sum(least for least, _ in ends)
        self.top = sum(most for _, most in ends)
        self._scores = [
            _within(own, least, most) for own, (least, most) in zip(scores, ends, strict=True)
        ]

    def ranked(self, pool: Pool) -> Iterator[Tensor]:
        """Scores of the units of each group, flat, that are ranked together."""
        return pool.scores()

    def level_of(self, sparsity: float) -> int:
        """How many units a sparsity prunes.

        Raises:
            SparsityError: If that would leave a group without units, or goes beyond its bounds.
        """
        count = self._count_at(sparsity)
        if count > self.top and self._pool.bounds:
            raise too_sparse(self._pool, sparsity, self.top)
        if count > self.top:
            layer = "group" if self._pool.kind == "channel" else "layer"
            unit = self._pool.all.granularity.unit
            raise SparsityError(
                f"Sparsity {sparsity:.6g} leaves {self._num_units - count} of "
                f"{self._num_units:,} {unit}s for {len(self._scores)} {layer}s.",
                f"Choose a lower sparsity, so that each {layer} keeps at least one {unit}.",
            )
        return count

    def nearest_level(self, sparsity: float) -> int:
        """How many units a sparsity prunes, or as many as can go where that is fewer."""
        return min(self.top, self._count_at(sparsity))

    def sparsities(self, level: float) -> dict[str, float]:
        """Group name to sparsity where the lowest ``level`` units go."""
        counts = split_counts(self._scores, max(self._least, int(level)))
        pairs = zip(self._pool.members, counts, strict=True)
        return {group.name: self._quotient(group, count) for group, count in pairs}

    def _quotient(self, group: Group, count: int) -> float:
        value = self._pool.sparsity_of(group, count)
        return self._pool.nearest(group, value) if self._pool.kind == "channel" else value

    def _count_at(self, sparsity: float) -> int:
        if self._pool.kind in ("weight", "channel"):
            return math.floor(sparsity * self._num_units + 0.5)
        return self._nearest_count(sparsity)

    def _nearest_count(self, sparsity: float) -> int:
        """The number of units, lowest first, whose weights come nearest to a sparsity."""
        lengths = torch.cat([
            torch.full((len(own),), self._unit_length(group), dtype=torch.float64)
            for group, own in zip(self._pool.members, self._scores, strict=True)
        ])  # fmt: skip
        order = torch.cat(self._scores).argsort(stable=True)
        gone = torch.cat([torch.zeros(1, dtype=torch.float64), lengths[order].cumsum(0)])
        return int((gone - sparsity * self._pool.num_units).abs().argmin())

    def _unit_length(self, group: Group) -> float:
        """Weights that go with a unit; edge blocks count as the mean of their layer."""
        if self._pool.kind == "nm":
            return self._pool.sparsity_of(group, 1) * group.num_params
        return group.num_params / group.num_units


def _ends(pool: Pool, group: Group) -> tuple[int, int]:
    """The least and the most units that may go; of channels before they are rounded."""
    if pool.kind == "nm" or group.name in pool.bounds:
        counts = pool.counts(group)
        return counts[0], counts[-1]
    return 0, group.num_units - 1


def _within(scores: Tensor, least: int, most: int) -> Tensor:
    """Have the lowest ``least`` entries go before all others and keep all but ``most`` longest."""
    stay = lowest_pruned(scores, most)
    go = ~lowest_pruned(scores, least)
    return scores.masked_fill(stay, torch.inf).masked_fill(go, -torch.inf)


METHOD = Allocation(
    name="global",
    title="Global ranking",
    summary=("Ranks the weights of all layers together and prunes the lowest, wherever they are."),
    explanation=(
        "There is one list for the whole network: the criterion scores every weight or channel "
        "that may go, and the lowest go until the target is met, wherever they lie. A layer full "
        "of small weights gives much, one of large weights little, and nobody has to set a "
        "sparsity for each. The highest score of every group always stays, so that no layer is "
        "cut off. It works as well as the scores can be compared between layers; scores that "
        "predict the change of the loss can, plain magnitudes only roughly."
    ),
    formula=(r"m_i = [\, s_i > \tau \,], \quad \tau \text{ such that } \sum_i (1 - m_i) = S\, n"),
    paper=(
        'Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7; '
        'channels: Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.3'
    ),
    strengths="Finds by itself where there is most to spare; strong for single weights.",
    limits=(
        "Layers whose weights are small for other reasons, such as a following normalisation, "
        "are cut too far; a layer can shrink to a single unit."
    ),
    spread=by_level(GlobalRanking),
)
