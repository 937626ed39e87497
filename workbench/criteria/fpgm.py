"""Ranking by the distance from the middle of a layer's filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def fpgm_unit_scores(look: Look, group: Group) -> Tensor:
    """Sum of the distances of a unit's filter to all others, relative to their mean.

    Averaged over the layers that make the unit, ``(num_units,)``; 1 is average.

    Reference:
        He et al. 2019, "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
        Acceleration", section 3.3.
    """
    import torch

    shares = []
    for rows in rows_of(look, group):
        sums = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
        shares.append(sums / (sums.mean() or 1))
    if not shares:
        return torch.ones(group.num_units, dtype=torch.float64)
    return torch.stack(shares).mean(0)


METHOD = Criterion(
    name="fpgm",
    title="Geometric median (FPGM)",
    summary="Prunes the filters nearest to the middle of all others: those that are easiest to "
    "replace.",
    explanation=(
        "Small filters are not always useless, and large ones not always needed. This criterion "
        "asks which filter is most like the rest: it adds up the distances from each filter to all "
        "others of its layer, and the filter with the smallest sum, nearest to the geometric "
        "median, goes first, because the others can best stand in for it. Only the weights that "
        "make the unit count, not those that read it. In a group of several layers each layer's "
        "sums are divided by their mean and averaged, so that 1 is an average unit and groups can "
        "be compared. No data is needed."
    ),
    formula=r"s_c = \sum_{j} \lVert W_c - W_j \rVert_2",
    paper=(
        'He et al. 2019, "Filter Pruning via Geometric Median for Deep Convolutional Neural '
        'Networks Acceleration", section 3.3'
    ),
    strengths="Needs nothing but the weights and finds filters that repeat each other.",
    limits=(
        "Ranks whole units only. Where filters differ mainly in size, the median is among the "
        "small ones and the order is nearly that of magnitude."
    ),
    units=fpgm_unit_scores,
)
