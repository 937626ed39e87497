"""Criteria: what ranks the weights of a layer or the channels of a group; a higher score is kept.

One file, one criterion: its function, what is told of it, its formula and its paper. A file that
is put here is found by itself, on the pages, on the command line and in the tests.
"""

from typing import cast

from workbench.criteria.criterion import Criterion
from workbench.errors import PlanError
from workbench.method import discover
from workbench.names import suggest

__all__ = ["CRITERIA", "Criterion", "get_criterion"]

CRITERIA = cast(dict[str, Criterion], discover(__name__, __file__))


def get_criterion(name: str) -> Criterion:
    """The criterion of that name.

    Raises:
        PlanError: If there is none.
    """
    if name not in CRITERIA:
        raise PlanError(f"There is no criterion {name!r}.", suggest(name, CRITERIA))
    return CRITERIA[name]
