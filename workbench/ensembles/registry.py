"""Every way to combine models by its name."""

from pathlib import Path

from workbench.ensembles.ensemble import Ensemble
from workbench.errors import SettingsError
from workbench.method import discover
from workbench.names import suggest

ENSEMBLES: dict[str, Ensemble] = discover(  # type: ignore[assignment]
    "workbench.ensembles.methods", str(Path(__file__).parent / "methods" / "__init__.py")
)
"""Every way to combine models; a new one is a file of ``methods`` with a ``METHOD``."""


def get_ensemble(name: str) -> Ensemble:
    """A way to combine models by its name.

    Raises:
        SettingsError: If there is none of that name.
    """
    if name not in ENSEMBLES:
        raise SettingsError(f"There is no ensemble {name!r}.", suggest(name, ENSEMBLES))
    return ENSEMBLES[name]
