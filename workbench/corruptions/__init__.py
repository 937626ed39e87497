"""Corruptions of test images, in five severities, to see what robustness pruning costs."""

import zlib
from typing import TYPE_CHECKING

from workbench.corruptions.corruption import SEVERITIES, Corruption
from workbench.errors import SettingsError
from workbench.method import discover
from workbench.names import suggest

if TYPE_CHECKING:
    import numpy as np

CORRUPTIONS: dict[str, Corruption] = discover(__name__, __file__)  # type: ignore[assignment]
"""Every corruption by name; a new one is a file of this package with a ``METHOD``."""

__all__ = ["CORRUPTIONS", "SEVERITIES", "Corruption", "corrupt", "get_corruption"]


def get_corruption(name: str) -> Corruption:
    """A corruption by its name.

    Raises:
        SettingsError: If there is none of that name.
    """
    if name not in CORRUPTIONS:
        raise SettingsError(f"There is no corruption {name!r}.", suggest(name, CORRUPTIONS))
    return CORRUPTIONS[name]


def corrupt(
    images: "np.ndarray", name: str, severity: int, *, seed: int = 0, part: int = 0
) -> "np.ndarray":
    """Corrupt images; the same images, seed and part give the same result on every machine.

    Args:
        images: float32 ``(samples, channels, height, width)`` in 0..1, before normalisation; they
            stay as they are.
        name: A name in ``CORRUPTIONS``.
        severity: 1 to 5.
        seed: Of all that is random. Every corruption and severity draws numbers of its own.
        part: Number of the part, where images come in parts.

    Returns:
        float32 images of the same shape, clipped to 0..1.

    Raises:
        SettingsError: If the corruption or the severity is unknown.
    """
    import numpy as np

    chosen = get_corruption(name)
    strength = chosen.strength(severity, min(images.shape[-2:]))
    own = zlib.crc32(name.encode())  # of the name, so that a new corruption changes no other
    generator = np.random.default_rng([seed, own, severity, part])
    changed = chosen.apply(images.astype(np.float32), strength, generator)
    return np.clip(changed, 0, 1).astype(np.float32)
