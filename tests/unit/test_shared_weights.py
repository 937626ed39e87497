"""Weights that are used in several places: found, counted, cut, measured, repaired, kept as one."""

import copy

import pytest
import torch
from torch import nn

from tests.unit.small import stripes_data
from workbench.accounting import size_of_plan
from workbench.architectures import ARCHITECTURES
from workbench.criteria import get_criterion
from workbench.errors import LoadError, PlanError
from workbench.export.formats import safetensors_bytes
from workbench.finetune import FineTuneSettings, finetune
from workbench.groups import find_groups
from workbench.layers import inspect
from workbench.loading import load_model, load_uploaded_model
from workbench.loading.skeleton import rebuild
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import preview, prune, restore_pruned
from workbench.reconstruct import reconstruct_
from workbench.repair import reestimate_batch_norm_, repair
from workbench.saving import encode_pruned
from workbench.scoring import score_units
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.shared import describe_uses, second_names, share_
from workbench.sweep import why_not_replayed

WIDTH = 6


class Shared(nn.Module):
    """A block used twice with one BatchNorm, then two layers with one weight and own biases."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.block = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)
        self.left, self.right = nn.Conv2d(WIDTH, 5, 3), nn.Conv2d(WIDTH, 5, 3, dilation=2)
        self.right.weight = self.left.weight
        self.classifier = nn.Linear(5, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        for _ in range(2):
            x = (x + self.norm(self.block(x))).relu()
        x = self.left(x).relu().mean((2, 3)) + self.right(x).relu().mean((2, 3))
        return self.classifier(x)


def shared_model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    network = Shared()
    for norm in [network.norm]:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return Model("shared", network.eval(), (1, 6, 6), 3)


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(4))


# Found and counted


def test_a_shared_weight_is_one_row_that_names_its_uses():
    model = shared_model()
    rows = {row.layer_name: row for row in inspect(model).layers}
    assert rows["block"].uses == ("block", "block")
    assert rows["norm"].uses == ("norm", "norm")
    assert rows["left"].uses == ("left", "right")
    assert rows["left"].shared
    assert not rows["stem"].shared
    assert rows["left"].macs == rows["left"].num_weights * (4 * 4 + 2 * 2)
    right = rows["right"]
    assert (right.num_weights, right.num_params, right.macs, right.prunable) == (0, 5, 0, False)
    assert right.shares_with == "left"
    assert len(rows) == len(inspect(model).layers) == 6
    assert inspect(model).num_params == sum(p.numel() for p in model.module.parameters())
    assert inspect(model).to_dict()["layers"][3]["uses"] == ["left", "right"]


def test_uses_in_words():
    assert describe_uses(["a"]) == "a"
    assert describe_uses(["a", "a", "b", "a"]) == "a x 2, b, a"


class Pieces(nn.Module):
    """A weight that one call multiplies in two halves, and two that recurrent layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Linear(6, 8, bias=False)
        self.first, self.second = (nn.GRU(6, 6, batch_first=True) for _ in range(2))
        self.second.weight_ih_l0 = self.first.weight_ih_l0
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.second(self.first(x.squeeze(1))[0])[0][:, -1]
        return self.fc(self.whole(x))


def test_shared_recurrent_weights_have_the_work_of_all_steps_and_layers():
    model = Model("pieces", Pieces().eval(), (1, 6, 6), 3)
    rows = {row.layer_name: row for row in inspect(model).layers}
    assert rows["first.weight_ih_l0"].macs == 2 * 6 * 18 * 6
    assert rows["first.weight_ih_l0"].uses == ("first", "second")
    assert rows["first.weight_hh_l0"].uses == ("first",)


def test_the_name_of_a_shared_weight_leads_to_the_layer_that_has_it():
    with pytest.raises(PlanError) as refused:
        prune(shared_model(), PruningPlan({"right": 0.5}))
    assert str(refused.value) == (
        "right shares its weight with left: they are pruned as one. Give the value to 'left'."
    )


# Cut


def test_masks_cut_a_shared_weight_once():
    pruned = prune(shared_model(), PruningPlan({"left": 0.5, "block": 0.25}))
    module = pruned.model.module
    assert module.right.weight is module.left.weight
    assert int((module.left.weight == 0).sum()) == module.left.weight.numel() // 2
    found = encode_pruned(pruned)
    once = [*module.parameters(), *module.buffers()]  # PyTorch gives each tensor once
    assert found.dense_bytes == sum(one.numel() * one.element_size() for one in once)


