"""Criteria: how the weights of a layer are ranked; a higher score is kept."""

from workbench.criteria.magnitude import l1_scores, l2_scores
from workbench.criteria.random import random_scores
from workbench.criteria.ranking import Criterion, layer_generator, score_layer
from workbench.criteria.units import score_units
from workbench.errors import PlanError
from workbench.names import suggest

__all__ = [
    "CRITERIA",
    "Criterion",
    "get_criterion",
    "layer_generator",
    "score_layer",
    "score_units",
]


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "l1", "Magnitude (L1)", "Prunes the weights of smallest absolute value first.",
            l1_scores,
        ),
        Criterion(
            "l2", "Magnitude (L2)",
            "Prunes the weights of smallest square first; for single weights the order is that "
            "of l1.",
            l2_scores, squares=True,
        ),
        Criterion(
            "random", "Random",
            "Prunes weights at random, the baseline that every criterion should beat.",
            random_scores, weighs=False,
        ),
    )
}  # fmt: skip


def get_criterion(name: str) -> Criterion:
    """The criterion of that name.

    Raises:
        PlanError: If there is none.
    """
    if name not in CRITERIA:
        raise PlanError(f"There is no criterion {name!r}.", suggest(name, CRITERIA))
    return CRITERIA[name]
