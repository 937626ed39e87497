"""What a repair tells of each layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAME = 1e-9
"""Squared error, relative, below which a layer already gives what the dense one gives."""


class OtherWayError(Exception):
    """Raised where a pass uses a shared weight more or less often than the traced one did."""


@dataclass(frozen=True)
class RepairStep:
    """What repair did to one layer, or to several whose outputs are added, and what it gained.

    Errors are squared distances to the dense network's outputs on calibration images that the
    solution has not seen, as a share of the variance of those outputs: 0 is a perfect copy. Of a
    weight that is used several times it is the mean over its uses.

    Attributes:
        layer: Path of the layer; several are joined with `` + ``.
        method: ``ridge``, ``ridge, clamped`` where the activation behind the layer was taken into
            account, ``statistics`` or ``as it was``; a shared weight's says of how many uses.
        error_before: With the weights that pruning left.
        error_after: With the weights it has now.
        kept: Whether the layer was changed.
    """

    layer: str
    method: str
    error_before: float
    error_after: float
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RepairStep":
        """The reverse of ``to_dict``."""
        return cls(**values)
