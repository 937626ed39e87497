"""Where the labels of marks go, so that no label covers another label, a mark or an error bar."""

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTER, LINE, GAP = 6.6, 15.0, 9.0
"""Width of a character, height of a line, and from a mark's centre to its label, in pixels."""
_PLACES = {
    "middle right": (1, 0), "middle left": (-1, 0), "top right": (1, -1), "bottom right": (1, 1),
    "top left": (-1, -1), "bottom left": (-1, 1), "top center": (0, -1), "bottom center": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; ``y`` runs down."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether two rectangles share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        """Whether another rectangle lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def place_labels(
    anchors: Sequence[tuple[float, float, str]], taken: Sequence[Box], frame: Box
) -> list[str | None]:
    """Find a place beside its mark for every label.

    Args:
        anchors: ``(x, y, text)`` of every mark in pixels, the most important first.
        taken: What labels must not cover, such as marks and error bars.
        frame: What labels must not leave.

    Returns:
        A ``textposition`` of plotly for each label, or None where there is no room for it.
    """
    busy = list(taken)
    places: list[str | None] = []
    for x, y, text in anchors:
        found = None
        for name, (across, down) in _PLACES.items():
            box = _label_box(x, y, CHARACTER * len(text), across, down)
            if frame.holds(box) and not any(box.meets(other) for other in busy):
                found = name
                busy.append(box)
                break
        places.append(found)
    return places


def _label_box(x: float, y: float, width: float, across: int, down: int) -> Box:
    """The rectangle of a label on one side of its mark."""
    near = GAP if not (across and down) else 0.95 * GAP
    centre_x = x + across * (near + width / 2)
    centre_y = y + down * (near + LINE / 2)
    return Box(centre_x - width / 2, centre_y - LINE / 2, centre_x + width / 2, centre_y + LINE / 2)
