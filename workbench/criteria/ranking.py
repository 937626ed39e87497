"""What a criterion is, and how the weights of a layer are scored with one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import PlanError


@dataclass(frozen=True)
class Criterion:
    """One way to rank weights.

    Attributes:
        name: The word used in plans and on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
        score: Weight of any shape and a generator to scores of the same shape; higher is kept.
        squares: Whether scores are squares: the norm of several weights is the root of their sum.
        weighs: Whether scores depend on the weights; otherwise every unit draws its own.
    """

    name: str
    title: str
    summary: str
    score: Callable[[Tensor, torch.Generator], Tensor]
    squares: bool = False
    weighs: bool = True


def layer_generator(seed: int, layer_name: str) -> torch.Generator:
    """Randomness of one layer, the same whatever the order of the layers."""
    digest = hashlib.sha256(f"{seed} {layer_name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def score_layer(criterion: Criterion, weight: Tensor, seed: int, layer_name: str) -> Tensor:
    """Score the weights of one layer.

    Args:
        criterion: How to rank.
        weight: Any shape, e.g. ``(out, in, kh, kw)``.
        seed: Seed of the plan.
        layer_name: Makes the randomness of every layer its own.

    Returns:
        Scores of the shape of ``weight``, all of them finite.

    Raises:
        PlanError: If a score is NaN or infinite.
    """
    with torch.no_grad():
        scores = criterion.score(weight.detach(), layer_generator(seed, layer_name))
    bad = scores.numel() - int(torch.isfinite(scores).sum())
    if bad:
        raise PlanError(
            f"{layer_name} has {bad} of {scores.numel()} scores that are NaN or infinite "
            f"under criterion {criterion.name!r}.",
            "Look at the layer's weights: they cannot be ranked.",
        )
    return scores
