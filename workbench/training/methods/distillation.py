"""Knowledge distillation: the teacher's answers in place of part of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.training.method import FineTuning

if TYPE_CHECKING:
    from torch import Tensor


def distillation_loss(outputs: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """How far the softened answers of the student are from those of its teacher.

    Args:
        outputs: Scores of the student, ``(batch, classes)``.
        taught: Scores of the teacher for the same images.
        temperature: Divides both before they become probabilities, at least 1.

    Returns:
        ``temperature^2`` times the mean Kullback-Leibler divergence of the student's
        probabilities from the teacher's, in nats; a scalar.

    Reference:
        Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
    """
    student = (outputs / temperature).log_softmax(1)
    teacher = (taught / temperature).log_softmax(1)
    divergence = (teacher.exp() * (teacher - student)).sum(1)
    return divergence.mean() * temperature**2


METHOD = FineTuning(
    name="distillation",
    title="Distillation",
    summary="Learns from the answers of a teacher, such as the dense model, besides the labels.",
    explanation=(
        "A label says only which class is right. The dense model says more: that this shirt looks "
        "a good deal like a coat and not at all like a shoe. Distillation shows every training "
        "image to that teacher as well, softens the answers of both networks by a temperature, so "
        "that the small probabilities count, and asks the pruned network to come close to them. "
        "The weight sets how much of the loss that is; the labels have the rest. Reach for it "
        "when a model was cut hard or when labels are few; it costs a second forward pass."
    ),
    formula=r"(1-\alpha)\,\mathrm{CE}(y, p) + \alpha\,T^2\,\mathrm{KL}\!\left("
    r"\mathrm{softmax}(z^{t}/T)\,\middle\|\,\mathrm{softmax}(z^{s}/T)\right)",
    paper='Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", '
    "section 2",
    needs=("training",),
    options=("temperature", "teacher"),
    strengths="Uses what the teacher knows beyond the labels; any network of the same classes will "
    "do.",
    limits="A second forward pass for every step; the teacher's mistakes are learnt, too; a high "
    "temperature makes the steps larger, so it asks for a lower learning rate.",
    settings={"distillation": 0.7, "temperature": 4.0},
    loss=distillation_loss,
)
