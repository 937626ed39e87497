"""Averaged probabilities."""

from typing import TYPE_CHECKING

from workbench.ensembles.ensemble import Combine, Ensemble

if TYPE_CHECKING:
    from torch import Tensor


def average(log_probs: "Tensor") -> "Tensor":
    """The logarithm of the members' mean probability, ``(samples, classes)``.

    Args:
        log_probs: ``(members, samples, classes)``; a NaN of one member makes the answer NaN.
    """
    import math

    import torch

    return torch.logsumexp(log_probs.double(), 0) - math.log(len(log_probs))


def _make(log_probs: "Tensor", labels: "Tensor") -> Combine:  # noqa: ARG001  learns nothing
    return average


METHOD = Ensemble(
    name="average",
    title="Averaged probabilities",
    summary="Takes the mean of the models' class probabilities.",
    explanation=(
        "Every member turns its scores into probabilities, one for each class, and the ensemble "
        "takes their mean; the class with the highest mean is the answer. A member that is sure "
        "moves the mean more than one that wavers between two classes, so the members that know "
        "something about an image speak up and the others hold back. Nothing is learnt. As long as "
        "members err differently their errors partly cancel, and the averaged probabilities are "
        "better calibrated than those of each member. It is the usual first choice, and hard to "
        "beat with members of similar accuracy."
    ),
    formula=r"p(c \mid x) = \frac{1}{M} \sum_{m=1}^{M} p_m(c \mid x)",
    paper='Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation '
    'using Deep Ensembles", section 2.4',
    strengths="Needs no data, uses how sure the members are, and calibrates them.",
    limits="One poor but very sure member pulls the mean to its side.",
    make=_make,
)
