"""Which images are looked at, how many, and how much of them at once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from workbench.data import Data, Split
from workbench.model import Model, check_fit

ACTIVATION_IMAGES = 512
"""Calibration images, without labels, that activations are taken from."""
GRADIENT_IMAGES = 512
"""Training images that gradients are taken on."""
BATCH = 32
"""Images of a step or of a pass."""


def calibration(model: Model, data: Data, seed: int, most: int = ACTIVATION_IMAGES) -> Tensor:
    """Calibration images ``(images, channels, height, width)`` in the model's own precision.

    Raises:
        DataError: If the data do not fit the model.
    """
    check_fit(model, data)
    return data.split("calibration", most, seed).images.to(dtype_of(model))


def training(model: Model, data: Data, seed: int, most: int = GRADIENT_IMAGES) -> Split:
    """Training images with their labels, in the model's own precision.

    Raises:
        DataError: If the data do not fit the model.
    """
    check_fit(model, data)
    split = data.split("train", most, seed)
    return Split(split.name, split.images.to(dtype_of(model)), split.labels)


def batches(split: Split, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, so many at a time."""
    yield from zip(split.images.split(size), split.labels.split(size), strict=True)


def dtype_of(model: Model) -> torch.dtype:
    """Precision of the model's weights."""
    kinds = (p.dtype for p in model.module.parameters() if p.is_floating_point())
    return next(kinds, torch.float32)
