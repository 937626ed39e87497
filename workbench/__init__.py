"""Visual pruning of trained networks: look, measure, prune, repair, fine-tune, compare, export."""

__version__ = "0.1.0"
