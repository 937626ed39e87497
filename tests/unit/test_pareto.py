from hypothesis import given
from hypothesis import strategies as st

from workbench.pareto import pareto_front


def test_front_by_hand():
    points = [(100, 0.93), (10, 0.80), (20, 0.79), (50, 0.92), (50, 0.90), (120, 0.93)]
    assert pareto_front(points) == [1, 3, 0]


def test_of_equal_points_the_first_counts():
    assert pareto_front([(5, 0.5), (5, 0.5)]) == [0]


def test_no_points():
    assert pareto_front([]) == []


def beats(a, b):
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_equals_the_definition(points):
    front = pareto_front(points)
    expected = {p for p in points if not any(beats(q, p) for q in points)}
    assert {points[i] for i in front} == expected
    assert len(front) == len(expected)
