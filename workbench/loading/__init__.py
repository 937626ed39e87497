"""Loading models and data: samples, files, uploads and the user's own code.

Nothing inside a file is executed, sizes are bounded before anything unpacks, and whatever does
not fit is refused by name. The functions that build networks and images bring torch in when they
are first asked for; names and cards of samples need none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from workbench.loading.samples import (
    sample_card,
    sample_data_names,
    sample_folder,
    sample_names,
)

if TYPE_CHECKING:
    from workbench.loading.arrays import load_data, load_uploaded_data
    from workbench.loading.models import load_model, load_uploaded_model

__all__ = [
    "load_data",
    "load_model",
    "load_uploaded_data",
    "load_uploaded_model",
    "sample_card",
    "sample_data_names",
    "sample_folder",
    "sample_names",
]

_HOMES = {
    "load_data": "arrays",
    "load_uploaded_data": "arrays",
    "load_model": "models",
    "load_uploaded_model": "models",
}


def __getattr__(name: str) -> object:
    """Import a loader's module when the loader is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
