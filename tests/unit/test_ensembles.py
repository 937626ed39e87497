"""Ensembles: against slow loops; ties; what is learnt and chosen never sees a test label."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from workbench.data import Data
from workbench.ensembles import (
    ENSEMBLES,
    Ensembles,
    EnsembleSettings,
    combine_models,
    get_ensemble,
)
from workbench.ensembles.methods.mean_probability import average
from workbench.ensembles.methods.stacking import fit_stacking
from workbench.ensembles.methods.vote import count_votes
from workbench.errors import SettingsError
from workbench.metrics import measure_size
from workbench.model import Model
from workbench.outputs import OutputCache

CLASSES = 4


def logs(seed: int, members: int = 3, samples: int = 60) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(members, samples, CLASSES, generator=generator, dtype=torch.double)
    return (2 * scores).log_softmax(2)


# Combining


def test_a_vote_goes_to_the_class_named_most_often():
    found = count_votes(logs(0, members=5))
    for scores, one in zip(logs(0, members=5).permute(1, 0, 2).tolist(), found, strict=True):
        named = [row.index(max(row)) for row in scores]
        counts = [named.count(c) for c in range(CLASSES)]
        tied = [c for c in range(CLASSES) if counts[c] == max(counts)]
        means = [sum(np.exp(row[c]) for row in scores) for c in tied]
        assert int(one.argmax()) == tied[int(np.argmax(means))]


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((0.6, 0.4, 0.0), (0.0, 0.9, 0.1), 1),  # one vote each: the higher mean wins
        ((0.5, 0.2, 0.3), (0.2, 0.5, 0.3), 0),  # equal means, too: the first class
        ((0.35, 0.34, 0.31), (0.0, 0.48, 0.52), 2),  # class 1 has the highest mean but no vote
    ],
)
def test_a_tie_goes_to_the_higher_mean_probability_then_to_the_first(first, second, answer):
    both = torch.tensor([[first], [second]], dtype=torch.double).log()
    assert int(count_votes(both).argmax(1)) == answer


def test_a_member_that_answers_nan_casts_no_vote():
    given = logs(0)
    spoilt = given.clone()
    spoilt[1] = torch.nan
    assert torch.equal(count_votes(spoilt).argmax(1), count_votes(given[[0, 2]]).argmax(1))


def test_the_average_is_the_logarithm_of_the_mean_probability():
    given = logs(1)
    assert average(given).exp().numpy() == pytest.approx(given.exp().mean(0).numpy())


def test_stacking_learns_that_one_member_calls_classes_by_other_names():
    labels = torch.arange(60) % CLASSES
    right = torch.nn.functional.one_hot(labels, CLASSES).double() * 3
    wrong = right.roll(1, 1)  # always the next class
    noise = torch.randn(60, CLASSES, generator=torch.Generator().manual_seed(0)).double()
    together = torch.stack([wrong + noise, wrong, noise]).log_softmax(2)
    combine = fit_stacking(together[:, :40], labels[:40])
    assert (combine(together[:, 40:]).argmax(1) == labels[40:]).all()
    assert (average(together).argmax(1) == labels).double().mean() < 0.5


def test_stacking_with_labels_of_one_class_or_without_some_answers_what_it_saw():
    given = logs(2)
    always = fit_stacking(given, torch.full((60,), 2))
    assert (always(logs(3)).argmax(1) == 2).all()
    labels = torch.arange(60) % 3  # never the last class
    assert (fit_stacking(given, labels)(logs(3)).argmax(1) < 3).all()
    spoilt = logs(3)
    spoilt[0, 0] = torch.nan
    assert not fit_stacking(given, labels)(spoilt).isnan().any()


# Whole comparisons


class Answers(nn.Module):
    """Gives the image itself, changed a little, as class scores."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(CLASSES, CLASSES, bias=False)
        self.layer.weight.data = weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def model(name: str, seed: int, zeros: int = 0) -> Model:
    """A network that is right in most cases; so many of its 16 weights are zero."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.eye(CLASSES) + 0.5 * torch.randn(CLASSES, CLASSES, generator=generator)
    order = (weight + 10 * torch.eye(CLASSES)).abs().flatten().argsort()
    weight.view(-1)[order[:zeros]] = 0
    return Model(name, Answers(weight).eval(), (1, 2, 2), CLASSES)


def images(seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, 400)
    x = rng.normal(0, 0.6, (400, 1, 2, 2)).astype(np.float32)
    x.reshape(400, CLASSES)[np.arange(400), labels] += 1
    return Data("corners", x[:250], labels[:250], x[250:], labels[250:])


DENSE = model("dense", 0)
RUNS = {f"r{n}": model(f"r{n}", n, zeros=10 + n // 2) for n in range(1, 5)}


@pytest.fixture(scope="module")
def found() -> Ensembles:
    result = combine_models(DENSE, RUNS, images())
    assert result is not None
    return result


def test_every_number_of_plain_methods_equals_a_loop(found):
    data = images()
    for split, key in (("validation", "validation"), ("test", "test")):
        part = data.split(split)
        probabilities = np.stack([
            torch.softmax(m.module(part.images).double(), 1).detach().numpy()
            for m in RUNS.values()
        ])  # fmt: skip
        labels = part.labels.numpy()
        for member, own in zip(found.members, probabilities, strict=True):
            assert getattr(member, key).correct == (own.argmax(1) == labels).sum()
        mean = next(one for one in found.combined if one.method == "average")
        assert getattr(mean, key).correct == (probabilities.mean(0).argmax(1) == labels).sum()


def test_an_ensemble_is_as_large_as_its_members_together_and_what_it_learnt(found):
    sizes = [measure_size(m) for m in RUNS.values()]
    for one in found.combined:
        learnt = CLASSES * (4 * CLASSES + 1) if one.method == "stacking" else 0
        products = CLASSES * 4 * CLASSES if one.method == "stacking" else 0
        assert one.bytes == sum(size.bytes for size in sizes) + 4 * learnt
        assert one.macs == sum(size.macs for size in sizes) + products
        assert found.part(one, "bytes") == one.bytes / measure_size(DENSE).bytes
    assert [m.macs for m in found.members] == [16 - 10 - n // 2 for n in range(1, 5)]


def test_how_it_stands_to_the_dense_model_is_said_within_one_percent(found):
    for size, words in ((990, "at"), (1000, "at"), (1010, "at"), (989, "below"), (1011, "above")):
        dense = replace(found.dense, bytes=1000)
        one = replace(found.combined[0], bytes=size)
        assert replace(found, dense=dense).standing(one, "bytes") == words


@pytest.mark.parametrize("unit", ["bytes", "macs"])
def test_the_search_finds_what_trying_everything_finds(unit):
    settings = EnsembleSettings(("vote", "average"))
    found = combine_models(DENSE, RUNS, images(), settings)
    part = images().split("validation")
    given = torch.stack([m.module(part.images).double().log_softmax(1) for m in RUNS.values()])
    sizes = [getattr(measure_size(m), unit) for m in RUNS.values()]
    budget = getattr(measure_size(DENSE), unit)
    tried = []
    for count in range(2, 5):
        for numbers in combinations(range(4), count):
            size = sum(sizes[n] for n in numbers)
            if size <= budget:
                for combine in (count_votes, average):
                    right = combine(given[list(numbers)]).argmax(1) == part.labels
                    tried.append((int(right.sum()), -size))
    best = found.best[unit]
    assert found.tried[unit] == len(tried) > 2
    assert (best.validation.correct, -best.size(unit)) == max(tried)
    assert best.size(unit) <= budget


def test_where_no_two_models_fit_there_is_no_best():
    found = combine_models(DENSE, {"a": model("a", 5), "b": model("b", 6)}, images())
    assert found.best == {"bytes": None, "macs": None}
    assert found.tried == {"bytes": 0, "macs": 0}
    assert found.best_member("macs").name in ("a", "b")


def test_nothing_that_is_learnt_or_chosen_depends_on_test_labels(found):
    data = images()
    other = combine_models(DENSE, RUNS, replace(data, y_test=np.roll(data.y_test, 1)))
    for before, after in zip(found.combined, other.combined, strict=True):
        assert before.validation == after.validation
    for unit, best in found.best.items():
        assert other.best[unit].members == best.members
        assert other.best[unit].method == best.method
        assert other.best[unit].validation == best.validation
    assert any(a.test != b.test for a, b in zip(found.combined, other.combined, strict=True))


def test_what_learns_is_judged_on_validation_images_that_it_did_not_learn_from():
    data = images()
    rng = np.random.default_rng(0)
    shuffled = replace(data, y_train=rng.permutation(data.y_train))  # nothing left to learn
    found = combine_models(DENSE, RUNS, shuffled, EnsembleSettings(("stacking",), search=False))
    (one,) = found.combined
    assert one.validation.samples == 50
    assert one.validation.accuracy < 0.45  # by chance 0.25; learnt by heart it would be more
    again = combine_models(
        DENSE, RUNS, shuffled, EnsembleSettings(("stacking",), search=False, seed=7)
    )
    assert again.combined[0].test == one.test  # the seed cuts the validation images, no more


def test_the_difference_to_the_dense_model_counts_the_same_images(found):
    part = images().split("test")
    dense = DENSE.module(part.images).argmax(1) == part.labels
    for member, one in zip(found.members, RUNS.values(), strict=True):
        own = one.module(part.images).argmax(1) == part.labels
        paired = member.against_dense
        assert paired.only_first == int((dense & ~own).sum())
        assert paired.only_second == int((own & ~dense).sum())
        difference = member.test.accuracy - found.dense.test.accuracy
        assert paired.difference == pytest.approx(difference)


def test_it_survives_json(found):
    values = json.loads(json.dumps(found.to_dict()))
    assert Ensembles.from_dict(values) == found
    assert values["chosen_on"] == "validation"
    assert values["combined"][0]["budget"]["macs"]["standing"] in ("below", "at", "above")


def test_a_stop_gives_up_and_answers_are_kept(tmp_path):
    cache, seen = OutputCache(tmp_path), []
    assert (
        combine_models(
            DENSE, RUNS, images(), cache=cache, report=seen.append,
            should_stop=lambda: len(seen) > 3,
        )
        is None
    )  # fmt: skip
    assert len(list(tmp_path.glob("*.npy"))) >= 2


def test_answers_that_are_kept_are_not_asked_again(tmp_path):
    data, cache = images(), OutputCache(tmp_path)
    first = cache.outputs(DENSE, data, "test")
    silent = replace(DENSE, module=nn.Identity())
    silent.__dict__["digest"] = DENSE.digest
    assert torch.equal(cache.outputs(silent, data, "test"), first)
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(path.read_bytes()[:100])  # damaged: asked anew
    assert torch.equal(cache.outputs(DENSE, data, "test"), first)
    OutputCache(tmp_path, max_bytes=0).outputs(DENSE, data, "validation")
    assert not list(tmp_path.glob("*.npy"))


def test_fewer_than_two_and_too_many_models_and_unknown_names_are_refused():
    with pytest.raises(SettingsError, match="An ensemble of 1 is none"):
        combine_models(DENSE, {"r1": RUNS["r1"]}, images())
    with pytest.raises(SettingsError, match="17 models were chosen"):
        combine_models(DENSE, {str(n): DENSE for n in range(17)}, images())
    with pytest.raises(SettingsError, match="vote"):
        get_ensemble("votes")
    with pytest.raises(SettingsError, match="seed is -1"):
        EnsembleSettings(seed=-1)


def test_no_method_means_all_in_the_order_of_the_registry():
    assert EnsembleSettings().methods == tuple(ENSEMBLES)
    assert EnsembleSettings(("vote", "vote")).methods == ("vote",)
    assert EnsembleSettings.from_dict(EnsembleSettings().to_dict()) == EnsembleSettings()
