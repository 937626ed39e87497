"""What an ensemble method is: a way to make one answer of several models' answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.method import Method

if TYPE_CHECKING:
    from torch import Tensor

Combine = Callable[["Tensor"], "Tensor"]
"""Takes log-probabilities ``(members, samples, classes)``, gives scores ``(samples, classes)``."""


@dataclass(frozen=True, kw_only=True)
class Ensemble(Method):
    """A way to combine models.

    Attributes:
        make: Takes the members' log-probabilities ``(members, samples, classes)`` on validation
            images and their labels ``(samples,)``, gives what combines them on any other images.
        learns: Whether ``make`` fits something to these images; if so they cannot judge it.
        num_params: Of what is fitted, by members and classes.
        macs: Multiply-accumulates of what is fitted, for one image, by members and classes.
    """

    make: "Callable[[Tensor, Tensor], Combine]"
    learns: bool = False
    num_params: Callable[[int, int], int] = lambda _members, _classes: 0
    macs: Callable[[int, int], int] = lambda _members, _classes: 0
