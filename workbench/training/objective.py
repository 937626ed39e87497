"""What a training looks at and what it is asked for: noise on images, labels and a teacher."""

import torch
from torch import Tensor, nn

from workbench.data import Data, Split
from workbench.finetune_settings import FineTuneSettings
from workbench.training.method import PixelRange
from workbench.training.methods import FINETUNING
from workbench.training.methods.distillation import distillation_loss
from workbench.training.methods.label_smoothing import smoothed_loss


class Objective:
    """The loss of a batch: labels, smoothed or not, and the answers of a teacher.

    Args:
        settings: How to train.
        teacher: Another network for the same images and classes; without one, labels alone count.
        layout: How the teacher wants its images laid out.
    """

    def __init__(
        self, settings: FineTuneSettings, teacher: nn.Module | None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:  # fmt: skip
        self._smoothing, self._temperature = settings.label_smoothing, settings.temperature
        self._weight, self._layout = settings.distillation, layout
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)

    def __call__(self, outputs: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            outputs: Scores of what is trained, ``(batch, classes)``.
            labels: Classes, ``(batch,)``.
            images: What the teacher is shown, ``(batch, channels, height, width)``: without noise,
                laid out as they came.
        """
        loss = smoothed_loss(outputs, labels, self._smoothing)
        if self._teacher is None:
            return loss
        with torch.no_grad():
            taught = self._teacher(images.to(outputs.device, memory_format=self._layout))
        learnt = distillation_loss(outputs, taught, self._temperature)
        return (1 - self._weight) * loss + self._weight * learnt


class Noise:
    """The noise that settings ask for, the same for the same seed.

    Args:
        settings: Which noise and how strong.
        pixels: Black and white.
    """

    def __init__(self, settings: FineTuneSettings, pixels: PixelRange) -> None:
        self._changes = [
            (method.change, float(getattr(settings, method.name)))
            for method in FINETUNING.values()
            if method.change is not None and method.is_on(settings)
        ]
        self._pixels = pixels
        # of its own, so that images come in the same order and shifted alike without noise
        self._generator = torch.Generator().manual_seed(settings.seed ^ 0x6E6F697365)

    def __call__(self, images: Tensor) -> Tensor:
        """Noisy copies of images ``(batch, channels, height, width)``; themselves without noise."""
        for change, strength in self._changes:
            images = change(images, strength, self._pixels, self._generator)
        return images


def pixel_range(data: Data, train: Split) -> PixelRange:
    """Black and white as the network sees them.

    For whole numbers from 0 to 255 that is 0 and 1, normalised; for images that are taken as they
    are, the darkest and the brightest value of each channel in the training images.
    """
    if data.x_train.dtype == "uint8":
        channels = data.input_shape[0]
        shape = (-1, 1, 1)
        mean = torch.tensor(data.mean, dtype=torch.float32).view(shape).expand(channels, 1, 1)
        std = torch.tensor(data.std, dtype=torch.float32).view(shape).expand(channels, 1, 1)
        return PixelRange((0 - mean) / std, (1 - mean) / std)
    return PixelRange(
        train.images.amin((0, 2, 3)).view(-1, 1, 1), train.images.amax((0, 2, 3)).view(-1, 1, 1)
    )
