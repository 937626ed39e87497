"""Training: one loop for fine-tuning and for whatever else trains, and what may be added to it."""

from workbench.training.additions import Addition
from workbench.training.method import FineTuning
from workbench.training.methods import FINETUNING

__all__ = ["FINETUNING", "Addition", "FineTuning"]
