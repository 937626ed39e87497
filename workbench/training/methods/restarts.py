"""A learning rate that falls along a cosine again and again."""

import math

from workbench.training.method import Course, FineTuning
from workbench.training.warming import warm_up


def restarts_factor(part: float, course: Course) -> float:
    """``course.cycles`` cosines of the same length, with a warm-up before the first alone."""
    return warm_up(part) * 0.5 * (1 + math.cos(math.pi * (part * course.cycles % 1)))


METHOD = FineTuning(
    name="restarts",
    title="Cosine with restarts",
    summary="A cosine down to zero again and again, each time from the highest.",
    explanation=(
        "The learning rate falls along a cosine to zero, jumps back to its highest value, and "
        "falls again, as many times as there are cycles. Each jump shakes the network out of the "
        "region where it settled and gives it the chance to find a better one; if it does not, "
        "nothing is lost, because the best epoch on validation images is kept, and that is often "
        "the end of an earlier cycle. Take it for longer trainings of which you do not know how "
        "long is long enough: every cycle ends with a settled model."
    ),
    formula=r"\eta(t) = \eta_{\max}\,\tfrac{1}{2}"
    r"\left(1 + \cos\left(\pi\,(Ct \bmod 1)\right)\right)",
    paper='Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", '
    "section 3",
    needs=("training",),
    options=("cycles",),
    strengths="Settled models along the way; a way out of poor regions.",
    limits="Each restart first undoes a part of what was gained; of no use for an epoch or two.",
    settings={"schedule": "restarts", "cycles": 2},
    factor=restarts_factor,
)
