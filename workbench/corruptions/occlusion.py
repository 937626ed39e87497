"""Occlusion."""

from typing import TYPE_CHECKING

from workbench.corruptions.corruption import Corruption

if TYPE_CHECKING:
    import numpy as np

GREY = 0.5


def occlude(
    images: "np.ndarray", strength: float, generator: "np.random.Generator"
) -> "np.ndarray":
    """Cover a square at random in each image; its side is ``strength`` of the shorter side."""
    import numpy as np

    samples, _, height, width = images.shape
    side = max(1, round(strength * min(height, width)))
    tops = generator.integers(0, height - side + 1, samples)
    lefts = generator.integers(0, width - side + 1, samples)
    rows, columns = np.arange(height), np.arange(width)
    in_rows = (rows >= tops[:, None]) & (rows < tops[:, None] + side)
    in_columns = (columns >= lefts[:, None]) & (columns < lefts[:, None] + side)
    covered = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return np.where(covered, np.float32(GREY), images)


METHOD = Corruption(
    name="occlusion",
    title="Occlusion",
    summary="Covers a grey square at a random place of each image.",
    explanation=(
        "Things stand in front of other things: a hand before the shirt, a sticker on the sign. "
        "This corruption puts one grey square over each image, wholly inside it and at a random "
        "place that the seed decides. Its side grows from a fifth of the image's shorter side to "
        "three fifths, so it covers between 4 and 36 percent of a square image. All that is "
        "outside the square is untouched. A network that gathers evidence from many places loses "
        "little by little; one that decides by a single part fails whenever that part is hidden. "
        "Pruning may turn the first kind into the second, and accuracy on clean images does not "
        "tell."
    ),
    formula=r"\tilde{x}_{ij} = \tfrac{1}{2} \text{ inside a square of side } s \cdot \min(h, w),"
    r"\quad \tilde{x}_{ij} = x_{ij} \text{ outside}",
    paper='Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section '
    "4.2 (grey square); our five sizes, for Hendrycks and Dietterich have no occlusion",
    strengths="Tests whether evidence is spread over the image.",
    limits="One grey square is far from what covers things in photographs.",
    unit="side of the square, fraction of the image's",
    small=(0.2, 0.3, 0.4, 0.5, 0.6),
    large=(0.2, 0.3, 0.4, 0.5, 0.6),
    apply=occlude,
)
