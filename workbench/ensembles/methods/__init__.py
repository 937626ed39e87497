"""Ways to combine models, a file each with a ``METHOD``."""
