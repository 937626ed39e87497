"""A learning rate that falls along a cosine; the usual schedule."""

import math

from workbench.training.method import Course, FineTuning
from workbench.training.warming import warm_up


def cosine_factor(part: float, course: Course) -> float:  # noqa: ARG001
    """Warm-up, then a cosine down to zero."""
    return warm_up(part) * 0.5 * (1 + math.cos(math.pi * part))


METHOD = FineTuning(
    name="cosine",
    title="Cosine",
    summary="Short warm-up, then a cosine down to zero.",
    explanation=(
        "Training begins with steps that grow for the first twentieth of the time, so that the "
        "momentum gathers before it moves much; then they shrink along the first half of a "
        "cosine: slowly at first, quickly in the middle, and gently towards zero at the end. "
        "Large steps find a good region soon, small ones settle in it. There is nothing to choose "
        "but the highest learning rate, and the last epoch is nearly always among the best ones, "
        "which makes it the usual schedule here."
    ),
    formula=r"\eta(t) = \eta_{\max}\,\tfrac{1}{2}\left(1 + \cos \pi t\right)",
    paper='Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", '
    "section 3 (a single cycle)",
    needs=("training",),
    strengths="Good whatever the length of the training; nothing to tune.",
    limits="How long it takes must be known from the start: half of a training is not a training "
    "of half the length.",
    settings={"schedule": "cosine"},
    factor=cosine_factor,
)
