"""Which of several attempts are not beaten on both size and accuracy."""

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other point beats, smallest size first.

    A point is beaten by one that is at most as large and at least as accurate, and better in one
    of the two. Of equal points the first counts.

    Args:
        points: ``(size, accuracy)``; less size and more accuracy are better.
    """
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front
