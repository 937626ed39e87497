"""Which strength of a sweep one goes on with: against the rule in words."""

from itertools import product

import pytest

from workbench.sparse_training.sweeping import LOSS, NEAR, Choice, Tried, choose_strength

DENSE = 0.9


def tried(*pairs):
    return [Tried(sparsity, accuracy) for sparsity, accuracy in pairs]


def test_of_those_that_reach_the_target_the_most_accurate():
    found = tried((0.2, 0.9), (0.8, 0.85), (0.9, 0.86), (0.79, 0.87), (0.95, 0.5))
    assert choose_strength(found, 0.8, DENSE) == Choice(3, "target", 4)
    assert choose_strength(found[:3], 0.8, DENSE) == Choice(2, "target", 2)


def test_where_none_reaches_the_target_the_sparsest():
    found = tried((0.2, 0.9), (0.5, 0.6), (0.4, 0.89))
    assert choose_strength(found, 0.8, DENSE) == Choice(1, "nearest", 3)


def test_without_a_target_the_sparsest_within_a_point_of_dense():
    found = tried((0.1, 0.91), (0.3, 0.895), (0.6, 0.88), (0.2, 0.9))
    assert choose_strength(found, None, DENSE) == Choice(1, "close", 3)


def test_without_a_target_and_none_close_the_most_accurate():
    found = tried((0.1, 0.7), (0.3, 0.8), (0.6, 0.5))
    assert choose_strength(found, None, DENSE) == Choice(1, "accurate", 3)


def test_of_equals_the_first():
    found = tried((0.5, 0.9), (0.5, 0.9))
    assert choose_strength(found, 0.5, DENSE).index == 0
    assert choose_strength(found, None, DENSE).index == 0


@pytest.mark.parametrize("target", [None, 0.5])
def test_no_other_that_suits_is_better(target):
    values = (0.0, 0.3, 0.5, 0.8)
    for pairs in product(product(values, (0.5, 0.89, 0.9)), repeat=3):
        found = tried(*pairs)
        best = found[choose_strength(found, target, DENSE).index]
        if target is None:
            suits = [one for one in found if one.accuracy >= DENSE - LOSS]
            assert not suits or best in suits
            assert all(one.sparsity <= best.sparsity for one in suits)
        else:
            suits = [one for one in found if one.sparsity >= target - NEAR]
            assert not suits or best in suits
            assert all(one.accuracy <= best.accuracy for one in suits)
