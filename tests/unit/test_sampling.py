"""What a few images say about all, against simulation and closed forms; the missing levels."""

import math

import pytest
import torch

from workbench.metrics import Z_95
from workbench.sampling import (
    DenseOutputs,
    Estimate,
    PairedSample,
    interpolate,
    levels_to_measure,
    right_and_loss,
)

TOTAL = 2_000


def _outputs(disturbance, total=TOTAL, classes=5):
    """Class scores of a good classifier, of the same with noise, and the labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (total,), generator=generator)
    scores = torch.randn(total, classes, generator=generator)
    scores[torch.arange(total), labels] += 3
    bias = torch.linspace(0, disturbance, classes)  # some classes suffer more
    noise = torch.randn(total, classes, generator=generator)
    return scores, scores + disturbance * noise + bias, labels


def _sampled(dense, cut, chosen, size=100):
    sample = PairedSample(dense)
    for part in chosen.split(size):
        sample.add(part, cut[part])
    return sample.estimate()


@pytest.mark.parametrize("disturbance", [0.0, 0.5, 3.0])
def test_all_images_give_the_plain_mean_and_no_width(disturbance):
    scores, cut, labels = _outputs(disturbance)
    dense = DenseOutputs(scores, labels)
    right, losses = right_and_loss(cut, labels)
    found = _sampled(dense, cut, torch.randperm(TOTAL))
    assert found.accuracy == pytest.approx(float(right.mean()), abs=1e-12)
    assert found.loss == pytest.approx(float(losses.mean()), abs=1e-9)
    assert found.low == found.accuracy == found.high
    assert found.samples == TOTAL


@pytest.mark.parametrize(("disturbance", "gain"), [(0.2, 2.0), (1.0, 1.1), (4.0, 1.03)])
def test_the_interval_holds_the_truth_in_about_95_of_100_samples(disturbance, gain):
    scores, cut, labels = _outputs(disturbance)
    dense = DenseOutputs(scores, labels)
    right, losses = right_and_loss(cut, labels)
    truth, generator = float(right.mean()), torch.Generator().manual_seed(1)
    errors, loss_errors, counted, held = [], [], [], 0
    repeats = 400
    for _ in range(repeats):
        chosen = torch.randperm(TOTAL, generator=generator)[:300]
        found = _sampled(dense, cut, chosen, 300)
        held += found.low <= truth <= found.high
        errors.append(found.accuracy - truth)
        loss_errors.append(found.loss - float(losses.mean()))
        counted.append(float(right[chosen].mean()) - truth)
    assert 0.92 <= held / repeats <= (0.98 if disturbance > 0.5 else 1.0)
    for values in (errors, loss_errors):
        spread = torch.tensor(values)
        assert abs(float(spread.mean())) < 3 * float(spread.std()) / math.sqrt(repeats)
    rms = torch.tensor(errors).square().mean().sqrt()
    assert torch.tensor(counted).square().mean().sqrt() > gain * rms


def test_where_no_image_changed_sides_the_interval_keeps_its_width():
    scores, _, labels = _outputs(0.0)
    dense = DenseOutputs(scores, labels)
    for n in (50, 500, 1_000):
        found = _sampled(dense, scores, torch.arange(n))
        assert found.accuracy == pytest.approx(dense.baseline.accuracy, abs=1e-12)
        # Two of n + 2 images changed, one each way; the rest of the images is unknown.
        expected = Z_95 * math.sqrt(2 * (1 - n / TOTAL)) / (n + 2)
        assert found.half_width == pytest.approx(expected, rel=1e-9)


def test_the_interval_stays_within_what_the_images_seen_leave_open():
    scores, _, labels = _outputs(0.0, total=40)
    dense = DenseOutputs(scores, labels)
    wrong = torch.zeros(40, 5).scatter(1, labels[:, None], -1.0)
    found = _sampled(dense, wrong, torch.arange(39))
    assert 0 <= found.low <= found.accuracy <= found.high <= 1 / 40


def test_squared_residuals_are_those_of_leaving_each_image_out():
    scores, cut, labels = _outputs(1.0, total=60)
    dense = DenseOutputs(scores, labels)
    right, _ = right_and_loss(cut, labels)
    chosen = torch.arange(25)
    mean, squares = dense.mean_of_all(chosen, dense.correct, right[chosen])
    x, y = dense._features, right - dense.correct

    def fitted(rows):
        gram = x[rows].T @ x[rows] + torch.eye(x.shape[1], dtype=x.dtype)
        return torch.linalg.solve(gram, x[rows].T @ y[rows])

    left_out = [y[i] - x[i] @ fitted(chosen[chosen != i]) for i in chosen]
    assert squares == pytest.approx(float(sum(r * r for r in left_out)), rel=1e-9)
    weights = fitted(chosen)
    model = (dense.correct + x @ weights).mean()
    assert mean == pytest.approx(float(model + (y - x @ weights)[chosen].mean()), abs=1e-12)


def test_outputs_that_are_no_numbers_are_wrong_and_cost_without_end():
    scores, _, labels = _outputs(0.0)
    broken = torch.full_like(scores, math.nan)
    found = _sampled(DenseOutputs(scores, labels), broken, torch.arange(1_900))
    assert found.accuracy < 0.01
    assert found.loss == math.inf
    dense = DenseOutputs(broken, labels)
    assert dense.baseline == Estimate(0.0, math.inf, 0.0, 0.0, TOTAL)
    fine = _sampled(dense, scores, torch.arange(1_900))
    assert fine.loss == math.inf
    assert 0.8 < fine.accuracy < 1


@pytest.mark.parametrize("classes", [1, 2, 100])
def test_many_classes_and_a_single_one_are_no_obstacle(classes):
    scores, cut, labels = _outputs(1.0, total=300, classes=classes)
    truth = float(right_and_loss(cut, labels)[0].mean())
    dense, generator = DenseOutputs(scores, labels), torch.Generator().manual_seed(2)
    chosen = [torch.randperm(300, generator=generator)[:200] for _ in range(100)]
    found = [_sampled(dense, cut, part) for part in chosen]
    assert sum(one.low <= truth <= one.high for one in found) >= 91
    assert max(one.half_width for one in found) < 0.05


def test_a_dense_network_without_any_margin_is_no_obstacle():
    labels = torch.arange(300) % 3
    dense = DenseOutputs(torch.zeros(300, 3), labels)
    found = _sampled(dense, torch.eye(3)[labels], torch.arange(200))
    assert dense.baseline.accuracy == pytest.approx(1 / 3)
    assert 0.95 < found.accuracy <= found.high == 1


# Levels

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def _known(values, width=0.002):
    known = {0.0: Estimate(0.9, 0.3, 0.9, 0.9, 1_000)}
    for level, accuracy in values.items():
        loss = 0.3 + 4 * (0.9 - accuracy)
        known[level] = Estimate(accuracy, loss, accuracy - width, accuracy + width, 300)
    return known


def _wanted(known, under_way=()):
    return [level for _, level in levels_to_measure(known, LEVELS, 0.01, under_way)]


def test_the_highest_level_comes_first():
    assert _wanted(_known({})) == [0.9]
    assert _wanted(_known({}), under_way=[0.9]) == []
    assert _wanted(_known({0.3: 0.9})) == [0.9]


def test_a_gap_is_halved_until_its_ends_are_close():
    assert _wanted(_known({0.9: 0.5})) == [0.5]
    assert _wanted(_known({0.9: 0.5, 0.5: 0.89})) == [0.7]
    assert _wanted(_known({0.9: 0.5, 0.5: 0.87})) == [0.3, 0.7]
    assert _wanted(_known({0.9: 0.5, 0.5: 0.87}), under_way=[0.7]) == [0.3]
    assert _wanted(_known({0.9: 0.5, 0.5: 0.89, 0.7: 0.85})) == []
    assert _wanted(_known({0.9: 0.89})) == []


def test_only_levels_that_are_asked_for_are_measured():
    known = _known({0.5: 0.89, 0.9: 0.5})
    assert levels_to_measure(known, [0.2], 0.01) == []
    assert [level for _, level in levels_to_measure(known, [0.2, 0.8], 0.01)] == [0.8]
    assert [level for _, level in levels_to_measure(known, [0.2, 0.95], 0.01)] == [0.95]


def test_wide_intervals_at_the_ends_leave_a_gap_open():
    assert _wanted(_known({0.9: 0.89}, width=0.009)) == []
    assert _wanted(_known({0.9: 0.89}, width=0.011)) == [0.5]


def test_the_width_of_a_gap_is_what_lies_between_its_ends():
    ((width, level),) = levels_to_measure(_known({0.9: 0.5}), LEVELS, 0.01)
    assert (width, level) == (pytest.approx((0.9 - 0.498) / 2), 0.5)


def test_a_curve_that_rises_is_measured_throughout():
    values = {0.9: 0.89, 0.5: 0.88}
    assert _wanted(_known(values)) == [0.3, 0.7]
    assert _wanted(_known({**values, 0.3: 0.9, 0.1: 0.9})) == [0.7]
    assert _wanted(_known({0.9: 0.89, 0.5: 0.885}, width=0.003)) == []  # it may as well fall


def test_a_loss_that_becomes_endless_is_looked_for():
    known = _known({0.9: 0.9})
    known[0.9] = Estimate(0.9, math.inf, 0.9, 0.9, 1_000)
    assert _wanted(known) == [0.5]


def test_levels_in_between_are_interpolated_within_their_bounds():
    known = _known({0.5: 0.88, 0.9: 0.5})
    before = known[0.5]
    for level in (0.6, 0.7, 0.8):
        found = interpolate(known, level)
        assert 0.5 < found.accuracy < before.accuracy
        assert before.loss < found.loss
        assert (found.low, found.high, found.samples) == (0.5 - 0.002, 0.88 + 0.002, 0)
        before = found
    assert interpolate(_known({0.9: 0.9}), 0.3).accuracy == pytest.approx(0.9)


def test_interpolated_values_stay_between_their_neighbours_even_where_noise_rises():
    known = _known({0.5: 0.9, 0.7: 0.895, 0.9: 0.899})
    found = interpolate(known, 0.8)
    assert 0.893 <= found.low <= found.accuracy <= found.high <= 0.901


def test_an_endless_loss_on_the_right_is_interpolated_as_such():
    known = _known({0.5: 0.2, 0.9: 0.2})
    known[0.9] = Estimate(0.2, math.inf, 0.2, 0.2, 1_000)
    known[0.5] = Estimate(0.2, math.inf, 0.2, 0.2, 1_000)
    assert interpolate(known, 0.7).loss == math.inf
    assert math.isinf(interpolate(known, 0.3).loss)
