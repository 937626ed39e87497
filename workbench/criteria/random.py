"""Ranking by chance: the baseline."""

import torch
from torch import Tensor


def random_scores(weight: Tensor, generator: torch.Generator) -> Tensor:
    """A uniform random number for each weight, drawn on the CPU so that devices agree.

    Args:
        weight: Any shape, e.g. ``(out, in, kh, kw)``.
        generator: Decides the numbers.

    Reference:
        Blalock et al. 2020, "What is the State of Neural Network Pruning?", section 7.
    """
    scores = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
    return scores.to(weight.device)
