"""All methods of sparse training by name."""

from typing import cast

from workbench.errors import SettingsError
from workbench.method import discover
from workbench.names import suggest
from workbench.sparse_training import penalties, schedules
from workbench.sparse_training.kinds import SparseMethod


def _methods(package: str, file: str | None) -> dict[str, SparseMethod]:
    return cast("dict[str, SparseMethod]", discover(package, str(file)))


SPARSE_METHODS = _methods(penalties.__name__, penalties.__file__)
"""Penalties: each module of ``penalties`` adds one."""
SCHEDULES = _methods(schedules.__name__, schedules.__file__)
"""Schedules: each module of ``schedules`` adds one."""


def all_methods() -> dict[str, SparseMethod]:
    """Penalties, then schedules."""
    return SPARSE_METHODS | SCHEDULES


def get_sparse_method(name: str) -> SparseMethod:
    """The penalty or schedule of that name.

    Raises:
        SettingsError: If there is none.
    """
    methods = all_methods()
    if name not in methods:
        raise SettingsError(
            f"There is no method of sparse training {name!r}.", suggest(name, methods)
        )
    return methods[name]
