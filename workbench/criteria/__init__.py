"""Criteria: how the weights of a layer are ranked; a higher score is kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.criteria.magnitude import l1_scores, l2_scores
from workbench.criteria.random import random_scores
from workbench.errors import PlanError
from workbench.names import suggest

__all__ = ["CRITERIA", "Criterion", "get_criterion", "layer_generator", "score_layer"]


@dataclass(frozen=True)
class Criterion:
    """One way to rank weights.

    Attributes:
        name: The word used in plans and on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
        score: Weight of any shape and a generator to scores of the same shape; higher is kept.
    """

    name: str
    title: str
    summary: str
    score: Callable[[Tensor, torch.Generator], Tensor]


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "l1", "Magnitude (L1)", "Prunes the weights of smallest absolute value first.",
            l1_scores,
        ),
        Criterion(
            "l2", "Magnitude (L2)",
            "Prunes the weights of smallest square first; for single weights the order is that "
            "of l1.",
            l2_scores,
        ),
        Criterion(
            "random", "Random",
            "Prunes weights at random, the baseline that every criterion should beat.",
            random_scores,
        ),
    )
}  # fmt: skip


def get_criterion(name: str) -> Criterion:
    """The criterion of that name.

    Raises:
        PlanError: If there is none.
    """
    if name not in CRITERIA:
        raise PlanError(f"There is no criterion {name!r}.", suggest(name, CRITERIA))
    return CRITERIA[name]


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
