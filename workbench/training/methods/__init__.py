"""Options of training: one file each, with what it does and what is told of it."""

from workbench.method import discover
from workbench.training.method import FineTuning

FINETUNING: dict[str, FineTuning] = discover(__name__, __file__)  # type: ignore[assignment]
"""Every option by name; a new one is a file of this package with a ``METHOD``."""
