"""Gaussian blur."""

from typing import TYPE_CHECKING

from workbench.corruptions.corruption import Corruption

if TYPE_CHECKING:
    import numpy as np


def blur(
    images: "np.ndarray",
    strength: float,
    generator: "np.random.Generator",  # noqa: ARG001  nothing here is random
) -> "np.ndarray":
    """Average every pixel with its neighbours, weighted by a bell of ``strength`` pixels."""
    from scipy.ndimage import gaussian_filter

    blurred: np.ndarray = gaussian_filter(
        images, sigma=strength, mode="nearest", truncate=4.0, axes=(2, 3)
    )
    return blurred


METHOD = Corruption(
    name="blur",
    title="Blur",
    summary="Averages every pixel with its neighbours, as a lens out of focus does.",
    explanation=(
        "A lens out of focus, a dirty one, or a picture that was enlarged from a small one loses "
        "its fine detail. This corruption replaces every pixel by a weighted average of those "
        "around it, with weights that fall off like a bell curve; its width is the strength. "
        "Beyond the edge of the image its outermost pixels are continued. Thin lines and texture "
        "fade first, then corners and small parts, until only broad patches are left. Nothing in it"
        " is random. Networks that tell classes apart by fine texture lose most, and pruning often "
        "removes just the filters that answered to coarse shapes."
    ),
    formula=r"\tilde{x} = x * G_\sigma,\quad G_\sigma(d) \propto e^{-d^2 / (2 \sigma^2)}",
    paper='Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common '
    'Corruptions and Perturbations"; Gaussian blur is one of their four extra corruptions',
    strengths="The opposite of noise: it takes fine detail away instead of adding some.",
    limits="On images much below 32 pixels the first severities change next to nothing.",
    unit="standard deviation, pixels",
    small=(0.4, 0.6, 0.7, 0.8, 1.0),
    large=(1.0, 2.0, 3.0, 4.0, 6.0),
    in_pixels=True,
    apply=blur,
)
