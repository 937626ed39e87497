"""Fast sensitivity against the exact one: within its intervals, fewer images, nothing twice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from workbench import fast_points as module
from workbench.curves import SensitivityCurves, SensitivitySettings
from workbench.data import Data
from workbench.model import Model
from workbench.sensitivity import curve_key, measure_points, measure_sensitivity

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Cache:
    """Points in memory."""

    def __init__(self):
        self.points = []

    def load(self, key):
        return list(self.points)

    def append(self, key, point):
        self.points.append(point)


class Branching(nn.Module):
    """A network whose way depends on the values of a tensor."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        scores = self.inner(x)
        return scores if float(scores.detach().sum()) > -1e9 else scores * 2


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 2_400)
    images = generator.normal(0, 1, (2_400, 1, 6, 6)).astype(np.float32)
    images[np.arange(2_400), 0, labels, labels] += 3
    names = ("a", "b", "c", "d")
    return Data(
        "squares", images, labels, images[:4], labels[:4], class_names=names, num_validation=1_800
    )


@pytest.fixture(scope="module")
def model(data):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip
    split = data.split("train")
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(split.images), split.labels).backward()
        optimizer.step()
    return Model("squares", net.eval(), (1, 6, 6), 4)


def _settings(**changed):
    given = {"levels": LEVELS, "num_samples": 1_800, "precision": "fast", "half_width": 0.015}
    return SensitivitySettings(**given | changed)


def _truth(model, data, settings):
    curves = measure_sensitivity(model, data, replace(settings, precision="exact"))
    return curves.baseline, {(p.group, p.level): p for p in curves.points}


@pytest.mark.parametrize("repair", ["none", "bn"])
def test_nearly_every_interval_holds_the_exact_value(model, data, repair):
    settings = _settings(repair=repair)
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    fast = measure_sensitivity(model, data, settings)
    baseline, exact = _truth(model, data, settings)
    every = [*fast.points, *fast.interpolated]
    assert fast.complete
    assert {(p.group, p.level) for p in every} == exact.keys()
    assert len(every) == len(exact)
    assert fast.baseline.accuracy == pytest.approx(baseline.accuracy, abs=0.003)
    slack = 0.0 if repair == "none" else 0.01  # fewer calibration images
    held = [
        p.ci_low - slack <= exact[p.group, p.level].accuracy <= p.ci_high + slack for p in every
    ]
    assert sum(held) >= 0.9 * len(held)
    assert all(p.ci_high - p.ci_low <= 0.0301 for p in every)
    losses = [abs(p.loss - exact[p.group, p.level].loss) for p in every]
    assert sum(losses) / len(losses) < 0.03
    assert all(torch.equal(value, before[key]) for key, value in model.module.state_dict().items())


def test_images_and_levels_are_saved(model, data):
    fast = measure_sensitivity(model, data, _settings(half_width=0.03))
    images = sum(point.samples for point in fast.points) / (3 * len(LEVELS))
    assert images < 1_800 / 4
    assert fast.interpolated
    assert {point.samples for point in fast.interpolated} == {0}
    assert all(160 <= point.samples <= 1_800 for point in fast.points)
    assert fast.evaluations == len(fast.points) + 1
    assert SensitivityCurves.from_dict(fast.to_dict()) == fast


def test_a_half_width_of_nothing_gives_the_exact_numbers(model, data):
    settings = _settings(half_width=1e-9, num_samples=500, levels=(0.3, 0.6, 0.9))
    fast = measure_sensitivity(model, data, settings)
    baseline, exact = _truth(model, data, settings)
    assert fast.baseline.accuracy == baseline.accuracy
    for point in fast.points:
        wanted = exact[point.group, point.level]
        assert point.accuracy == pytest.approx(wanted.accuracy, abs=1e-12)
        assert point.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert point.ci_low == point.accuracy == point.ci_high
        assert point.samples == 500


def test_the_baseline_comes_first_and_then_the_highest_levels(model, data):
    seen = []
    measure_sensitivity(model, data, _settings(), report=lambda p: seen.append(p.values))
    assert seen[0]["group"] == ""
    measured = [values for values in seen[1:] if values["samples"]]
    assert {values["level"] for values in measured[:2]} == {0.9}
    assert len(seen) == 3 * len(LEVELS) + 1


def test_a_stopped_sweep_goes_on_from_the_cache(model, data, monkeypatch):
    cache, settings = Cache(), _settings()
    calls = 0

    def stop():
        nonlocal calls
        calls += 1
        return calls > 40

    part = measure_sensitivity(model, data, settings, cache=cache, should_stop=stop)
    assert not part.complete
    first = len(cache.points)
    assert first > 1
    whole = measure_sensitivity(model, data, settings, cache=cache)
    assert whole.complete
    assert all(point["samples"] for point in cache.points)
    places = [(point["group"], point["level"]) for point in cache.points]
    assert len(set(places)) == len(places) == len(whole.points) + 1
    assert whole.evaluations == len(cache.points) - first
    assert whole.points == measure_sensitivity(model, data, settings).points

    monkeypatch.setattr(module, "sweep_of", None)  # nothing is left to measure
    again = measure_sensitivity(model, data, settings, cache=cache)
    assert (again.points, again.interpolated) == (whole.points, whole.interpolated)
    assert again.evaluations == 0


def test_what_cannot_be_replayed_sees_all_images_and_few_levels(model, data):
    branching = Model("branching", Branching(model.copy_module()).eval(), (1, 6, 6), 4)
    settings = _settings(num_samples=200, half_width=0.05)
    for given, changed in ((branching, {}), (model, {"repair": "full", "levels": (0.5, 0.9)})):
        fast = measure_sensitivity(given, data, replace(settings, **changed))
        _, exact = _truth(given, data, replace(settings, **changed))
        assert fast.complete
        for point in fast.points:
            wanted = exact[point.group, point.level]
            assert (point.accuracy, point.loss) == (wanted.accuracy, wanted.loss)
            assert point.ci_low == point.accuracy == point.ci_high
            assert point.samples == 200


def test_outputs_that_are_no_numbers_end_with_an_endless_loss(model, data):
    broken = model.copy_module()
    with torch.no_grad():
        broken[6].bias.fill_(math.inf)
    settings = _settings(levels=(0.5, 0.9), num_samples=300)
    fast = measure_sensitivity(Model("broken", broken.eval(), (1, 6, 6), 4), data, settings)
    assert fast.complete
    assert {point.loss for point in (*fast.points, *fast.interpolated)} == {math.inf}


def test_precision_and_half_width_decide_where_points_are_kept(model, data):
    keys = {
        curve_key(model, data, _settings(**changed))
        for changed in ({}, {"half_width": 0.02}, {"precision": "exact"}, {"repair": "bn"})
    }
    assert len(keys) == 4


def test_points_may_come_from_elsewhere_in_parts(model, data):
    def source(model, data, settings, places, *, groups, should_stop):
        for name in dict.fromkeys(name for name, _ in places):
            own = [place for place in places if place[0] == name]
            yield from measure_points(model, data, settings, own, groups=groups)

    there = measure_sensitivity(model, data, _settings(), source=source)
    here = measure_sensitivity(model, data, _settings())
    assert there.complete
    assert there.points == here.points
    assert there.interpolated == here.interpolated
