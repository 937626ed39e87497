"""Ensembles: several saved models that answer as one, beside the dense model."""

from typing import TYPE_CHECKING, Any

from workbench.ensembles.ensemble import Combine, Ensemble
from workbench.ensembles.registry import ENSEMBLES, get_ensemble

if TYPE_CHECKING:
    from workbench.ensembles.combining import combine_models
    from workbench.ensembles.values import Combined, Ensembles, EnsembleSettings, Member

_LATER = {
    "combine_models": "combining", "Combined": "values", "Ensembles": "values",
    "EnsembleSettings": "values", "Member": "values",
}  # fmt: skip
"""What needs torch, and so is imported when first asked for: the methods' texts need none."""

__all__ = [
    "ENSEMBLES",
    "Combine",
    "Combined",
    "Ensemble",
    "EnsembleSettings",
    "Ensembles",
    "Member",
    "combine_models",
    "get_ensemble",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
