"""The corrupted images of a measurement: what a network takes, and what a person sees."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from workbench.corruptions import corrupt
from workbench.data import Data, Split
from workbench.metrics import BATCH
from workbench.robustness.values import CLEAN


def example_images(
    data: Data, corruption: str, severity: int, *, count: int = 6, num_samples: int = 1_000,
    seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """The first images that a measurement looks at, as a person sees them.

    Args:
        data: Where they come from.
        corruption: A name in ``CORRUPTIONS``, or ``clean``.
        severity: 1 to 5; 0 for clean ones.
        count: At most so many, up to 100.
        num_samples: Of the measurement.
        seed: Of the measurement.

    Returns:
        uint8 ``(count, height, width, channels)``.
    """
    split = data.split("test", num_samples, seed)
    first = Split(split.name, split.images[:BATCH], split.labels[:BATCH])
    scale = PixelScale(data)
    unit = scale.to_unit(first.images)
    if corruption != CLEAN:
        unit = corrupt(unit, corruption, severity, seed=seed)
    shown: np.ndarray = np.round(unit[:count].transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    return shown


class PixelScale:
    """Between the images a network takes and pixels in 0..1.

    uint8 images are 0..1 before their normalisation. float32 images are taken as they are by the
    network; here the least and the greatest value of the training images count as 0 and 1.
    """

    def __init__(self, data: Data) -> None:
        if data.x_test.dtype == np.uint8:
            low = -np.array(data.mean, np.float32) / np.array(data.std, np.float32)
            span = 1 / np.array(data.std, np.float32)
        else:
            low = np.array([data.x_train.min()], np.float32)
            span = np.array([max(float(data.x_train.max()) - float(low[0]), 1e-12)], np.float32)
        self._low, self._span = (value.reshape(1, -1, 1, 1) for value in (low, span))

    def to_unit(self, images: Tensor) -> np.ndarray:
        """Pixels in 0..1, clipped, ``(samples, channels, height, width)``."""
        unit: np.ndarray = np.clip((images.numpy() - self._low) / self._span, 0, 1)
        return unit

    def from_unit(self, unit: np.ndarray) -> Tensor:
        """What a network takes."""
        return torch.from_numpy((unit * self._span + self._low).astype(np.float32))


def corrupted_batches(
    split: Split, scale: PixelScale, corruption: str, severity: int, seed: int
) -> Iterator[Tensor]:
    """The images of a condition in batches, ready for a network; clean ones as they are."""
    for part, start in enumerate(range(0, len(split), BATCH)):
        images = split.images[start : start + BATCH]
        if corruption == CLEAN:
            yield images
        else:
            unit = corrupt(scale.to_unit(images), corruption, severity, seed=seed, part=part)
            yield scale.from_unit(unit)
