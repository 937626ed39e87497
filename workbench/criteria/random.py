"""Ranking by chance: the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def random_scores(look: Look, parameter: str) -> Tensor:
    """A uniform random number for each weight, drawn on the CPU so that devices agree.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7.
    """
    import torch

    weight = look.tensor(parameter)
    scores = torch.rand(weight.shape, generator=look.generator(), dtype=torch.float64)
    return scores.to(weight.device)


def random_unit_scores(look: Look, group: Group) -> Tensor:
    """A uniform random number for each unit, ``(num_units,)``."""
    import torch

    return torch.rand(group.num_units, generator=look.generator(), dtype=torch.float64)


METHOD = Criterion(
    name="random",
    title="Random",
    summary="Prunes weights at random, the baseline that every criterion should beat.",
    explanation=(
        "Every weight or channel draws a number, and the lowest numbers go. The seed decides the "
        "draw, and each layer has a draw of its own, so that a plan gives the same network "
        "wherever it is opened. Nobody would prune like this for use. It is the floor: a criterion "
        "that does no better has found nothing, and the distance to it shows how much of a "
        "result is the criterion's doing and how much is the repair's or the fine-tuning's."
    ),
    formula=r"s_i \sim \mathcal{U}(0, 1)",
    paper=('Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7'),
    strengths="The honest floor under every comparison; the seed makes it repeatable.",
    limits="It knows nothing; at high sparsity the network is lost.",
    weights=random_scores,
    units=random_unit_scores,
)
