"""Sensitivity against a slow, obvious measurement, and what is read off the curves."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from workbench.curves import (
    SensitivityCurves,
    SensitivityPoint,
    SensitivitySettings,
    damage,
    most_fragile,
)
from workbench.data import Data
from workbench.errors import DataError, PlanError, SettingsError
from workbench.metrics import score, wilson_interval
from workbench.model import Model
from workbench.plain_points import weights_masked_
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.repair import repair
from workbench.sensitivity import (
    FULL_REPAIR_SAMPLES,
    JsonLinesCache,
    curve_key,
    measure_sensitivity,
    sample_curves,
)


def _data(num_test=20):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 600)
    images = generator.normal(0, 1, (600, 1, 6, 6)).astype(np.float32)
    images[np.arange(600), 0, labels, labels] += 4
    return Data(
        "squares", images, labels, images[:num_test], labels[:num_test],
        class_names=("a", "b", "c", "d"),
    )  # fmt: skip


def _model(data, steps=60):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip
    split = data.split("train")
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(split.images), split.labels).backward()
        optimizer.step()
    return Model("squares", net.eval(), (1, 6, 6), 4)


@pytest.fixture(scope="module")
def data():
    return _data()


@pytest.fixture(scope="module")
def model(data):
    return _model(data)


LAYERS = ("0", "4", "6")
SETTINGS = SensitivitySettings(levels=(0.3, 0.6, 0.95), num_samples=110)


@pytest.mark.parametrize("repair_name", ["none", "bn"])
@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_every_point_agrees_with_pruning_repairing_and_scoring(model, data, criterion, repair_name):
    settings = SensitivitySettings((0.3, 0.95), 110, criterion, repair_name, seed=3)
    curves = measure_sensitivity(model, data, settings)
    validation = data.split("validation", 110, 3)
    assert [(p.group, p.level) for p in curves.points] == [
        (layer, level) for layer in LAYERS for level in (0.3, 0.95)
    ]
    for point in (curves.baseline, *curves.points):
        sparsities = {point.group: point.level} if point.group else {}
        pruned = prune(model, PruningPlan(sparsities, criterion=criterion, seed=3))
        repaired = repair(pruned, data, repair_name, seed=3).pruned
        expected = score(repaired.model.module, validation)
        assert point.samples == expected.samples == 110
        assert point.accuracy == pytest.approx(expected.accuracy, abs=1.5 / 110)
        assert point.loss == pytest.approx(expected.loss, rel=1e-4)
        correct = round(point.accuracy * 110)
        assert (point.ci_low, point.ci_high) == wilson_interval(correct, 110)
    assert (curves.complete, curves.evaluations) == (True, 7)
    assert (curves.model, curves.data) == (model.digest, data.digest)


@pytest.mark.parametrize("repair_name", ["none", "bn", "full"])
@pytest.mark.parametrize(
    ("granularity", "groups", "levels"),
    [
        ("channel", ("0", "4"), (0.3, 0.95)), ("kernel", ("0",), (0.3, 0.95)),
        ("block:4x4", ("0", "4", "6"), (0.3, 0.95)), ("nm:1:4", ("4", "6"), (0.75,)),
    ],
)  # fmt: skip
def test_every_granularity_agrees_with_pruning_for_real(
    model, data, granularity, groups, levels, repair_name
):
    settings = SensitivitySettings(
        (0.3, 0.95), 110, repair=repair_name, granularity=granularity, seed=2
    )
    curves = measure_sensitivity(model, data, settings)
    assert curves.settings.levels == levels
    assert [(p.group, p.level) for p in curves.points] == [(g, v) for g in groups for v in levels]
    validation = data.split("validation", 110, 2)
    for point in (curves.baseline, *curves.points):
        sparsities = {point.group: point.level} if point.group else {}
        pruned = prune(model, PruningPlan(sparsities, granularity=granularity, seed=2))
        if granularity == "channel" and point.group:
            counts = [p.numel() for p in pruned.model.module.parameters()]
            assert sum(counts) < sum(p.numel() for p in model.module.parameters())
        images = FULL_REPAIR_SAMPLES if repair_name == "full" else 2_000
        repaired = repair(pruned, data, repair_name, num_samples=images, seed=2).pruned
        if repair_name == "full" and not point.group:
            repaired = pruned  # the dense model needs none
        expected = score(repaired.model.module, validation)
        assert point.accuracy == pytest.approx(expected.accuracy, abs=1.5 / 110)
        assert point.loss == pytest.approx(expected.loss, rel=1e-4)
    assert len({point.loss for point in curves.points}) == len(curves.points)


def test_a_network_without_kernels_cannot_be_measured_kernel_by_kernel(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 4)).eval()
    settings = SensitivitySettings(granularity="kernel")
    with pytest.raises(PlanError) as refused:
        measure_sensitivity(Model("n", net, (1, 6, 6), 4), data, settings)
    assert str(refused.value) == (
        "Nothing can be pruned at granularity 'kernel'. 1: It has no kernels. "
        "Choose another granularity, such as weight."
    )


def test_the_curves_tell_layers_and_levels_apart(model, data):
    curves = measure_sensitivity(model, data, SETTINGS)
    assert curves.baseline.accuracy > 0.9
    assert len({point.loss for point in curves.points}) == len(curves.points)
    assert curves.curve("4")[-1].loss > curves.baseline.loss


def test_the_validation_split_is_used_and_never_the_test_split(model):
    with_little, with_more = _data(num_test=1), _data(num_test=400)
    a = measure_sensitivity(model, with_little, SETTINGS)
    b = measure_sensitivity(model, with_more, SETTINGS)
    assert a.points == b.points
    assert a.data != b.data


@pytest.mark.parametrize("repair_name", ["none", "bn", "full"])
def test_a_point_does_not_depend_on_those_measured_before(model, data, repair_name):
    settings = SensitivitySettings((0.2, 0.6, 0.9), 110, repair=repair_name)
    together = measure_sensitivity(model, data, settings)
    for level in settings.levels:
        alone = measure_sensitivity(
            model, data, SensitivitySettings((level,), 110, repair=repair_name)
        )
        assert alone.baseline == together.baseline
        assert alone.points == tuple(p for p in together.points if p.level == level)


class Hesitant(nn.Sequential):
    """Whether it doubles the scores depends on what is in the images."""

    def forward(self, images):
        scores = super().forward(images)
        return scores * 2 if images.mean() > 0 else scores


def test_a_network_that_looks_at_values_is_run_whole_with_a_note(model, data):
    plain = measure_sensitivity(model, data, SETTINGS)
    hesitant = replace(model, module=Hesitant(*model.module).eval())
    curves = measure_sensitivity(hesitant, data, SETTINGS)
    assert plain.note == ""
    assert "depends on the values" in curves.note
    assert SensitivityCurves.from_dict(curves.to_dict()) == curves
    assert [p.accuracy for p in curves.points] == [p.accuracy for p in plain.points]


def test_the_model_stays_as_it_is(model, data):
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    measure_sensitivity(model, data, SensitivitySettings((0.9,), 50, repair="bn"))
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key])
    assert not model.module._forward_pre_hooks
    assert model.module[0].weight.is_contiguous()


def test_masked_weights_come_back_bit_by_bit():
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[-0.0, 0.0, 1e-45], [math.nan, math.inf, -3.1]])
    weight = layer.weight
    masks = {"weight": torch.tensor([[False, False, False], [False, True, True]])}
    bits = weight.detach().view(torch.int32).clone()
    with weights_masked_(layer, masks):
        assert weight.detach().view(-1)[:4].tolist() == [0, 0, 0, 0]
        assert weight.detach().view(-1)[4:].tolist() == [math.inf, pytest.approx(-3.1)]
    assert torch.equal(weight.detach().view(torch.int32), bits)
    with pytest.raises(KeyError), weights_masked_(layer, masks):
        raise KeyError
    assert torch.equal(weight.detach().view(torch.int32), bits)


def test_every_point_is_reported_as_it_comes(model, data):
    seen = []
    curves = measure_sensitivity(model, data, SETTINGS, report=seen.append)
    assert [(p.done, p.total) for p in seen] == [(i, 10) for i in range(1, 11)]
    assert [p.message for p in seen[:5]] == [
        "Dense model", "0 at 60%", "4 at 60%", "6 at 60%", "0 at 30%",
    ]  # fmt: skip
    points = {(p.group, p.level): p for p in (curves.baseline, *curves.points)}
    for progress in seen:
        point = points.pop((progress.values["group"], progress.values["level"]))
        assert progress.values.items() >= point.to_dict().items()
        assert progress.values["seconds_left"] >= 0
        json.dumps(dict(progress.values), allow_nan=False)
    assert seen[-1].values["seconds_left"] == 0


def test_stop_keeps_whole_points_and_resume_measures_the_rest(model, data, tmp_path):
    whole = measure_sensitivity(model, data, SETTINGS)
    cache = JsonLinesCache(tmp_path)
    told = []
    part = measure_sensitivity(
        model, data, SETTINGS, cache=cache, report=told.append, should_stop=lambda: len(told) > 3
    )
    assert (part.complete, part.evaluations, len(part.points)) == (False, 4, 3)
    assert part.points == tuple(point for point in whole.points if point.level == 0.6)
    seen = []
    rest = measure_sensitivity(model, data, SETTINGS, cache=cache, report=seen.append)
    assert (rest.complete, rest.evaluations) == (True, 6)
    assert (rest.baseline, rest.points) == (whole.baseline, whole.points)
    assert len(seen) == 10
    again = measure_sensitivity(model, data, SETTINGS, cache=cache)
    assert (again.complete, again.evaluations, again.seconds) == (True, 0, 0)
    assert (again.baseline, again.points) == (whole.baseline, whole.points)


def test_stop_in_the_middle_of_a_full_repair_keeps_no_half_repaired_point(model, data):
    settings = SensitivitySettings((0.6,), 110, repair="full")
    whole = measure_sensitivity(model, data, settings)
    asked = []
    measure_sensitivity(model, data, settings, should_stop=lambda: bool(asked.append(True)))
    for last in range(3, len(asked), max(1, len(asked) // 12)):
        seen = []
        part = measure_sensitivity(
            model, data, settings, should_stop=lambda n=last, s=seen: s.append(True) or len(s) > n
        )
        assert not part.complete
        assert part.points == whole.points[: len(part.points)]


def test_stop_before_anything_is_measured(model, data):
    curves = measure_sensitivity(model, data, SETTINGS, should_stop=lambda: True)
    assert (curves.baseline, curves.points, curves.complete) == (None, (), False)
    assert most_fragile(curves) == []
    assert SensitivityCurves.from_dict(curves.to_dict()) == curves


def test_other_levels_share_the_points_they_have_in_common(model, data, tmp_path):
    cache = JsonLinesCache(tmp_path)
    measure_sensitivity(model, data, SETTINGS, cache=cache)
    more = SensitivitySettings((0.3, 0.5, 0.6, 0.95), SETTINGS.num_samples)
    assert measure_sensitivity(model, data, more, cache=cache).evaluations == len(LAYERS)


def test_the_key_names_weights_data_and_settings_but_not_levels(model, data):
    key = curve_key(model, data, SETTINGS)
    same = SensitivitySettings((0.1,), SETTINGS.num_samples)
    assert curve_key(model, data, same) == key
    for change in (
        {"num_samples": 111}, {"criterion": "random"}, {"repair": "bn"}, {"seed": 1},
        {"granularity": "kernel"},
    ):  # fmt: skip
        other = SensitivitySettings.from_dict(SETTINGS.to_dict() | change)
        assert curve_key(model, data, other) != key
    assert curve_key(model, _data(num_test=21), SETTINGS) != key
    module = model.copy_module()
    with torch.no_grad():
        module[0].weight.view(-1)[0] += 1e-3
    assert curve_key(model.with_module(module), data, SETTINGS) != key


def test_a_network_without_a_finite_loss_still_gives_plain_json(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        net[2].bias.fill_(math.inf)
    curves = measure_sensitivity(Model("n", net, (1, 6, 6), 4), data, SETTINGS)
    assert math.isinf(curves.baseline.loss)
    text = json.dumps(curves.to_dict(), allow_nan=False)
    assert SensitivityCurves.from_dict(json.loads(text)) == curves


def test_curves_survive_json_and_hold_what_the_contract_says(model, data):
    curves = measure_sensitivity(model, data, SETTINGS)
    values = json.loads(json.dumps(curves.to_dict(), allow_nan=False))
    assert set(values) >= {"baseline", "points", "seconds", "evaluations"}
    assert set(values["baseline"]) >= {"accuracy", "loss"}
    assert set(values["points"][0]) == {
        "group", "level", "accuracy", "loss", "ci_low", "ci_high", "samples",
    }  # fmt: skip
    assert SensitivityCurves.from_dict(values) == curves


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": ()}, "No level was given."),
        ({"levels": (0.5, 1.0)}, "The level 1 is not between 0 and 1."),
        ({"levels": (0.0,)}, "The level 0 is not between 0 and 1."),
        ({"levels": (math.nan,)}, "The level nan is not between 0 and 1."),
        ({"levels": ("half",)}, "The level 'half' is not a number."),
        ({"levels": tuple(i / 50 for i in range(1, 42))}, "41 levels were given."),
        ({"num_samples": 0}, "num_samples is 0."),
        ({"num_samples": 2.5}, "num_samples is 2.5."),
        ({"seed": -1}, "seed is -1."),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(SettingsError) as refused:
        SensitivitySettings(**change)
    assert refused.value.message == message
    assert refused.value.hint


def test_unknown_granularities_are_refused():
    with pytest.raises(PlanError, match="There is no granularity 'row'"):
        SensitivitySettings(granularity="row")


def test_levels_are_put_in_order():
    assert SensitivitySettings(levels=(0.9, 0.1, 0.9)).levels == (0.1, 0.9)


def test_unknown_names_and_foreign_data_are_refused(model, data):
    with pytest.raises(SettingsError):
        measure_sensitivity(model, data, SensitivitySettings(repair="glue"))
    with pytest.raises(PlanError):
        measure_sensitivity(model, data, SensitivitySettings(criterion="l3"))
    with pytest.raises(DataError):
        measure_sensitivity(Model("n", model.module, (1, 7, 7), 4), data, SETTINGS)


def _curves(**drops):
    """Curves with the given accuracies lost, at levels 0.2, 0.4, 0.6, 0.8, from 90 %."""
    points = tuple(
        SensitivityPoint(group, round(0.2 * (i + 1), 1), 0.9 - drop, 0.3 + drop, 0, 1, 100)
        for group, own in drops.items()
        for i, drop in enumerate(own)
    )
    baseline = SensitivityPoint("", 0, 0.9, 0.3, 0, 1, 100)
    settings = SensitivitySettings((0.2, 0.4, 0.6, 0.8), 100)
    return SensitivityCurves(settings, "m", "d", baseline, points, 1, len(points) + 1, True)


def test_the_most_fragile_groups_by_hand():
    curves = _curves(
        late=(0, 0, 0.01, 0.30),
        sturdy=(0, 0, 0, 0.01),
        early=(0.03, 0.05, 0.06, 0.07),
        steep=(0.03, 0.05, 0.06, 0.50),
        noisy=(0.04, -0.04, 0, 0.12),
    )
    found = most_fragile(curves, 5, drop=0.02)
    assert [fragility.group for fragility in found] == ["steep", "early", "late", "noisy"]
    assert found[0].level == pytest.approx(0.2 * 0.02 / 0.03)
    assert (found[0].measured_level, found[0].lost) == (0.2, pytest.approx(0.03))
    assert found[2].level == pytest.approx(0.6 + 0.2 * 0.01 / 0.29)
    assert (found[2].measured_level, found[2].lost) == (0.8, pytest.approx(0.3))
    assert found[3].level == pytest.approx(0.6 + 0.2 * 0.02 / 0.12)
    # trapezia over 0, .2, .4, .6, .8
    area = 0.2 * (0.015 + 0.04 + 0.055 + 0.065) / 0.8
    assert found[1].area == pytest.approx(area)
    assert most_fragile(curves, 1, drop=0.02) == found[:1]
    assert most_fragile(curves, 5, drop=0.6) == []


def test_damage_never_falls_and_meets_the_points():
    curves = _curves(a=(0.01, 0.05, 0.20, 0.80), noisy=(0.04, 0.02, 0.06, 0.10))
    assert damage(curves, "a", 0) == 0
    for level, drop in zip((0.2, 0.4, 0.6, 0.8), (0.01, 0.05, 0.2, 0.8), strict=True):
        assert damage(curves, "a", level) == pytest.approx(drop)
    assert damage(curves, "a", 0.95) == pytest.approx(0.8)
    assert damage(curves, "noisy", 0.2) == damage(curves, "noisy", 0.4) == pytest.approx(0.03)
    values = [damage(curves, "noisy", i / 100) for i in range(100)]
    assert values == sorted(values)
    assert damage(curves, "absent", 0.5) is None


def test_curves_that_ship_belong_to_the_weights_and_not_to_the_name(model):
    assert sample_curves(model) == ()
