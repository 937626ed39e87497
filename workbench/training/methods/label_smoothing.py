"""Label smoothing: labels that are not quite sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.training.method import FineTuning

if TYPE_CHECKING:
    from torch import Tensor


def smoothed_loss(outputs: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy against labels of which a part is spread over all classes.

    Args:
        outputs: Scores, ``(batch, classes)``.
        labels: Classes, ``(batch,)``.
        smoothing: The part that is spread; 0 is plain cross-entropy.

    Returns:
        The mean over the batch in nats, a scalar.

    Reference:
        Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision",
        section 7.
    """
    from torch.nn import functional as F

    return F.cross_entropy(outputs, labels, label_smoothing=smoothing)


METHOD = FineTuning(
    name="label_smoothing",
    title="Label smoothing",
    summary="Spreads a part of every label evenly over all classes.",
    explanation=(
        "With hard labels the loss only vanishes when the network is infinitely sure, so training "
        "drives its scores ever further apart. Label smoothing asks for a little less: of every "
        "label a small part, a tenth for instance, is taken away and shared out evenly among all "
        "classes. Scores stay moderate, single wrong labels pull less, and accuracy often rises a "
        "little. The loss on validation images is measured against hard labels as always, so it "
        "may look worse while the accuracy is better."
    ),
    formula=r"-\sum_k \left((1-\varepsilon)\,[k=y] + \tfrac{\varepsilon}{K}\right)\log p_k",
    paper='Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", '
    "section 7",
    needs=("training",),
    strengths="Costs nothing; helps against overconfidence and wrong labels.",
    limits="Probabilities are no longer to be taken at face value; a smoothed teacher teaches "
    "less (Mueller et al. 2019).",
    settings={"label_smoothing": 0.1},
    loss=smoothed_loss,
)
