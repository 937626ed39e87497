"""What is known about joint cuts before any plan was measured: constants fitted to the samples.

``python -m tests.benchmarks.prediction_error`` fits these numbers to the random plans that
``tests.benchmarks.prediction_cases`` measured, and prints them as they stand here.
"""

from dataclasses import dataclass
from typing import Literal

CurvesRepair = Literal["same", "milder", "stronger"]
"""The repair behind the curves, compared with the one that is predicted."""
Four = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shift:
    """What is expected of the correction's weights, and how far a model may be from that.

    Attributes:
        weights: Mean of each weight over models.
        deviations: Standard deviation of each weight between models.
        spread: Variance of the logarithm of the loss increase that comes on top.
    """

    weights: Four = (0.0, 0.0, 0.0, 0.0)
    deviations: Four = (0.0, 0.0, 0.0, 0.0)
    spread: float = 0.0


@dataclass(frozen=True)
class Prior:
    """Constants of the prediction.

    Attributes:
        exponent: How damages reinforce each other: 1 would be their sum.
        ceiling: Loss increase at which damage saturates, in units of that of guessing.
        same: The correction where the curves are of the plan's own criterion and repair.
        other_criterion: What is added to it where they are of another criterion.
        milder_repair: What is added where they were measured after a milder repair.
        stronger_repair: What is added where they were measured after a stronger one.
        spread: Variance of the logarithm of the loss increase that no correction explains: of a
            single cut, and what joint cuts add.
        loss_noise: Variance of a measured loss increase, of one image, in units of the increase.
        accuracy_noise: Variance of a measured accuracy at a known loss, of one image, in units of
            the accuracy that was lost.
        map_spread: Standard deviation of the accuracy that goes with a loss, as a share of what
            was lost.
    """

    exponent: float
    ceiling: float
    same: Shift
    other_criterion: Shift
    milder_repair: Shift
    stronger_repair: Shift
    spread: tuple[float, float]
    loss_noise: float
    accuracy_noise: float
    map_spread: float


PRIOR = Prior(
    exponent=1.365,
    ceiling=1.3,
    same=Shift((0.0, 0.0, 0.0, 0.0), (0.02, 0.02, 0.3, 0.2)),
    other_criterion=Shift((0.0, 0.0, 0.0, 0.0), (0.7, 0.2, 0.3, 0.1)),
    milder_repair=Shift((-2.8, 0.0, 0.0, 0.0), (0.7, 0.4, 0.3, 0.1)),
    stronger_repair=Shift((2.8, 0.0, 0.0, 0.0), (1.0, 0.5, 0.3, 0.1)),
    spread=(0.1, 0.15),
    loss_noise=1.5,
    accuracy_noise=1.5,
    map_spread=0.1,
)
