"""Majority vote."""

from typing import TYPE_CHECKING

from workbench.ensembles.ensemble import Combine, Ensemble

if TYPE_CHECKING:
    from torch import Tensor


def count_votes(log_probs: "Tensor") -> "Tensor":
    """Votes of each class, and below one vote the mean probability, which decides ties.

    Args:
        log_probs: ``(members, samples, classes)``. A member whose answer holds a NaN casts no vote.

    Returns:
        ``(samples, classes)``; the class of the highest score is the answer. Among classes of as
        many votes it is the one of the highest mean probability, then the first.
    """
    import torch
    from torch.nn import functional as F

    valid = ~log_probs.isnan().any(2)
    votes = F.one_hot(log_probs.nan_to_num().argmax(2), log_probs.shape[2])
    counted = (votes * valid.unsqueeze(2)).sum(0).double()
    probabilities = torch.where(valid.unsqueeze(2), log_probs.double().exp(), 0.0)
    return counted + probabilities.mean(0) / 2  # at most 1/2: never outweighs a vote


def _make(log_probs: "Tensor", labels: "Tensor") -> Combine:  # noqa: ARG001  learns nothing
    return count_votes


METHOD = Ensemble(
    name="vote",
    title="Majority vote",
    summary="Every model names a class; the class named most often wins.",
    explanation=(
        "Every member looks at the image and names the one class it finds most likely; the class "
        "named most often is the answer of the whole. Nothing is learnt and nothing but the names "
        "is looked at, so a member that is wildly sure of itself counts no more than a hesitant "
        "one. With two members, or whenever classes are named equally often, the vote is tied; "
        "then the class with the highest mean probability among the tied ones is taken, and the "
        "first of them if even these are equal. A vote gains most when its members err on "
        "different images, which runs pruned from the same network in similar ways seldom do."
    ),
    formula=r"\hat{y} = \arg\max_c \sum_m \mathbb{1}\!\left[\arg\max_k p_m(k \mid x) = c\right]",
    paper='Breiman 1996, "Bagging Predictors", section 1; Hansen and Salamon 1990, "Neural Network '
    'Ensembles"',
    strengths="Needs no data at all, and no member can overrule the others by being too sure.",
    limits="Throws away how sure the members are; with two members every disagreement is a tie.",
    make=_make,
)