@pytest.mark.parametrize(
    "cut", [{"stem": 0.5}, {"left": 0.4}, {"stem": 0.34, "left": 0.6}], ids=str
)
def test_channels_of_shared_layers_go_in_all_uses(cut):
    model = shared_model()
    groups = find_groups(model, "channel")
    assert groups.group("left").layers == ("left", "right")
    assert groups.group("stem").layers == ("stem", "block")
    plan = PruningPlan(cut, "channel")
    thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
    module = thin.model.module
    assert module.right.weight is module.left.weight
    torch.testing.assert_close(module(images()), zeroed.model.module(images()), rtol=0, atol=1e-5)
    size, rows = size_of_plan(groups, plan), inspect(thin.model)
    assert (size.num_nonzero, size.macs) == (rows.num_params, rows.macs)
    assert size.num_nonzero == sum(p.numel() for p in module.parameters())


def test_a_weight_that_layers_share_counts_once_in_the_score_of_a_unit():
    model = shared_model()
    group = find_groups(model, "channel").group("left")
    rows = model.module.left.weight.detach().double().abs().flatten(1).sum(1)
    columns = model.module.classifier.weight.detach().double().abs().sum(0)
    wanted = (rows / rows.mean() + columns / columns.mean()) / 2
    torch.testing.assert_close(score_units(get_criterion("l1"), model, group), wanted)


# Measured


def obvious(model: Model, settings: SensitivitySettings, groups) -> dict[tuple[str, float], float]:
    """Cut, repair and classify with the whole network, one point after the other."""
    data = stripes_data()
    split = data.split("validation", settings.num_samples, settings.seed)
    calibration = data.split("calibration", 2_000, settings.seed).images
    found = {}
    for group in groups.prunable:
        for level in settings.levels:
            plan = PruningPlan({group.name: level}, settings.granularity)
            module = copy.deepcopy(preview(model, plan, groups).model.module)
            if settings.repair == "bn":
                reestimate_batch_norm_(module, calibration)
            found[group.name, level] = score(module.eval(), split).loss
    return found


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("repair_name", ["none", "bn"])
def test_sensitivity_is_measured_with_all_uses(granularity, repair_name):
    model = shared_model()
    settings = SensitivitySettings(
        levels=(0.3, 0.7), num_samples=40, granularity=granularity, repair=repair_name
    )
    assert why_not_replayed(model) == ""
    groups = find_groups(model, granularity)
    curves = measure_sensitivity(model, stripes_data(), settings)
    wanted = obvious(model, settings, groups)
    assert {(p.group, p.level) for p in curves.points} == set(wanted)
    for point in curves.points:
        assert point.loss == pytest.approx(wanted[point.group, point.level], rel=1e-4), point
    if repair_name == "none":
        assert len({round(point.loss, 6) for point in curves.points}) == len(curves.points)


# Repaired and trained


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_full_repair_solves_shared_weights_and_they_stay_shared(granularity):
    model = shared_model()
    pruned = prune(model, PruningPlan({"stem": 0.5, "left": 0.4}, granularity))
    done = repair(pruned, stripes_data(), "full", num_samples=60)
    after = done.pruned.model.module
    assert after.right.weight is after.left.weight
    for name, mask in pruned.masks.items():
        assert (after.get_parameter(name)[~mask] == 0).all()
    assert done.notes == ("norm serves 2 places; it has one average for all.",)
    assert {step.layer for step in done.steps} == {"stem", "block", "left", "classifier"}
    uses = {step.layer: step.method for step in done.steps if step.kept}
    assert uses["left"].endswith(", 2 uses")


def test_a_weight_that_is_used_outside_its_layer_is_not_solved_for():
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(36, 12), nn.Linear(36, 3)

        def forward(self, x):
            code = self.first(x.flatten(1)).relu()
            return self.last(code @ self.first.weight)

    torch.manual_seed(0)
    model = Model("reused", Reused().eval(), (1, 6, 6), 3)
    pruned = prune(model, PruningPlan({"first": 0.6}))
    done = repair(pruned, stripes_data(), "full", num_samples=60)
    assert {step.layer for step in done.steps} == {"last"}
    assert (
        "first is used 2 times in a pass, not each time as the weight of a layer, so it was left "
        "as it is."
    ) in done.notes


