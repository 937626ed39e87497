"""The prediction, against closed forms, scipy, scikit-learn and properties."""

import ast
import json
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import IsotonicRegression

from workbench.prediction import (
    PRIOR,
    MeasuredPlan,
    Prediction,
    Shift,
    fit_loss_curve,
    fit_predictor,
)
from workbench.prediction.predictor import VAGUE
from workbench.ui.equaliser.static import script

ROOT = Path(__file__).resolve().parents[2]
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


def assignment(source):
    """The assignment to PRIOR in some Python, however it is laid out."""
    (found,) = (
        node for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PRIOR"
    )  # fmt: skip
    return ast.unparse(found)


def test_the_constants_are_those_that_the_benchmark_fitted():
    table = ROOT / "tests" / "benchmarks" / "results" / "prediction.md"
    fitted = table.read_text("utf-8").split("```python")[1].split("```")[0]
    code = (ROOT / "workbench" / "prediction" / "prior.py").read_text("utf-8")
    assert assignment(code) == assignment(fitted)


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


def test_how_joint_a_cut_is_is_the_logarithm_of_how_many_share_the_damage():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    assert predictor.formula([0.3])[1] == 0
    assert predictor.formula([0.02] * 16)[1] == pytest.approx(math.log(16))
    assert predictor.formula([0.3, 0.1])[1] == pytest.approx(math.log(0.4**2 / (0.3**2 + 0.1**2)))
    assert predictor.formula([1e-200] * 4)[1] == pytest.approx(math.log(4)), "no underflow"


def test_the_more_groups_share_the_same_damage_the_wider_the_band():
    points = [Point(f"g{i}", level, 0.9 - level / 9, 0.3 + level) for i in range(16)
              for level in (0.01, 0.02, 0.04, 0.08, 0.16)]  # fmt: skip
    predictor = fit_predictor(BASELINE, points, chance=CHANCE)
    ratios = []
    for count in (1, 2, 4, 8, 16):
        found = predictor.predict({f"g{i}": 0.16 / count for i in range(count)})
        ratios.append((found.loss_high - 0.3) / (found.loss - 0.3))
    assert ratios == sorted(ratios)
    assert ratios[-1] > 1.2 * ratios[0]


RESULTS = ROOT / "tests" / "benchmarks" / "results"


def measured_by_rules(name):
    """Prediction and measured accuracy of plans that allocations made from shipped curves."""
    read = [
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (
            RESULTS / "prediction" / f"{name}-curves.jsonl",
            RESULTS / "prediction" / f"{name}-ruled.jsonl",
        )
    ]
    points = [Point(*(row[key] for key in ("group", "level", "accuracy", "loss", "samples")))
              for row in read[0]]  # fmt: skip
    predictor = fit_predictor(points[0], points[1:], chance=CHANCE)
    plans = {json.dumps(row["sparsities"]): row for row in read[1]}.values()
    return [(predictor, row["sparsities"], row["accuracy"]) for row in plans]


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_plans_made_by_allocations_from_the_same_curves_lie_in_their_bands(granularity):
    rows = measured_by_rules(f"fashion-resnet20-{granularity}-l1-bn")
    inside = []
    for predictor, plan, accuracy in rows:
        found = predictor.predict(plan)
        inside.append(found.accuracy_low <= accuracy <= found.accuracy_high)
    assert len(inside) >= 15
    assert np.mean(inside) >= 0.85


def test_bending_a_plan_of_an_allocation_by_hand_never_makes_the_prediction_jump():
    for predictor, plan, _accuracy in measured_by_rules("fashion-resnet20-weight-l1-bn"):
        for group, value in list(plan.items())[::4]:
            around = [
                predictor.predict(plan | {group: min(0.97, max(0.0, value + step * 1e-5))})
                for step in range(-3, 4)
            ]
            for one, other in pairwise(around):
                assert other.accuracy == pytest.approx(one.accuracy, abs=0.002)
                assert other.accuracy_low == pytest.approx(one.accuracy_low, abs=0.005)


