"""What a corruption is: a change of images in five severities that fit the size of the image."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.errors import SettingsError
from workbench.method import Method

if TYPE_CHECKING:
    import numpy as np

SEVERITIES = (1, 2, 3, 4, 5)
SMALL_SIDE, LARGE_SIDE = 32, 224
"""Pixels on a side of the images for which the two tables of strengths were made."""
LEAST_SHRUNK = 0.5


@dataclass(frozen=True, kw_only=True)
class Corruption(Method):
    """A change of images that a person would still see through.

    Attributes:
        unit: What its strength is, such as "standard deviation".
        small: Strength of each severity for images of 32 pixels a side.
        large: The same for images of 224 pixels.
        in_pixels: Whether a strength is a length in pixels, which shrinks and grows with the image.
        apply: Takes float32 images ``(samples, channels, height, width)`` in 0..1, the strength and
            a generator; returns changed ones, not yet clipped.
    """

    unit: str
    small: tuple[float, ...]
    large: tuple[float, ...]
    in_pixels: bool = False
    apply: "Callable[[np.ndarray, float, np.random.Generator], np.ndarray]"
    needs: tuple[str, ...] = ("test",)

    def strength(self, severity: int, side: int) -> float:
        """How strong a severity is for images with a shorter side of so many pixels.

        Between the two tables it goes along the logarithm of the side; smaller and larger images
        take the nearer table. Lengths in pixels keep their part of the image beyond them, but
        shrink to no less than half: a narrower bell reaches no neighbour.

        Raises:
            SettingsError: If the severity is not 1 to 5.
        """
        if isinstance(severity, bool) or severity not in SEVERITIES:
            raise SettingsError(
                f"The severity {severity!r} is unknown.", "Choose a whole number from 1 to 5."
            )
        low, high = self.small[severity - 1], self.large[severity - 1]
        near = min(max(side, SMALL_SIDE), LARGE_SIDE)
        way = math.log(near / SMALL_SIDE) / math.log(LARGE_SIDE / SMALL_SIDE)
        between = low ** (1 - way) * high**way
        return between * max(side / near, LEAST_SHRUNK) if self.in_pixels else between
