"""The hard concrete distribution: gates between 0 and 1 that are exactly 0 or 1 some of the time.

A concrete variable ``s = sigmoid((log u - log(1 - u) + log_alpha) / BETA)`` is stretched from
(0, 1) to (GAMMA, ZETA) and clipped to [0, 1] (Louizos, Welling and Kingma 2018, "Learning Sparse
Neural Networks through L0 Regularization", section 2.2).
"""

import math

import torch
from torch import Tensor

BETA = 2 / 3
GAMMA = -0.1
ZETA = 1.1
_SHIFT = BETA * math.log(-GAMMA / ZETA)


def sample_gates(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates for uniform noise.

    Args:
        log_alpha: Any shape.
        uniform: The same shape, strictly between 0 and 1.

    Reference:
        Louizos et al. 2018, equations 10 and 11.
    """
    concrete = ((uniform.logit() + log_alpha) / BETA).sigmoid()
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_alpha: Tensor) -> Tensor:
    """Probability that a gate is not 0; the sum over all gates is the expected L0 norm.

    Args:
        log_alpha: Any shape.

    Reference:
        Louizos et al. 2018, equation 12.
    """
    return (log_alpha - _SHIFT).sigmoid()


def final_gates(log_alpha: Tensor) -> Tensor:
    """Gates without noise, for use after the training.

    Args:
        log_alpha: Any shape.

    Reference:
        Louizos et al. 2018, equation 13.
    """
    return (log_alpha.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Uniform noise strictly between 0 and 1, on the generator's device."""
    tiny = 1e-6
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return drawn.clamp(tiny, 1 - tiny)
