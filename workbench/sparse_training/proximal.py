"""Proximal steps: what a penalty does to weights in one step, with exact zeros where it has any.

A gradient step on the loss is followed by the proximal step of the penalty, which solves
``min_v |v - w|^2 / 2 + step * penalty(v)`` exactly (Parikh and Boyd 2014, "Proximal Algorithms",
sections 2 and 6). Thresholding after the training, by contrast, would cut what the penalty left.
"""

import torch
from torch import Tensor


def soft_threshold(values: Tensor, threshold: float) -> Tensor:
    """Proximal step of ``threshold * |v|_1``: every value moves to zero by so much and stays there.

    Args:
        values: Any shape.
        threshold: At least 0.

    Reference:
        Parikh and Boyd 2014, "Proximal Algorithms", section 6.5.2.
    """
    return values - values.clamp(-threshold, threshold)


def shrink(values: Tensor, strength: float) -> Tensor:
    """Proximal step of ``strength / 2 * |v|_2^2``: every value is divided by 1 + strength.

    Args:
        values: Any shape.
        strength: At least 0.

    Reference:
        Parikh and Boyd 2014, "Proximal Algorithms", section 6.1.1.
    """
    return values / (1 + strength)


def elastic_step(values: Tensor, threshold: float, strength: float) -> Tensor:
    """Proximal step of ``threshold * |v|_1 + strength / 2 * |v|_2^2``.

    Args:
        values: Any shape.
        threshold: Of the L1 part, at least 0.
        strength: Of the L2 part, at least 0.

    Reference:
        Parikh and Boyd 2014, "Proximal Algorithms", section 6.5.3.
    """
    return shrink(soft_threshold(values, threshold), strength)


def group_factors(norms: Tensor, thresholds: Tensor) -> Tensor:
    """By what each group is multiplied in the proximal step of ``sum(thresholds * |v_g|_2)``.

    Args:
        norms: Euclidean norm of each group, ``(groups,)``.
        thresholds: The same shape, at least 0.

    Returns:
        ``max(0, 1 - threshold / norm)``, ``(groups,)``; 0 for a group that is zero already.

    Reference:
        Yuan and Lin 2006, "Model selection and estimation in regression with grouped variables",
        section 2; Parikh and Boyd 2014, section 6.5.4.
    """
    safe = norms.clamp_min(torch.finfo(norms.dtype).tiny)
    return torch.where(norms > thresholds, 1 - thresholds / safe, torch.zeros_like(norms))
