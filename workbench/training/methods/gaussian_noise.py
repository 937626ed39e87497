"""Noise training with Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.training.method import FineTuning, PixelRange

if TYPE_CHECKING:
    from torch import Generator, Tensor


def add_gaussian_noise(
    images: Tensor, sigma: float, pixels: PixelRange, generator: Generator
) -> Tensor:
    """Add a normal number to every value of every pixel and cut off what leaves the range.

    Args:
        images: ``(batch, channels, height, width)``, normalised; they stay as they are.
        sigma: Standard deviation, as a part of the way from black to white.
        pixels: Black and white after normalisation.
        generator: Decides.
    """
    noise = images.new_empty(images.shape).normal_(generator=generator)
    noisy = images + noise * (sigma * (pixels.white - pixels.black))
    return noisy.clamp(pixels.black, pixels.white)


METHOD = FineTuning(
    name="gaussian_noise",
    title="Gaussian noise training",
    summary="Adds a small random number to every pixel of every training image.",
    explanation=(
        "A network that has only seen clean images may lean on details that a little noise wipes "
        "out, and pruning takes away some of the filters that would average noise away. Noise "
        "training prepares for that: every time an image is shown, a fresh number from a normal "
        "distribution is added to each of its pixels, and what would be darker than black or "
        "brighter than white is cut off. The network cannot learn such images by heart, which "
        "also works against overfitting. Reach for it when the images of later use are noisier "
        "than those of training; strong noise costs accuracy on clean ones."
    ),
    formula=r"\tilde{x} = \operatorname{clip}(x + \sigma\,\varepsilon),"
    r"\quad \varepsilon \sim \mathcal{N}(0, 1)",
    paper='Bishop 1995, "Training with Noise is Equivalent to Tikhonov Regularization"; for '
    'corruptions: Rusak et al. 2020, "A Simple Way to Make Neural Networks Robust Against '
    'Diverse Image Corruptions"',
    needs=("training",),
    strengths="Robust against noise and fine texture, at hardly any cost in time.",
    limits="Clean accuracy falls where the noise is strong; other corruptions gain less.",
    settings={"gaussian_noise": 0.1},
    change=add_gaussian_noise,
)
