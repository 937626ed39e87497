"""The beginning that several schedules share."""

WARM_UP = 0.05
"""Part of the training during which the learning rate rises."""


def warm_up(part: float) -> float:
    """A factor that rises from nearly 0 to 1 in the first twentieth of the training."""
    return min(1.0, (part + 1e-3) / WARM_UP)