def test_on_models_that_the_constants_do_not_know_enough_plans_lie_in_their_bands():
    text = (RESULTS / "prediction.md").read_text("utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]
    shares = {row[0].strip(): float(row[5].split("%")[0]) for row in rows if "%" in row[5]}
    for name in ("all plans, from the curves alone", *BY_RULES):
        assert shares[name] >= 85, name


BY_RULES = ("made from curves after their own repair", "made from curves after a milder repair")


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


def spread_of(prediction):
    return prediction.accuracy_high - prediction.accuracy_low


BOTH = {"a": 0.8, "b": 0.8}


def test_the_band_holds_the_estimate_and_is_nothing_where_nothing_is_cut():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    found = predictor.predict(BOTH)
    assert found.loss_low < found.loss < found.loss_high
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    assert spread_of(predictor.predict({})) == 0


def test_the_band_of_a_single_measured_cut_is_that_of_the_formula():
    """No joint cut and certain weights leave the spread of a single cut and the noise."""
    prior = certain(spread=(0.04, 1.0), loss_noise=0.5)
    found = fit_predictor(BASELINE, POINTS, chance=CHANCE, prior=prior).predict({"a": 0.9})
    z, increase = 1.6448536269514722, 1.0
    noise = z * math.sqrt(0.5 * (increase + 0.01) / 1000)
    up, down = increase * (math.exp(z * 0.2) - 1), increase * (1 - math.exp(-z * 0.2))
    assert found.loss_high == pytest.approx(1.3 + math.hypot(up, noise), abs=1e-12)
    assert found.loss_low == pytest.approx(1.3 - math.hypot(down, noise), abs=1e-12)


@pytest.mark.parametrize(
    "doubt", [{"same_criterion": False}, {"curves_repair": "milder"}, {"curves_repair": "stronger"}]
)
def test_curves_of_another_kind_widen_the_band(doubt):
    plain, doubted = (
        fit_predictor(BASELINE, POINTS, chance=CHANCE, **more).predict(BOTH) for more in ({}, doubt)
    )
    assert math.log(doubted.loss_high - 0.3) - math.log(doubted.loss - 0.3) > math.log(
        plain.loss_high - 0.3
    ) - math.log(plain.loss - 0.3)


def test_the_band_widens_downwards_where_it_extrapolates():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    at_edge, beyond = (predictor.predict({"b": level}) for level in (0.9, 0.95))
    assert beyond.extrapolated == ("b",)
    half_way = 0.4 + (math.log(10) - 0.3 - 0.4) * 0.5**2  # between the last level and all of it
    assert beyond.loss_high > 0.3 + half_way
    assert beyond.loss_high - beyond.loss > 3 * (at_edge.loss_high - at_edge.loss)
    known, unknown = predictor.predict({"b": 0.5}), predictor.predict({"b": 0.5, "c": 0.9})
    assert unknown.loss_low == known.loss_low
    assert unknown.loss_high >= predictor.predict({"a": 0.9}).loss_high, "as fragile as any group"
    nothing = fit_predictor(BASELINE, [], chance=CHANCE).predict({"c": 0.1})
    assert nothing.accuracy_low < 0.2, "nothing is known: it may be ruined"


def test_fewer_images_widen_the_band_and_more_do_not_narrow_it():
    predictor = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    few, many, own = (predictor.predict(BOTH, samples) for samples in (100, 5000, None))
    assert spread_of(few) > spread_of(own)
    assert many == own


MEASURED = [
    MeasuredPlan({"a": 0.5, "b": 0.8}, 0.62, 0.82, 1000),
    MeasuredPlan({"a": 0.7, "b": 0.9}, 1.45, 0.55, 300, (0.28, 0.91)),
    MeasuredPlan({"b": 0.6}, 0.33, 0.895, 5000),
]


def test_plans_teach_as_bayes_says():
    """Against the information form of the posterior of linear regression."""
    prior = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    found = fit_predictor(BASELINE, POINTS, chance=CHANCE, plans=MEASURED).correction
    rows, targets, precisions = [], [], []
    for plan in MEASURED:
        damages = [prior.curves[name].at(level) for name, level in plan.sparsities.items()]
        increase, jointness = prior.formula(damages)
        dense = plan.baseline[0] if plan.baseline else 0.3
        noise = PRIOR.loss_noise * (increase + 0.01) / plan.samples / increase**2
        size = math.log(max(increase, 0.01) / 0.3)
        rows.append([1, size, jointness**2, jointness * size])
        targets.append(math.log((plan.loss - dense) / increase))
        precisions.append(1 / (PRIOR.spread[0] + PRIOR.spread[1] * jointness + noise))
    deviations = np.array(PRIOR.same.deviations)
    free = np.flatnonzero(deviations)  # the others are known for sure
    x, y, w = np.array(rows), np.array(targets), np.diag(precisions)
    mean = np.array(PRIOR.same.weights)
    seen = x[:, free]
    information = np.diag(deviations[free] ** -2.0) + seen.T @ w @ seen
    covariance = np.linalg.inv(information)
    learnt = mean[free] + covariance @ seen.T @ w @ (y - x @ mean)
    assert np.array(found.weights)[free] == pytest.approx(learnt, abs=1e-9)
    assert np.array(found.covariance)[np.ix_(free, free)] == pytest.approx(covariance, abs=1e-9)


def test_plans_that_say_nothing_are_passed_over():
    odd = [
        MeasuredPlan({"a": 0.5}, math.inf, 0.1, 1000),
        MeasuredPlan({"a": 0.95}, 2.0, 0.2, 1000),  # beyond the curve
        MeasuredPlan({"c": 0.5}, 2.0, 0.2, 1000),  # no curve
        MeasuredPlan({}, 0.3, 0.9, 1000),
    ]
    plain = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    assert fit_predictor(BASELINE, POINTS, chance=CHANCE, plans=odd).correction == plain.correction


def test_the_true_weights_are_found_and_the_band_holds():
    """A made-up network whose joint cuts cost 1.6 times what the formula says, with noise."""
    random = np.random.default_rng(0)
    prior = fit_predictor(BASELINE, POINTS, chance=CHANCE)
    plans = []
    for _ in range(150):
        cut = {"a": float(random.uniform(0.4, 0.9)), "b": float(random.uniform(0.6, 0.9))}
        increase, jointness = prior.formula([prior.curves[g].at(s) for g, s in cut.items()])
        sd = math.sqrt(PRIOR.spread[0] + PRIOR.spread[1] * jointness)
        ratio = math.exp(math.log(1.6) * 2 * jointness**2 + random.normal(0, sd))
        plans.append(MeasuredPlan(cut, 0.3 + increase * ratio, 0.5, 100_000))
    learnt = fit_predictor(BASELINE, POINTS, chance=CHANCE, plans=plans[:100])
    inside = [
        found.loss_low <= plan.loss <= found.loss_high
        for plan in plans[100:]
        for found in (learnt.predict(plan.sparsities),)
    ]
    assert 0.8 <= np.mean(inside) <= 0.98


def test_a_small_change_starts_from_what_was_measured_and_a_large_one_does_not():
    known = MeasuredPlan({"a": 0.7, "b": 0.8}, 1.6, 0.42, 10**9)
    learnt = fit_predictor(BASELINE, POINTS, chance=CHANCE, plans=[known])
    alone = replace(learnt, anchors=())
    again, without = (one.predict(known.sparsities) for one in (learnt, alone))
    assert again.loss == pytest.approx(known.loss, abs=1e-6), "measured on any number of images"
    assert again.accuracy == pytest.approx(known.accuracy, abs=1e-6)
    assert abs(without.loss - known.loss) > 0.05
    assert again.loss_high - again.loss < 0.7 * (without.loss_high - without.loss)
    gaps = [
        abs(learnt.predict(plan).loss - alone.predict(plan).loss)
        for plan in ({"a": 0.7, "b": 0.8}, {"a": 0.71, "b": 0.8}, {"a": 0.75, "b": 0.8}, {"b": 0.5})
    ]
    assert gaps == sorted(gaps, reverse=True), "its word fades"
    assert gaps[-1] < 1e-3


def test_the_nearest_of_the_newest_plans_speaks():
    """Against the formula, for an anchor whose weight is known."""
    plans = [
        MeasuredPlan({"a": 0.5 + 0.03 * i, "b": 0.6}, 0.6 + 0.1 * i, 0.8, 1000) for i in range(10)
    ]
    learnt = fit_predictor(BASELINE, POINTS, chance=CHANCE, plans=plans)
    assert len(learnt.anchors) == 8
    asked = {"a": 0.5 + 0.03 * 6 + 0.001, "b": 0.6}
    damages = {group: learnt.curves[group].at(level) for group, level in asked.items()}
    anchor = learnt.anchors[4]  # the seventh plan; the first two are no longer there
    apart = abs(damages["a"] - anchor.damages["a"])
    reach = 0.12 * max(sum(damages.values()), sum(anchor.damages.values()))
    own = math.exp(-apart / reach) * anchor.ratio_trust * anchor.ratio
    plain = replace(learnt, anchors=()).predict(asked).loss - BASELINE.loss
    assert learnt.predict(asked).loss == pytest.approx(0.3 + plain * math.exp(own), rel=1e-12)


@pytest.mark.parametrize(("low", "vague"), [(0.5, False), (0.45, True)])
def test_a_wide_band_is_vague_here_and_on_the_board_alike(low, vague):
    found = Prediction(0.7, 1.0, low, 0.9, 0.5, 2.0)
    assert found.is_vague is vague
    assert f"const VAGUE = {VAGUE};" in script()
