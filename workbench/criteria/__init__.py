"""Criteria: what ranks the weights of a layer or the channels of a group; a higher score is kept.

One file, one criterion: its function, what is told of it, its formula and its paper. A file that
is put here is found by itself, on the pages, on the command line and in the tests.
"""

from typing import cast

from workbench.criteria.criterion import Criterion
from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.method import discover
from workbench.names import suggest

__all__ = ["CRITERIA", "Criterion", "fitting_criteria", "get_criterion"]

CRITERIA = cast(dict[str, Criterion], discover(__name__, __file__))


def get_criterion(name: str, granularity: str = "") -> Criterion:
    """The criterion of that name.

    Args:
        name: As in plans.
        granularity: What it is to rank, as in plans; empty where that does not matter.

    Raises:
        PlanError: If there is none, or it cannot rank that.
    """
    if name not in CRITERIA:
        raise PlanError(f"There is no criterion {name!r}.", suggest(name, CRITERIA))
    criterion = CRITERIA[name]
    if granularity and not criterion.ranks(parse_granularity(granularity)):
        raise PlanError(
            f"Criterion {name!r} ranks whole channels, not single weights.",
            "Choose granularity 'channel', or a criterion such as 'l1'.",
        )
    return criterion


def fitting_criteria(granularity: str, images: bool = True) -> list[str]:
    """Names of the criteria that can rank a granularity.

    Args:
        granularity: As in plans.
        images: Whether there are images to look at.

    Raises:
        PlanError: If there is no such granularity.
    """
    kind = parse_granularity(granularity)
    return [
        name for name, one in CRITERIA.items() if one.ranks(kind) and (images or not one.needs_data)
    ]
