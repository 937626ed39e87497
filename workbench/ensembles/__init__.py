"""Ensembles: several saved models that answer as one."""

from workbench.ensembles.ensemble import Combine, Ensemble
from workbench.errors import SettingsError
from workbench.method import discover
from workbench.names import suggest

ENSEMBLES: dict[str, Ensemble] = discover(__name__, __file__)  # type: ignore[assignment]
"""Every way to combine models by name; a new one is a file of this package with a ``METHOD``."""

__all__ = ["ENSEMBLES", "Combine", "Ensemble", "get_ensemble"]


def get_ensemble(name: str) -> Ensemble:
    """A way to combine models by its name.

    Raises:
        SettingsError: If there is none of that name.
    """
    if name not in ENSEMBLES:
        raise SettingsError(f"There is no ensemble {name!r}.", suggest(name, ENSEMBLES))
    return ENSEMBLES[name]
