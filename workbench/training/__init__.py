"""Training: one loop for fine-tuning and for whatever else trains, and what may be added to it."""

from workbench.training.additions import Addition

__all__ = ["Addition"]
