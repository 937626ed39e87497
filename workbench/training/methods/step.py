"""A learning rate that falls in steps."""

from workbench.training.method import Course, FineTuning
from workbench.training.warming import warm_up

DROPS = (0.5, 0.75)
FACTOR = 0.1


def step_factor(part: float, course: Course) -> float:  # noqa: ARG001
    """Warm-up, the highest; a tenth from the half on, a hundredth from three quarters on."""
    return warm_up(part) * FACTOR ** sum(part >= drop for drop in DROPS)


METHOD = FineTuning(
    name="step",
    title="Steps",
    summary="Short warm-up; a tenth of it after half of the training, a hundredth after 3/4.",
    explanation=(
        "The learning rate stays at its highest for the first half of the training, falls to a "
        "tenth of it, and to a hundredth after three quarters. Residual networks were first "
        "trained so, and much of the literature on pruning follows them. At every drop the loss "
        "falls visibly, because the steps were too large to settle further; the curve of the "
        "accuracy shows the same. Take it to compare with published recipes; for a few epochs "
        "of fine-tuning the cosine does the same without corners."
    ),
    formula=r"\eta(t) = \eta_{\max} \cdot 10^{-[t \ge 1/2] - [t \ge 3/4]}",
    paper='He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2',
    needs=("training",),
    strengths="Comparable with much of the literature.",
    limits="Where the drops lie matters and is a matter of taste.",
    settings={"schedule": "step"},
    factor=step_factor,
)
