"""The prediction, against closed forms, scipy, scikit-learn and properties."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import IsotonicRegression

from workbench.prediction import PRIOR, Shift, fit_loss_curve, fit_predictor

CHANCE = 0.1


@dataclass(frozen=True)
class Point:
    group: str
    level: float
    accuracy: float
    loss: float
    samples: int = 1000


BASELINE = Point("", 0.0, 0.9, 0.3)
POINTS = [
    Point("a", 0.5, 0.88, 0.4),
    Point("a", 0.9, 0.60, 1.3),
    Point("b", 0.5, 0.90, 0.3),
    Point("b", 0.9, 0.80, 0.7),
]

rising_levels = st.lists(st.integers(1, 99), min_size=2, max_size=12, unique=True).map(
    lambda whole: [level / 100 for level in sorted(whole)]
)


def noisy(levels, seed):
    random = np.random.default_rng(seed)
    return [(x, float(3 * x**4 + random.normal(0, 0.2))) for x in levels]


def test_a_dense_plan_predicts_the_baseline_exactly():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    for plan in ({}, {"a": 0.0, "b": 0.0}):
        assert predictor.predict(plan).loss == BASELINE.loss
        assert predictor.predict(plan).accuracy == BASELINE.accuracy


@pytest.mark.parametrize("point", POINTS)
def test_a_single_measured_cut_predicts_its_own_measurement(point):
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    prediction = predictor.predict({point.group: point.level})
    assert prediction.loss == pytest.approx(point.loss, abs=1e-12)
    assert prediction.accuracy == pytest.approx(point.accuracy, abs=1e-12)


def certain(**changes):
    """A prior that leaves no room for corrections."""
    still = Shift()
    values = {"same": still, "other_criterion": still}
    return replace(PRIOR, **(values | changes))


def test_joint_cuts_reinforce_each_other_as_the_formula_says():
    prior = certain()
    joint = fit_predictor(BASELINE, POINTS, chance=CHANCE, prior=prior)
    found = joint.predict({"a": 0.9, "b": 0.9})
    ceiling = max(prior.ceiling * (math.log(10) - 0.3), 1.3 * 1.0)
    p = prior.exponent
    z = ((1.0 / (ceiling - 1.0)) ** (1 / p) + (0.4 / (ceiling - 0.4)) ** (1 / p)) ** p
    assert found.loss == pytest.approx(0.3 + ceiling * z / (1 + z), abs=1e-12)
    # Between the last measured loss, 1.3, and that of guessing, ln 10, the accuracy falls straight.
    share = min(1.0, (found.loss - 1.3) / (math.log(10) - 1.3))
    assert found.accuracy == pytest.approx(0.6 + share * (CHANCE - 0.6), abs=1e-12)


def test_small_damages_with_an_exponent_of_one_add_up():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE, prior=certain(exponent=1.0))
    small = {"a": 0.01, "b": 0.7}
    total = sum(predictor.curves[name].at(value) for name, value in small.items())
    assert predictor.predict(small).loss == pytest.approx(0.3 + total, rel=0.01)


def test_cuts_without_a_curve_or_beyond_it_are_named_and_not_invented():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    known = predictor.predict({"b": 0.5})
    found = predictor.predict({"b": 0.5, "c": 0.7, "d": 0.0})
    assert found.unmeasured == ("c",)
    assert (found.loss, found.accuracy) == (known.loss, known.accuracy)
    beyond = predictor.predict({"a": 0.95})
    assert beyond.extrapolated == ("a",)
    assert beyond.loss > 1.3 + (1.3 - 0.4) / 0.4 * 0.05 - 1e-9  # at least as steep as the last step


def test_nothing_measured_predicts_the_baseline_and_names_every_cut():
    prediction = fit_predictor(BASELINE, [], chance=CHANCE).predict({"a": 0.5})
    assert prediction.accuracy == BASELINE.accuracy
    assert prediction.unmeasured == ("a",)


@given(rising_levels, st.integers(0, 1000))
def test_curves_equal_pchip_through_isotonic_regression(levels, seed):
    points = noisy(levels, seed)
    x, y = np.array(points).T
    rising = np.maximum(0, IsotonicRegression().fit_transform(x, y))
    oracle = PchipInterpolator([0, *x], [0, *rising])
    curve = fit_loss_curve(points)
    for sparsity in np.linspace(0, levels[-1], 57):
        assert curve.at(float(sparsity)) == pytest.approx(float(oracle(sparsity)), abs=1e-9)


@given(rising_levels, st.integers(0, 1000), st.floats(0, 0.99), st.floats(0, 0.99))
def test_more_sparsity_never_predicts_less_loss_nor_more_accuracy(levels, seed, one, other):
    points = [
        Point("a", x, min(1.0, max(0.0, 0.9 - 0.2 * y)), BASELINE.loss + y)
        for x, y in noisy(levels, seed)
    ]
    predictor = fit_predictor(BASELINE, points, chance=CHANCE)
    low, high = (predictor.predict({"a": s}) for s in sorted((one, other)))
    assert low.loss <= high.loss + 1e-9
    assert low.accuracy >= high.accuracy - 1e-9
    for prediction in (low, high):
        assert CHANCE <= prediction.accuracy <= BASELINE.accuracy


def test_points_are_averaged_where_levels_repeat_and_infinite_losses_are_left_out():
    curve = fit_loss_curve([(0.5, 0.2), (0.5, 0.4)])
    assert curve.at(0.5) == pytest.approx(0.3)
    broken = fit_predictor(BASELINE, [*POINTS, Point("a", 0.95, 0.1, math.inf)], chance=CHANCE)
    assert broken == fit_predictor(BASELINE, POINTS, chance=CHANCE)


def test_a_baseline_worse_than_guessing_stays_between_bounds():
    poor = Point("", 0.0, 0.05, 2.5)
    predictor = fit_predictor(poor, [Point("a", 0.5, 0.02, 3.0)], chance=CHANCE)
    assert predictor.predict({"a": 0.5}).accuracy == CHANCE


def test_the_table_is_plain_json():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    table = json.loads(json.dumps(predictor.to_dict()))
    assert table["curves"]["a"]["levels"] == [0.0, 0.5, 0.9]
    assert table["losses"][0] == BASELINE.loss
