"""Ranking by entropy the other way round: the least informative stay. For comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.entropy import entropy_unit_scores

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def entropy_max_unit_scores(look: Look, group: Group) -> Tensor:
    """How far a unit's entropy is below the highest possible, ln 32, in nats, ``(num_units,)``.

    Reference:
        Luo and Wu 2017, "An Entropy-based Pruning Method for CNN Compression", section 3.2, with
        the order turned round.
    """
    import math

    return math.log(32) - entropy_unit_scores(look, group)


METHOD = Criterion(
    name="entropy_max",
    title="Entropy, reversed (for comparison)",
    summary="Prunes the units of highest entropy first: the opposite of entropy, for comparison.",
    explanation=(
        "This is the entropy criterion upside down: the units whose activations vary most, over "
        "512 unlabelled calibration images, are removed first, and those that hardly change "
        "stay. Nobody should want the network that it leaves. It is here because a criterion can "
        "only be believed if its opposite does worse: the distance between the two shows how much "
        "the entropy of activations really says about a unit. If this one does as well as entropy "
        "on a network, then entropy says nothing there. Some noisy units are better gone, so on "
        "single layers it can surprise."
    ),
    formula=r"s_c = \ln 32 + \sum_{b=1}^{32} p_{c,b} \ln p_{c,b}",
    paper='Luo and Wu 2017, "An Entropy-based Pruning Method for CNN Compression", section 3.2',
    needs=("images",),
    gathers="activations",
    strengths="Shows what the entropy of activations is worth, by doing the opposite.",
    limits="Made to lose: it is often worse than chance. Ranks whole units only.",
    units=entropy_max_unit_scores,
)
