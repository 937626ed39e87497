"""What a criterion is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.granularity import Granularity
    from workbench.groups import Group
    from workbench.scoring import Look


@dataclass(frozen=True, kw_only=True)
class Criterion(Method):
    """One way to rank what may go; a higher score is kept.

    A criterion ranks single weights, the units of coupled groups, or both. One that ranks weights
    ranks units too: by what all the weights that go with a unit score together (see
    ``workbench.scoring.score_units``), unless it has a way of its own.

    Attributes:
        weights: A look and the name of a parameter to scores of the parameter's shape; None where
            single weights cannot be ranked.
        units: A look and a coupled group to one score for each of its units, ``(num_units,)``;
            None takes the scores of its weights.
        squares: Whether scores of weights are squares: the norm of several weights is the root of
            their sum.
        gathers: What it asks to be gathered from images, a name in
            ``workbench.gathering.GATHERERS``; empty where it looks at nothing but the weights.
    """

    weights: Callable[[Look, str], Tensor] | None = None
    units: Callable[[Look, Group], Tensor] | None = None
    squares: bool = False
    gathers: str = ""

    @property
    def needs_data(self) -> bool:
        """Whether it looks at images."""
        return bool(self.gathers)

    def ranks(self, granularity: Granularity) -> bool:
        """Whether it can rank what goes together at a granularity."""
        return granularity.structured or self.weights is not None
