"""Salt-and-pepper noise."""

from typing import TYPE_CHECKING

from workbench.corruptions.corruption import Corruption

if TYPE_CHECKING:
    import numpy as np


def add_salt_and_pepper(
    images: "np.ndarray", strength: float, generator: "np.random.Generator"
) -> "np.ndarray":
    """Replace the fraction ``strength`` of all values by 0 or 1, each as likely as the other."""
    import numpy as np

    drawn = generator.random(images.shape, dtype="float32")
    salted = np.where(drawn < strength / 2, np.float32(1), images)
    return np.where(drawn >= 1 - strength / 2, np.float32(0), salted)


METHOD = Corruption(
    name="salt_and_pepper",
    title="Salt and pepper",
    summary="Sets some values, chosen at random, to black or to white.",
    explanation=(
        "Dead sensor cells and errors in transmission leave single pixels that are fully black or "
        "fully white while their neighbours stay intact. This corruption chooses each value of the "
        "image with a small probability and replaces it by zero or by one, both equally likely; "
        "all others stay as they are. Few pixels change, but each of them changes as much as it "
        "can, so the damage is of another kind than with Gaussian noise: it makes sharp false "
        "edges, to which the first layers of a convolutional network answer strongly. A pruned "
        "network with fewer filters has fewer ways to average them out."
    ),
    formula=r"P(\tilde{x} = 1) = P(\tilde{x} = 0) = \tfrac{p}{2},"
    r"\quad \tilde{x} = x \text{ otherwise}",
    paper='Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common '
    'Corruptions and Perturbations", section 3 (impulse noise)',
    strengths="Shows at once how much a network trusts single pixels.",
    limits="In colour images every channel is hit for itself, so the false pixels are coloured.",
    unit="fraction of values replaced",
    small=(0.01, 0.02, 0.03, 0.05, 0.07),
    large=(0.03, 0.06, 0.09, 0.17, 0.27),
    apply=add_salt_and_pepper,
)
