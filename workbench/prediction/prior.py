"""What is known about joint cuts before any plan was measured: constants fitted to the samples.

``python -m tests.benchmarks.prediction_fit`` fits these numbers to plans, random ones and those of
allocations, that ``tests.benchmarks.prediction_cases`` measured, and prints them as they stand
here; ``tests.benchmarks.prediction_error`` tells how good they are on models they were not fitted
on.
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
        unrepaired: What is added to it where nothing is repaired: such models can be confidently
            wrong.
        other_criterion: What is added where the curves are of another criterion.
        milder_repair: What is added where they were measured after a milder repair, or none.
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
    unrepaired: Shift
    other_criterion: Shift
    milder_repair: Shift
    stronger_repair: Shift
    spread: tuple[float, float]
    loss_noise: float
    accuracy_noise: float
    map_spread: float

    def parts(
        self, repaired: bool, same_criterion: bool, curves_repair: CurvesRepair
    ) -> tuple[Shift, ...]:  # fmt: skip
        """What the expected correction is the sum of; see ``fit_predictor``."""
        other = {"same": None, "milder": self.milder_repair, "stronger": self.stronger_repair}
        found = (
            self.same, None if repaired else self.unrepaired,
            None if same_criterion else self.other_criterion, other[curves_repair],
        )  # fmt: skip
        return tuple(part for part in found if part is not None)


PRIOR = Prior(
    exponent=1.453,
    ceiling=1.289,
    same=Shift((0.0, 0.0, 0.018, 0.228), (0.0, 0.0, 0.094, 0.1)),
    unrepaired=Shift((-0.073, -0.044, 0.0, 0.0), (0.208, 0.068, 0.0, 0.0), 0.002),
    other_criterion=Shift((0.0, 0.0, 0.0, 0.0), (1.054, 0.221, 0.0, 0.0), 0.085),
    milder_repair=Shift((-2.477, -0.077, 0.0, 0.0), (0.7, 0.2, 0.0, 0.0), 0.071),
    stronger_repair=Shift((2.127, -0.098, 0.0, 0.0), (0.7, 0.243, 0.0, 0.0), 0.137),
    spread=(0.122, 0.002),
    loss_noise=0.655,
    accuracy_noise=0.819,
    map_spread=0.135,
)