def test_statistics_of_a_norm_that_serves_several_places_are_their_average():
    model, fitting = shared_model(), stripes_data().split("calibration", 60, 0).images
    pruned = prune(model, PruningPlan({"left": 0.4, "stem": 0.3}))
    module, seen = pruned.model.copy_module(), []
    done = reconstruct_(module, model.copy_module(), fitting, masks=pruned.masks, kept={})
    assert any(step.kept for step in done.steps)
    module.norm.register_forward_hook(lambda _, inputs, out: seen.append((inputs[0], out)))
    module(fitting)
    means = torch.stack([one.mean((0, 2, 3)) for one, _ in seen])
    assert not torch.allclose(means[0], means[1], atol=1e-2)
    # The second place sees what the first one gives, so measuring again would move it a little.
    torch.testing.assert_close(module.norm.running_mean, means.mean(0), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_training_keeps_weights_shared(granularity):
    pruned = prune(shared_model(), PruningPlan({"stem": 0.34, "left": 0.4}, granularity))
    settings = FineTuneSettings(epochs=1, batch_size=32, shift=0)
    module = finetune(pruned, stripes_data(), settings, keep="last").pruned.model.module
    assert module.right.weight is module.left.weight
    assert not torch.equal(module.left.weight, pruned.model.module.left.weight)


# Kept


def test_files_hold_a_shared_weight_once_and_the_network_shares_it_again():
    model = load_model("digits-shared")
    assert second_names(model.module) == {"far.weight": "near.weight"}
    record = {"architecture": model.architecture, "arguments": dict(model.arguments)}
    content = safetensors_bytes(model.module, record)
    again = load_uploaded_model("mine.safetensors", content)
    assert again.module.far.weight is again.module.near.weight
    assert again.digest == model.digest
    assert 4 * model.module.near.weight.numel() < 4 * 18_290 < len(content) < 4 * 22_000


def test_stored_tensors_become_a_network_that_shares():
    model = load_model("digits-shared")
    tensors = {name: value.clone() for name, value in model.module.state_dict().items()}
    module = rebuild(ARCHITECTURES["recursive"], model.arguments, tensors)
    assert module.far.weight is module.near.weight


def test_two_names_of_one_tensor_with_different_numbers_are_refused():
    tensors = {k: v.clone() for k, v in load_model("digits-shared").module.state_dict().items()}
    tensors["far.weight"] += 1
    import safetensors.torch

    with pytest.raises(LoadError) as refused:
        load_uploaded_model("mine.safetensors", safetensors.torch.save(tensors))
    assert str(refused.value).startswith(
        "near.weight and far.weight in mine.safetensors differ; in architecture recursive they "
        "are one and the same tensor."
    )


def test_sharing_is_put_back():
    one, other = Shared(), Shared()
    other.right.weight = nn.Parameter(other.right.weight.detach().clone())
    assert second_names(other) == {}
    share_(other, second_names(one))
    assert other.right.weight is other.left.weight


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_what_a_store_keeps_of_a_run_shares_its_weights_again(granularity):
    model = load_model("digits-shared")
    plan = PruningPlan({"near": 0.5}, granularity)
    pruned = prune(model, plan)
    tensors = {name: tensor.clone() for name, tensor in pruned.tensors().items()}
    again = restore_pruned(model, plan, tensors)
    assert again.model.module.far.weight is again.model.module.near.weight
    assert again.model.digest == pruned.model.digest


class TwoNames(nn.Module):
    """One and the same layer under two names, both of which are called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.here = nn.Conv2d(4, 4, 3, padding=1)
        self.there = self.here
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        x = self.there(self.here(self.first(x).relu()).relu()).relu()
        return self.classifier(x.mean((2, 3)))


def test_one_layer_under_two_names_is_one():
    torch.manual_seed(0)
    model = Model("two names", TwoNames().eval(), (1, 6, 6), 3)
    rows = {row.layer_name: row for row in inspect(model).layers}
    assert list(rows) == ["first", "here", "classifier"]
    assert len(rows["here"].uses) == 2
    assert second_names(model.module) == {
        "there.weight": "here.weight",
        "there.bias": "here.bias",
    }
    groups = find_groups(model, "channel")
    plan = PruningPlan({"first": 0.5}, "channel")
    thin, zeroed = prune(model, plan, groups), preview(model, plan, groups)
    assert thin.model.module.there is thin.model.module.here
    torch.testing.assert_close(
        thin.model.module(images()), zeroed.model.module(images()), rtol=0, atol=1e-5
    )
    assert size_of_plan(groups, plan).macs == inspect(thin.model).macs
    done = repair(prune(model, PruningPlan({"here": 0.5})), stripes_data(), "full", num_samples=60)
    assert done.notes == ()
    assert {step.layer for step in done.steps if step.kept} >= {"here"}
    assert done.pruned.model.module.there is done.pruned.model.module.here
