"""Ranking by the size of a weight."""

import torch
from torch import Tensor


def l1_scores(weight: Tensor, _generator: torch.Generator) -> Tensor:
    """Absolute value of each weight.

    Args:
        weight: Any shape, e.g. ``(out, in, kh, kw)``.
        _generator: Not used.

    Reference:
        Han et al. 2015, "Learning both Weights and Connections", section 3.
    """
    return weight.abs()


def l2_scores(weight: Tensor, _generator: torch.Generator) -> Tensor:
    """Square of each weight, in double precision so that tiny weights keep their order.

    Args:
        weight: Any shape, e.g. ``(out, in, kh, kw)``.
        _generator: Not used.

    Reference:
        Han et al. 2015, "Learning both Weights and Connections", section 3.
    """
    return weight.double().square()
