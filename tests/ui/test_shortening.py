"""Names that end alike, or begin alike, can be told apart in little room."""

import random

from workbench.ui.shortening import DOTS, shortened


def test_short_names_stay():
    assert shortened(["Run 1", "Run 2"], 20) == ["Run 1", "Run 2"]
    assert shortened([], 20) == []


def test_a_long_name_keeps_both_ends():
    (found,) = shortened(["Group lasso on the residual network, strength 0.0003"], 21)
    assert len(found) <= 21
    assert found.startswith("Group lass")
    assert found.endswith("0.0003")
    assert DOTS in found


def test_names_that_differ_at_one_end_or_in_the_middle_do_not_look_the_same():
    head = [f"Group lasso of the dense model, {value}" for value in (0.1, 0.01, 0.001)]
    tail = [f"{word} pruning, repaired, then fine-tuned" for word in ("Taylor", "Fisher")]
    middle = [f"Pruned by rank to {part} % and then trained again" for part in (50, 80, 90)]
    for names in (head, tail, middle, [*head, *tail, *middle]):
        found = shortened(names, 21)
        assert len(set(found)) == len(names)


def test_equal_names_stay_equal_and_others_never_become_so():
    maker = random.Random(0)
    for _ in range(100):
        names = ["".join(maker.choices("ab ", k=maker.randint(1, 40))) for _ in range(6)]
        found = shortened([*names, names[0]], 12)
        assert len(set(found)) == len(set(names))
        assert found[0] == found[-1]
