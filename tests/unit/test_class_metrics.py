"""Metrics of classes and paired comparisons, against loops, closed forms and scikit-learn."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from workbench.class_metrics import (
    FAINTEST,
    ClassMetrics,
    compare_classes,
    confusion_of,
    measure_classes,
)
from workbench.metrics import score, wilson_interval
from workbench.paired import Paired, Proportion, adjust_p_values, compare_paired

NAMES = tuple("abcdefgh")


def answers(seed: int = 0, samples: int = 200, classes: int = 8, skill: float = 1.5):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=generator)
    outputs = torch.randn(samples, classes, generator=generator)
    outputs[torch.arange(samples), labels] += skill
    return outputs, labels


def by_hand(outputs, labels, classes):
    """Counts by the plainest loop: confusion, and images without an answer."""
    confusion = [[0] * classes for _ in range(classes)]
    unanswered = [0] * classes
    for row, label in zip(outputs.tolist(), labels.tolist(), strict=True):
        if any(math.isnan(value) for value in row):
            unanswered[label] += 1
        else:
            confusion[label][row.index(max(row))] += 1
    return confusion, unanswered


@pytest.mark.parametrize("with_nan", [False, True])
def test_every_metric_equals_a_plain_loop(with_nan):
    outputs, labels = answers()
    if with_nan:
        outputs[:7, 3] = math.nan
    found = measure_classes(outputs, labels, NAMES)
    confusion, unanswered = by_hand(outputs, labels, 8)
    assert [list(row) for row in found.confusion] == confusion
    assert list(found.unanswered) == unanswered
    assert sum(unanswered) == (7 if with_nan else 0)
    recalls, precisions, f1s = [], [], []
    for i, one in enumerate(found.classes):
        present = sum(confusion[i]) + unanswered[i]
        taken = sum(row[i] for row in confusion)
        recalls.append(confusion[i][i] / present)
        precisions.append(confusion[i][i] / taken)
        f1s.append(2 * confusion[i][i] / (present + taken))
        assert (one.samples, one.predicted) == (present, taken)
        assert (one.recall, one.precision, one.f1) == pytest.approx(
            (recalls[-1], precisions[-1], f1s[-1])
        )
        assert (one.recall_low, one.recall_high) == wilson_interval(confusion[i][i], present)
        assert (one.precision_low, one.precision_high) == wilson_interval(confusion[i][i], taken)
        assert one.f1_low < one.f1 < one.f1_high
    assert found.macro_recall == pytest.approx(np.mean(recalls))
    assert found.macro_precision == pytest.approx(np.mean(precisions))
    assert found.macro_f1 == pytest.approx(np.mean(f1s))
    assert found.accuracy.correct == sum(confusion[i][i] for i in range(8))


def test_they_equal_those_of_scikit_learn_and_of_the_plain_score():
    outputs, labels = answers(seed=1)
    found = measure_classes(outputs, labels, NAMES)
    answer = outputs.argmax(1).numpy()
    assert found.macro_recall == pytest.approx(oracle.balanced_accuracy_score(labels, answer))
    assert found.macro_f1 == pytest.approx(oracle.f1_score(labels, answer, average="macro"))
    assert found.top5 == pytest.approx(oracle.top_k_accuracy_score(labels, outputs.numpy(), k=5))
    assert found.loss == pytest.approx(oracle.log_loss(labels, outputs.double().softmax(1)))


def test_the_plain_score_agrees_and_hands_out_what_it_saw():
    from workbench.data import Split

    outputs, labels = answers(seed=2)
    seen: list[torch.Tensor] = []
    plain = score(torch.nn.Identity(), Split("test", outputs, labels), batch_size=32, outputs=seen)
    found = measure_classes(torch.cat(seen), labels, NAMES)
    assert torch.equal(torch.cat(seen), outputs)
    assert found.accuracy.accuracy == plain.accuracy
    assert found.loss == pytest.approx(plain.loss)
    assert [one.recall for one in found.classes] == pytest.approx(plain.recall)


def test_ties_go_to_the_first_class_in_the_top_five_as_in_the_first_place():
    outputs, labels = torch.zeros(8, 8), torch.arange(8)
    found = measure_classes(outputs, labels, NAMES)
    assert found.accuracy.correct == 1
    assert found.top5 == 5 / 8


def test_with_five_classes_there_is_no_top_five():
    outputs, labels = answers(classes=5)
    assert measure_classes(outputs, labels, NAMES[:5]).top5 is None


def test_a_class_without_images_has_no_recall_and_does_not_count_in_the_mean():
    outputs, labels = answers()
    labels[labels == 7] = 0
    found = measure_classes(outputs, labels, NAMES)
    last = found.classes[7]
    assert (last.recall, last.f1, last.recall_low) == (None, None, None)
    assert last.precision == 0
    recalls = [one.recall for one in found.classes[:7]]
    assert found.macro_recall == pytest.approx(np.mean(recalls))
    assert "h" not in [one.class_name for one in compare_classes(found, found)]


def test_a_network_that_gives_only_nan_answers_nothing():
    _, labels = answers()
    found = measure_classes(torch.full((200, 8), math.nan), labels, NAMES)
    assert (found.accuracy.correct, found.top5, found.macro_recall) == (0, 0.0, 0.0)
    assert found.macro_precision is None
    assert math.isinf(found.loss)
    assert sum(found.unanswered) == 200


def test_they_survive_json():
    import json

    outputs, labels = answers()
    outputs[0] = math.nan
    found = measure_classes(outputs, labels, NAMES)
    assert ClassMetrics.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(("hits", "missed", "wrong"), [(40, 10, 5), (3, 0, 1), (30, 0, 0)])
def test_the_interval_of_f1_is_that_of_its_posterior(hits, missed, wrong):
    labels = torch.tensor([0] * (hits + missed) + [1] * 200)
    answer = torch.tensor([0] * hits + [1] * missed + [0] * wrong + [1] * (200 - wrong))
    outputs = torch.nn.functional.one_hot(answer, 2).float()
    one = measure_classes(outputs, labels, ("a", "b")).classes[0]
    rng = np.random.default_rng(0)
    drawn = rng.gamma((hits + 0.5, missed + wrong + 1), 1, (200_000, 2))
    f1 = 2 * drawn[:, 0] / (2 * drawn[:, 0] + drawn[:, 1])
    low, high = np.quantile(f1, [0.025, 0.975])
    assert one.f1_low == pytest.approx(low, abs=0.005)
    assert one.f1_high == pytest.approx(max(high, one.f1), abs=0.005)


# Paired comparisons


def exact_mcnemar(first: int, second: int) -> float:
    """Two-sided: all outcomes that are no more likely than the one that was seen."""
    apart = first + second
    chances = [math.comb(apart, k) / 2**apart for k in range(apart + 1)]
    return sum(chance for chance in chances if chance <= chances[first] * (1 + 1e-9))


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 9), (5, 5), (20, 8), (0, 3)])
def test_the_p_value_is_that_of_the_exact_test(first, second):
    assert compare_paired(first, second, 100).p_value == pytest.approx(exact_mcnemar(first, second))


def test_the_interval_of_a_difference_as_worked_out_by_hand():
    found = compare_paired(4, 12, 98)  # 100 with two added
    middle = (13 - 5) / 100
    half = 1.959963984540054 * math.sqrt((0.18 - middle**2) / 100)
    assert found.difference == pytest.approx(8 / 98)
    assert (found.ci_low, found.ci_high) == pytest.approx((middle - half, middle + half))


def test_the_interval_covers_the_true_difference_about_95_times_in_100():
    samples, chances = 60, (0.1, 0.25)
    covered = total = 0.0
    for first, second in product(range(25), range(35)):
        rest = samples - first - second
        if rest < 0:
            continue
        ways = math.comb(samples, first) * math.comb(samples - first, second)
        chance = ways * chances[0] ** first * chances[1] ** second * 0.65**rest
        found = compare_paired(first, second, samples)
        total += chance
        covered += chance * (found.ci_low <= 0.15 <= found.ci_high)
    assert total > 0.999
    assert 0.94 < covered / total < 0.97


def test_families_of_tests_are_adjusted_as_holm_does():
    assert adjust_p_values([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_p_values([0.9, 0.8]) == [1.0, 1.0]
    assert adjust_p_values([]) == []


def test_a_class_that_lost_many_images_is_hurt_and_the_others_are_not():
    outputs, labels = answers(samples=800, skill=3.0)
    worse = outputs.clone()
    worse[labels == 2, 2] -= 4  # only images of this class lose
    worse[labels == 5, 5] += 4
    before, after = (measure_classes(one, labels, NAMES) for one in (outputs, worse))
    changes = {one.class_name: one for one in compare_classes(before, after)}
    assert [name for name, one in changes.items() if one.is_hurt] == ["c"]
    assert [name for name, one in changes.items() if one.is_helped] == ["f"]
    lost = after.classes[2].recall - before.classes[2].recall
    assert changes["c"].recall.difference == pytest.approx(lost)
    assert changes["a"].recall.p_value == 1.0


def test_proportions_and_pairs_survive_their_dictionaries():
    assert Proportion.from_dict(Proportion.of(3, 7).to_dict()) == Proportion.of(3, 7)
    assert Paired.from_dict(compare_paired(1, 2, 9).to_dict()) == compare_paired(1, 2, 9)


@pytest.mark.parametrize("shown", ["before", "after", "difference"])
def test_confusions_are_drawn_as_parts_of_each_class(shown):
    before, after = [[8, 2, 0], [1, 3, 0], [0, 0, 0]], [[6, 3, 1], [1, 3, 0], [0, 0, 0]]
    found = confusion_of(before, after, shown)
    counts = {"before": before, "after": after, "difference": [[-2, 1, 1], [0, 0, 0], [0, 0, 0]]}
    assert [list(row) for row in found.counts] == counts[shown]
    for row, parts, images in zip(counts[shown], found.parts, (10, 4, 1), strict=True):
        assert list(parts) == pytest.approx([count / images for count in row])
    assert found.most == pytest.approx(0.2 if shown == "difference" else 1.0)


def test_a_difference_of_nothing_is_not_drawn_as_much():
    assert confusion_of([[100, 0], [0, 100]], [[100, 0], [0, 100]], "difference").most == FAINTEST
