"""Noise training with salt and pepper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.training.method import FineTuning, PixelRange

if TYPE_CHECKING:
    from torch import Generator, Tensor


def add_salt_and_pepper(
    images: Tensor, density: float, pixels: PixelRange, generator: Generator
) -> Tensor:
    """Make a part of the pixels black or white, each as likely as the other.

    Args:
        images: ``(batch, channels, height, width)``, normalised; they stay as they are.
        density: Part of the pixels that is replaced, in all channels at once.
        pixels: Black and white after normalisation.
        generator: Decides.
    """
    batch, _, height, width = images.shape
    drawn = images.new_empty((batch, 1, height, width)).uniform_(generator=generator)
    salted = pixels.white.where(drawn < density / 2, images)
    return pixels.black.where(drawn >= 1 - density / 2, salted)


METHOD = FineTuning(
    name="salt_and_pepper",
    title="Salt-and-pepper training",
    summary="Makes some pixels of every training image black or white.",
    explanation=(
        "Dead cells of a sensor and errors of transmission leave single pixels that are fully "
        "black or fully white while their neighbours stay as they were. Salt-and-pepper training "
        "imitates that: every time an image is shown, each pixel is replaced with a small "
        "probability, by black or by white with equal chances. Few pixels change, but as much as "
        "they can, so the network learns not to trust any single one and to look at larger "
        "shapes. Reach for it when later images come from cheap cameras, scanners or a noisy "
        "line; combine it with Gaussian noise to cover both kinds."
    ),
    formula=r"P(\tilde{x} = \text{white}) = P(\tilde{x} = \text{black}) = \tfrac{p}{2},"
    r"\quad \tilde{x} = x \text{ otherwise}",
    paper='Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common '
    'Corruptions and Perturbations", section 3 (impulse noise), here for training',
    needs=("training",),
    strengths="Robust against defective pixels; quick.",
    limits="Clean accuracy falls a little; smooth corruptions such as blur do not gain.",
    settings={"salt_and_pepper": 0.05},
    change=add_salt_and_pepper,
)
