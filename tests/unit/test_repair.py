"""Repair: BatchNorm against a closed form, the full one against its judges; no labels are read."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.errors import SettingsError
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import Pruned, prune
from workbench.reconstruct import Reconstruction
from workbench.repair import RepairRecord, has_batch_norm, reestimate_batch_norm_, repair

PLAN = PruningPlan({"conv1": 0.5, "fc": 0.5})


def pruned_model() -> Pruned:
    model = small_model()
    with torch.no_grad():
        model.module.norm.running_mean.fill_(3)
        model.module.norm.running_var.fill_(5)
    return prune(model, PLAN)


def test_statistics_become_those_of_the_calibration_images() -> None:
    pruned = pruned_model()
    repaired = repair(pruned, stripes_data(), "bn").pruned
    images = stripes_data().split("calibration").images
    with torch.no_grad():
        inputs = pruned.model.module.conv1(images).transpose(0, 1).flatten(1)
    norm = repaired.model.module.norm
    torch.testing.assert_close(norm.running_mean, inputs.mean(1))
    torch.testing.assert_close(norm.running_var, inputs.var(1))


def test_new_statistics_can_be_watched_and_stopped(monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["workbench.repair"], "BATCH", 32)
    pruned, seen = pruned_model(), []
    assert repair(pruned, stripes_data(), "bn", report=seen.append).record.chosen == "bn"
    assert [(step.done, step.total) for step in seen] == [(n, 4) for n in range(1, 5)]
    seen.clear()
    stopped = repair(
        pruned, stripes_data(), "bn", report=seen.append, should_stop=lambda: len(seen) == 2
    )
    assert len(seen) == 2
    assert stopped.pruned is pruned
    assert stopped.record.chosen == "none"
    assert stopped.notes == ("It was stopped, so the model is as it was.",)


def test_statistics_are_the_average_over_batches_of_equal_size() -> None:
    module = nn.Sequential(nn.BatchNorm2d(1))
    images = torch.randn(600, 1, 2, 2) * 3 + 1
    reestimate_batch_norm_(module, images)
    batches = images.view(2, -1)
    torch.testing.assert_close(module[0].running_mean, batches.mean(1).mean()[None])
    torch.testing.assert_close(module[0].running_var, batches.var(1).mean()[None])


def test_everything_else_stays_and_the_input_is_left_alone() -> None:
    pruned = pruned_model()
    digest = Model("again", pruned.model.copy_module(), (1, 6, 6), 3).digest
    repaired = repair(pruned, stripes_data(), "bn").pruned
    assert Model("again", pruned.model.module, (1, 6, 6), 3).digest == digest
    before, after = pruned.model.module.state_dict(), repaired.model.module.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert repaired.masks is pruned.masks
    assert repaired.model.module.norm.momentum == 0.1
    assert not any(part.training for part in repaired.model.module.modules())


def test_labels_and_test_images_play_no_part() -> None:
    data = stripes_data()
    shuffled = replace(
        data,
        y_train=np.roll(data.y_train, 1),
        x_test=data.x_test + 9,
        y_test=np.roll(data.y_test, 1),
    )
    one, two = (repair(pruned_model(), d, "bn").pruned.model.digest for d in (data, shuffled))
    assert one == two


def test_the_same_seed_gives_the_same_repair() -> None:
    one, two, other = (
        repair(pruned_model(), stripes_data(), "bn", num_samples=30, seed=seed).pruned.model.digest
        for seed in (1, 1, 2)
    )
    assert one == two != other


def test_it_brings_accuracy_back_after_statistics_went_wrong() -> None:
    """A network that reads the class off normalised rows fails with wrong statistics only."""

    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1, affine=False)
            self.classifier = nn.Linear(36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier((self.norm(x) - 0.3).relu().flatten(1))

    network = Rows().eval()
    with torch.no_grad():
        network.classifier.bias.zero_()
        rows = torch.arange(36) // 12
        network.classifier.weight.copy_((rows == torch.arange(3)[:, None]).float())
        network.norm.running_mean.fill_(50)  # every number falls below the threshold
    data, plan = stripes_data(), PruningPlan({"classifier": 0.1})
    broken = prune(Model("rows", network, (1, 6, 6), 3), plan)
    split = data.split("test")

    def accuracy(module: nn.Module) -> float:
        with torch.no_grad():
            return float((module(split.images).argmax(1) == split.labels).float().mean())

    assert accuracy(broken.model.module) < 0.5
    assert accuracy(repair(broken, data, "bn").pruned.model.module) > 0.9


def test_none_and_models_without_batch_norm_come_back_as_they_are() -> None:
    pruned = pruned_model()
    assert repair(pruned, stripes_data(), "none").pruned is pruned
    linear = Model("l", nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval(), (1, 6, 6), 3)
    plain = prune(linear, PruningPlan({}))
    assert repair(plain, stripes_data(), "bn").pruned is plain
    assert not has_batch_norm(nn.BatchNorm2d(2, track_running_stats=False))


def test_unknown_methods_and_too_few_images_are_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        repair(pruned_model(), stripes_data(), "bm")
    assert str(refused.value) == (
        "There is no repair 'bm'. Did you mean 'bn'? Choose one of: none, bn, full."
    )
    with pytest.raises(SettingsError, match="Repair got 1 images"):
        repair(pruned_model(), stripes_data(), "bn", num_samples=1)


# --- full repair ---


def kl(module: nn.Module, dense: nn.Module, images: torch.Tensor) -> float:
    """Distance of class probabilities, by the definition."""
    with torch.no_grad():
        p, q = dense(images).softmax(1), module(images).softmax(1)
    return float((p * (p / q).log()).sum(1).mean())


def harsh() -> Pruned:
    return prune(small_model(), PruningPlan({"conv1": 0.5, "conv2": 0.6, "fc": 0.8}))


def test_full_repair_comes_closer_to_the_dense_model_than_the_others() -> None:
    pruned, data = harsh(), stripes_data()
    repaired = repair(pruned, data, "full")
    record = repaired.record
    assert record.chosen == "full"
    assert min(record.distances, key=record.distances.__getitem__) == "full"
    assert set(record.distances) == {"none", "bn", "full"}
    assert [step.layer for step in repaired.steps] == ["conv1", "conv2", "fc", "classifier"]
    assert repaired.notes == ()
    judging = data.split("calibration", 2_000, 0).images[-16:]  # 128 images, an eighth of them
    for name, module in (("none", pruned.model.module), ("full", repaired.pruned.model.module)):
        expected = kl(module, pruned.dense.module, judging)
        assert record.distances[name] == pytest.approx(expected, rel=1e-3)
    for key, mask in pruned.masks.items():
        assert (repaired.pruned.model.module.get_parameter(key)[~mask] == 0).all()
    assert repaired.pruned.masks is pruned.masks


def test_full_repair_of_a_thinner_model_keeps_its_shapes() -> None:
    model = small_model()
    pruned = prune(model, PruningPlan({"conv1": 0.5, "fc": 0.5}, "channel"))
    repaired = repair(pruned, stripes_data(), "full")
    shapes = {key: value.shape for key, value in pruned.model.module.state_dict().items()}
    after = repaired.pruned.model.module.state_dict()
    assert {key: value.shape for key, value in after.items()} == shapes
    assert repaired.record.chosen == "full"
    assert repaired.record.distances["full"] < 0.5 * repaired.record.distances["none"]
    assert repaired.pruned.kept_outputs is pruned.kept_outputs


def test_full_repair_gives_the_model_back_where_nothing_comes_closer() -> None:
    """Nothing was pruned, so nothing can be closer to the dense model than it is already."""
    pruned = prune(small_model(), PruningPlan())
    repaired = repair(pruned, stripes_data(), "full")
    assert repaired.pruned is pruned
    assert repaired.record.chosen == "none"
    assert not any(step.kept for step in repaired.steps)


def test_new_statistics_are_taken_where_they_come_closer_than_reconstruction(monkeypatch) -> None:
    def spoil_(module: nn.Module, *_: object, **__: object) -> Reconstruction:
        with torch.no_grad():
            module.classifier.weight.zero_()
        return Reconstruction((), ())

    monkeypatch.setattr(sys.modules["workbench.repair"], "reconstruct_", spoil_)
    model = small_model()
    reestimate_batch_norm_(model.module, stripes_data().split("calibration").images)
    pruned = prune(model, PruningPlan({"fc": 0.1}))
    with torch.no_grad():
        pruned.model.module.norm.running_mean.fill_(9)
    repaired = repair(pruned, stripes_data(), "full")
    assert repaired.record.chosen == "bn"
    assert float(repaired.pruned.model.module.norm.running_mean.abs().max()) < 5


def test_stopping_a_full_repair_gives_the_model_back() -> None:
    pruned = harsh()
    repaired = repair(pruned, stripes_data(), "full", should_stop=lambda: True)
    assert repaired.pruned is pruned
    assert repaired.notes == ("It was stopped, so the model is as it was.",)


def test_full_repair_is_reproducible_and_reads_no_labels() -> None:
    data = stripes_data()
    shuffled = replace(data, y_train=np.roll(data.y_train, 1), x_test=data.x_test + 9)
    one, two = (repair(harsh(), d, "full", seed=2).pruned.model.digest for d in (data, shuffled))
    assert one == two


def test_a_model_without_batch_norm_is_repaired_in_full() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    pruned = prune(Model("l", network, (1, 6, 6), 3), PruningPlan({"1": 0.7}))
    repaired = repair(pruned, stripes_data(), "full")
    assert repaired.record.chosen == "full"
    assert set(repaired.record.distances) == {"none", "full"}


def test_a_record_survives_its_dictionary() -> None:
    record = repair(harsh(), stripes_data(), "full").record
    assert RepairRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
