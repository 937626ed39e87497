"""A first run of a network that was just loaded."""

import math

import torch
from torch import Tensor, nn

from workbench.errors import LoadError
from workbench.loading import limits
from workbench.loading.wording import article, by, first_line


def check_runs(source: str, module: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Run two black images through the network and return its number of classes.

    Raises:
        LoadError: If it fails on that shape or gives anything but finite scores per class.
    """
    if math.prod(input_shape) > limits.MAX_IMAGE_NUMBERS:
        raise LoadError(
            f"{source} is for images of shape {by(input_shape)}, which are "
            f"{math.prod(input_shape):,} numbers each.",
            f"Choose images of up to {limits.MAX_IMAGE_NUMBERS:,} numbers.",
        )
    try:
        with torch.no_grad():
            scores = module(torch.zeros(2, *input_shape))
    except Exception as fault:
        raise LoadError(
            f"The network in {source} does not run on images of shape {by(input_shape)} "
            f"({first_line(fault)}).",
            "Give the shape of the images it was trained on: channels, height, width.",
        ) from fault
    if not isinstance(scores, Tensor) or scores.dim() != 2 or scores.shape[0] != 2:
        tensor = isinstance(scores, Tensor)
        found = f"shape {by(scores.shape)}" if tensor else article(type(scores).__name__)
        raise LoadError(
            f"The network in {source} answers two images with {found}; 2 x classes was expected.",
            "Wrap it so that it returns one score per class and image.",
        )
    if scores.shape[1] < 2:
        raise LoadError(
            f"The network in {source} has {scores.shape[1]} output; a classifier has one score "
            "for each of at least 2 classes.",
            "Choose a network that tells classes apart.",
        )
    if not bool(torch.isfinite(scores).all()):
        raise LoadError(
            f"The network in {source} gives NaN or infinite scores for a black image.",
            "Its weights are finite but too large, or a running variance is negative: take an "
            "earlier checkpoint.",
        )
    return int(scores.shape[1])
