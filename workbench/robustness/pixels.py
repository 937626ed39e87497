"""The corrupted images of a measurement: what a network takes, and what a person sees."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from workbench.corruptions import corrupt
from workbench.data import Data, Split
from workbench.metrics import BATCH
from workbench.robustness.values import CLEAN

GREY = 127


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


def example_sheet(
    data: Data, corruption: str, severity: int, *, count: int = 6, side: int = 84, gap: int = 4,
    num_samples: int = 1_000, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """The first images of a measurement beside each other, as a person sees them.

    Args:
        data: See ``example_images``.
        corruption: See there.
        severity: See there.
        count: See there.
        side: Images are enlarged pixel by pixel as far as they stay within this height.
        gap: Grey pixels between two of them.
        num_samples: See ``example_images``.
        seed: See there.

    Returns:
        uint8 ``(height, width, 3)``; of images with one channel that channel thrice, of more than
        three the first three.
    """
    images = example_images(
        data, corruption, severity, count=count, num_samples=num_samples, seed=seed
    )
    times = max(1, side // images.shape[1])
    large = images.repeat(times, 1).repeat(times, 2)
    framed = np.pad(large, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=GREY)
    row = np.concatenate(list(framed), axis=1)[:, : framed.shape[2] * len(framed) - gap]
    return row.repeat(3, 2) if row.shape[2] == 1 else row[:, :, :3]


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
