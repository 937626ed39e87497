"""Movement: whether training pushes a weight away from zero or towards it."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data import Data
from workbench.gathering.images import batches, training
from workbench.model import Model
from workbench.progress import ShouldStop, never, raise_if_stopped

STEPS_IMAGES = 1_024
"""Training images of the steps, each seen once."""
LEARNING_RATE = 0.01


def gather_movement(
    model: Model, data: Data, seed: int, should_stop: ShouldStop = never
) -> Mapping[str, Tensor]:
    """Let a copy train for some steps and add up -w g for every weight.

    Plain stochastic gradient descent, BatchNorm statistics held. Sums are divided by the number
    of steps.

    Returns:
        Parameter name to a tensor of its shape; positive where the weight grows.

    Reference:
        Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4.
    """
    split = training(model, data, seed, STEPS_IMAGES)
    module = model.copy_module().eval()
    named = [(n, p.requires_grad_()) for n, p in module.named_parameters() if p.is_floating_point()]
    moved = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in named}
    steps = [*batches(split)]
    for images, labels in steps:
        raise_if_stopped(should_stop)
        with torch.enable_grad():
            loss = F.cross_entropy(module(images), labels)
            slopes = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
        with torch.no_grad():
            for (name, parameter), slope in zip(named, slopes, strict=True):
                if slope is not None and slope.isfinite().all():
                    moved[name] -= parameter.double() * slope.double() / len(steps)
                    parameter -= LEARNING_RATE * slope
    return {name: value.float() for name, value in moved.items()}
