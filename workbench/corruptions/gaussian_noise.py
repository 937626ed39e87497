"""Gaussian noise."""

from typing import TYPE_CHECKING

from workbench.corruptions.corruption import Corruption

if TYPE_CHECKING:
    import numpy as np


def add_gaussian_noise(
    images: "np.ndarray", strength: float, generator: "np.random.Generator"
) -> "np.ndarray":
    """Add a normal number of standard deviation ``strength`` to every value of every pixel."""
    return images + strength * generator.standard_normal(images.shape, dtype="float32")


METHOD = Corruption(
    name="gaussian_noise",
    title="Gaussian noise",
    summary="Adds a normally distributed number to every value of every pixel.",
    explanation=(
        "A sensor in dim light does not report the brightness itself but the brightness plus a "
        "small random error, different in every pixel. This corruption imitates it: to every value "
        "of the image, scaled to 0..1, a number from a normal distribution around zero is added, "
        "and what leaves the range is cut off. A network that leans on fine texture stumbles over "
        "such noise early, while large shapes stay visible to a person through all five "
        "severities. The numbers come from the seed, so the dense and every pruned model look at "
        "exactly the same noisy images, and their difference is not one of luck."
    ),
    formula=r"\tilde{x} = \operatorname{clip}(x + \sigma\,\varepsilon,\ 0,\ 1),"
    r"\quad \varepsilon \sim \mathcal{N}(0, 1)",
    paper='Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common '
    'Corruptions and Perturbations", section 3; strengths of CIFAR-10-C and ImageNet-C',
    strengths="Simple, well known, and hard for networks that learnt fine texture.",
    limits="Independent in every pixel, which real cameras and their compression are not.",
    unit="standard deviation",
    small=(0.04, 0.06, 0.08, 0.09, 0.10),
    large=(0.08, 0.12, 0.18, 0.26, 0.38),
    apply=add_gaussian_noise,
)
