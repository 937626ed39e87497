"""A learning rate that rises and falls once."""

import math

from workbench.training.method import Course, FineTuning

PEAK = 0.3
START, END = 1 / 25, 1 / 25 / 1e4


def one_cycle(part: float, peak: float) -> float:
    """Two half cosines: up from a 25th to 1 at ``peak``, then down to a 250,000th."""
    if part <= peak:
        return _between(START, 1.0, part / peak)
    return _between(1.0, END, (part - peak) / (1 - peak))


def _between(start: float, end: float, way: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * way))


def one_cycle_factor(part: float, course: Course) -> float:  # noqa: ARG001
    """Highest after 30 % of the training."""
    return one_cycle(part, PEAK)


METHOD = FineTuning(
    name="one_cycle",
    title="One cycle",
    summary="From a 25th up to the highest in the first 30 %, then a cosine down to zero.",
    explanation=(
        "The learning rate begins at a twenty-fifth of its highest value, rises along half a "
        "cosine for the first three tenths of the training and then falls to almost nothing. The "
        "long rise lets the network bear a higher peak than it would from the start, and the high "
        "middle acts as a regulariser. The samples of the workbench were trained so. After "
        "pruning it suits trainings of many epochs with a bold learning rate; in very short ones "
        "a third of the time goes into the rise."
    ),
    formula=r"\eta(t) = \eta_{\max}\,\tfrac{1}{2}\left(1 - \cos\tfrac{\pi t}{0.3}\right)"
    r"\ (t \le 0.3),\quad \eta_{\max}\,\tfrac{1}{2}\left(1 + \cos\pi\tfrac{t-0.3}{0.7}\right)",
    paper='Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using '
    'Large Learning Rates", section 3',
    needs=("training",),
    strengths="Bears high learning rates; good for long trainings.",
    limits="Its slow start costs short trainings dearly.",
    settings={"schedule": "one_cycle"},
    factor=one_cycle_factor,
)
