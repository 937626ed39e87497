"""Less contrast."""

from typing import TYPE_CHECKING

from workbench.corruptions.corruption import Corruption

if TYPE_CHECKING:
    import numpy as np


def lower_contrast(
    images: "np.ndarray",
    strength: float,
    generator: "np.random.Generator",  # noqa: ARG001  nothing here is random
) -> "np.ndarray":
    """Keep the fraction ``strength`` of every value's distance to the mean of its image."""
    means = images.mean(axis=(2, 3), keepdims=True)
    kept: np.ndarray = means + strength * (images - means)
    return kept


METHOD = Corruption(
    name="contrast",
    title="Contrast",
    summary="Moves every value towards the mean of its image, as fog or a bad exposure does.",
    explanation=(
        "In fog, behind a dusty window or with a wrong exposure an image keeps its shapes but "
        "loses the distance between light and dark. This corruption takes the mean of each "
        "channel of an image and keeps only a part of every value's distance to it: three "
        "quarters of it at the first severity, down to a seventh or less at the last. Edges stay "
        "where they are, only weaker, so a person recognises the object with ease. A network "
        "without normalisation of its input sees all its activations shrink at once, and its "
        "biases, tuned to the usual scale, begin to decide in place of the image."
    ),
    formula=r"\tilde{x} = \bar{x} + c\,(x - \bar{x})",
    paper='Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common '
    'Corruptions and Perturbations", section 3; strengths of CIFAR-10-C and ImageNet-C',
    strengths="No detail is lost, so what a network loses here it lost through scale alone.",
    limits="Harmless to a network that normalises every image for itself.",
    unit="fraction of contrast kept",
    small=(0.75, 0.5, 0.4, 0.3, 0.15),
    large=(0.4, 0.3, 0.2, 0.1, 0.05),
    apply=lower_contrast,
)
