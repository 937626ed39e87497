"""Stacking: a logistic regression on the members' probabilities."""

from typing import TYPE_CHECKING, Any

from workbench.ensembles.ensemble import Combine, Ensemble

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

NEVER = -1e9
"""Score of a class that the regression never saw."""
INVERSE_REGULARISATION = 0.1
MAX_STEPS = 1_000


def fit_stacking(log_probs: "Tensor", labels: "Tensor") -> Combine:
    """Fit a logistic regression that tells the class from all members' probabilities.

    Args:
        log_probs: ``(members, samples, classes)`` on validation images.
        labels: Their classes, ``(samples,)``; classes without an image are never answered.

    Returns:
        What gives log-probabilities ``(samples, classes)`` on other images; with labels of one
        class only, it always answers that class.
    """
    import torch

    classes = log_probs.shape[2]
    present = labels.unique()
    if len(present) < 2:
        always = torch.full((classes,), NEVER, dtype=torch.double)
        always[present] = 0.0
        return lambda other: always.expand(other.shape[1], classes)
    model = _regression()
    model.fit(_features(log_probs), labels.numpy())

    def combine(other: "Tensor") -> "Tensor":
        answers = torch.full((other.shape[1], classes), NEVER, dtype=torch.double)
        answers[:, present] = torch.from_numpy(model.predict_log_proba(_features(other)))
        return answers

    return combine


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_STEPS)


def _features(log_probs: "Tensor") -> "np.ndarray":
    """Probabilities in one row an image, ``(samples, members x classes)``; a NaN counts as 0."""
    probabilities = log_probs.double().exp().nan_to_num()
    features: np.ndarray = probabilities.permute(1, 0, 2).flatten(1).numpy()
    return features


METHOD = Ensemble(
    name="stacking",
    title="Stacking",
    summary="A logistic regression, fitted on validation images, weighs what the models say.",
    explanation=(
        "Instead of treating all members alike, stacking learns whom to trust with what. On "
        "validation images, which no member was trained on, a logistic regression is fitted that "
        "reads the probabilities that all members give to all classes and names the class. It may "
        "find that one member is the better judge of shirts and another of shoes, or correct a "
        "confusion they all share. It is fitted on validation images alone; how good it is there "
        "is told by five-fold cross-validation, each fifth answered by a regression that did not "
        "see it, and the final number comes from test images. The regression's own weights count "
        "towards the bytes and MACs of the ensemble."
    ),
    formula=r"p(c \mid x) \propto \exp\Bigl(b_c + \sum_m \sum_k W_{c,mk}\, p_m(k \mid x)\Bigr)",
    paper='Wolpert 1992, "Stacked Generalization"; Ting and Witten 1999, "Issues in Stacked '
    'Generalization"',
    needs=("validation",),
    strengths="Learns which member to trust with which class.",
    limits="Needs labelled validation images; with few of them it fits their accidents.",
    make=fit_stacking,
    learns=True,
    num_params=lambda members, classes: classes * (members * classes + 1),
    macs=lambda members, classes: classes * members * classes,
)
