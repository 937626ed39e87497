"""Which repairs do something for the model on the bench."""

from workbench.ui import session
from workbench.ui.i18n import _


def repair_names() -> list[str]:
    """Names in ``REPAIRS`` that can change this model."""
    from workbench.repair import REPAIRS

    return [name for name in REPAIRS if name != "bn" or _has_batch_norm()]


def usual_repair(kept: str | None = None) -> str:
    """The repair that was chosen before, where it fits the model; else the best that does."""
    names = repair_names()
    return str(kept) if kept in names and len(names) > 1 else names[-1]


def quick_repair(kept: str | None = None) -> str:
    """The same for many small measurements: unless chosen, one that takes no time."""
    names = repair_names()
    if kept in names and len(names) > 1:
        return str(kept)
    return "bn" if "bn" in names else "none"


def repair_note(name: str) -> str:
    """One sentence on a repair, or on why there is nothing to choose from."""
    from workbench.repair import REPAIRS

    if len(repair_names()) == 1:
        return _("This model has no BatchNorm layers, so there are no statistics to repair.")
    return REPAIRS[name].summary


def _has_batch_norm() -> bool:
    return any(layer.type.startswith("BatchNorm") for layer in session.inspection().layers)
