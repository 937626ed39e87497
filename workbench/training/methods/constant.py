"""A learning rate that stays as it is."""

from workbench.training.method import Course, FineTuning
from workbench.training.warming import warm_up


def constant_factor(part: float, course: Course) -> float:  # noqa: ARG001
    """Warm-up, then always the highest learning rate."""
    return warm_up(part)


METHOD = FineTuning(
    name="constant",
    title="Constant",
    summary="Short warm-up, then always the highest one.",
    explanation=(
        "After a short warm-up every step is taken with the same learning rate. That is how "
        "fine-tuning after pruning was done in many early papers, usually with the small last "
        "learning rate of the original training. It shows plainly what a given step size does, "
        "and a training can be prolonged at any time without having planned for it. Choose the "
        "learning rate lower than for the other schedules, since nothing makes the steps smaller "
        "at the end; the best epoch on validation images is kept all the same."
    ),
    formula=r"\eta(t) = \eta_{\max}",
    paper='Han et al. 2015, "Learning both Weights and Connections", section 3.3 (retraining at '
    "the low learning rate of the end)",
    needs=("training",),
    strengths="Simple, and can be prolonged at any time.",
    limits="Ends in noise of the size of its steps; usually a little below a falling schedule.",
    settings={"schedule": "constant"},
    factor=constant_factor,
)
