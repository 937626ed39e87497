"""Sparse training: zeros are exact and held, channels go, gates leave the module as it was."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.catalogue import methods
from workbench.errors import PlanError, SettingsError
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_data
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import Pruned, restore_pruned
from workbench.sparse_training import SCHEDULES, SPARSE_METHODS, SparseTrainingSettings
from workbench.sparse_training.addition import (
    lowest_gone,
    magnitudes,
    masks_of,
    sparsity_of,
    step_size,
)
from workbench.sparse_training.fresh import with_new_weights
from workbench.sparse_training.gates import Gates, first_log_alpha
from workbench.sparse_training.ground import find_ground
from workbench.sparse_training.hard_concrete import final_gates, open_probability
from workbench.sparse_training.running import train_sparse
from workbench.sparse_training.settings import LEAST_STEPS, usual_epochs
from workbench.sparse_training.shrinking import GroupShrinking, Shrinking
from workbench.sparse_training.sweeping import prunable_sparsity, settings_of_sweep

TRAINING = FineTuneSettings(epochs=3, batch_size=32, shift=0, lr=0.02)
LONGER = replace(TRAINING, epochs=15, batch_size=16)
STRONG = {"group_lasso": 0.02, "bn_scale": 0.3, "l0": 10.0}


@pytest.fixture(scope="module")
def data():
    return stripes_data()


@pytest.fixture(scope="module")
def model():
    return small_model()


def settings(method, **more):
    return SparseTrainingSettings(**{"method": method, "training": TRAINING} | more)


def everywhere():
    """Every method at every granularity it knows."""
    for name, method in (SPARSE_METHODS | SCHEDULES).items():
        for granularity in method.granularities:
            yield pytest.param(name, granularity, id=f"{name}-{granularity}")


@pytest.mark.parametrize(("name", "granularity"), [*everywhere()])
def test_every_method_makes_exact_zeros_that_its_plan_states(name, granularity, model, data):
    target = 0.5 if name != "iterative" else 0.2
    asked = settings(
        name, granularity=granularity, target=target, max_loss=1.0, rounds=2, rewind_epochs=1,
        training=replace(TRAINING, epochs=1 if name in SCHEDULES else 2),
    )  # fmt: skip
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    made = train_sparse(model, data, asked)
    assert made.sparsity == pytest.approx(target, abs=0.1)
    assert made.plan.allocation == "by_training"
    assert prunable_sparsity(made.pruned) == pytest.approx(made.sparsity)
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, before[key]), "the dense model stays as it was"
    module = made.pruned.model.module
    if granularity == "weight":
        for key, mask in made.pruned.masks.items():
            assert torch.equal(module.get_parameter(key) != 0, mask)
            group = key.removesuffix(".weight")
            gone = 1 - float(mask.double().mean())
            assert made.plan.sparsities[group] == pytest.approx(gone)
    else:
        assert sum(p.numel() for p in module.parameters()) < sum(
            p.numel() for p in model.module.parameters()
        )
    assert not any(
        hasattr(one, "_forward_hooks") and one._forward_hooks for one in module.modules()
    )
    assert {len(entry) for entry in made.history}
    assert all("sparsity" in entry for entry in made.history)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_what_was_made_is_put_together_again_from_its_tensors(granularity, model, data):
    made = train_sparse(model, data, settings("cubic", granularity=granularity, target=0.5))
    again = restore_pruned(model, made.plan, made.pruned.tensors())
    assert again.model.digest == made.pruned.model.digest
    assert again.masks.keys() == made.pruned.masks.keys()
    assert {k: v.tolist() for k, v in again.kept.items()} == {
        k: v.tolist() for k, v in made.pruned.kept.items()
    }


def test_l1_steps_are_soft_thresholds_of_the_learning_rate(model):
    asked = settings("l1", strength=0.3)
    ground = find_ground(model, asked)
    module = model.copy_module()
    penalty = Shrinking(ground, asked, l1=1.0, l2=0.0)
    penalty.prepare_(module, 10)
    penalty.loss(module, 0.5)
    penalty.after_step_(module, 0.6)
    threshold = 0.3 * step_size(TRAINING, 0.5)
    assert threshold == pytest.approx(0.3 * 0.02 * 0.5 / (1 - 0.9), rel=1e-6)
    for name in ground.weights:
        old = model.module.get_parameter(name)
        expected = torch.sign(old) * (old.abs() - threshold).clamp_min(0)
        assert torch.allclose(module.get_parameter(name), expected, atol=1e-7)
    assert torch.equal(module.classifier.weight, model.module.classifier.weight)


def test_group_steps_shorten_every_unit_with_all_that_makes_it(model):
    """Against a slow loop over the channels of the first convolution, its bias and its norm."""
    asked = settings("group_lasso", granularity="channel", strength=0.1)
    ground = find_ground(model, asked)
    module = model.copy_module()
    penalty = GroupShrinking(ground, asked)
    penalty.prepare_(module, 10)
    penalty.loss(module, 0.2)
    penalty.after_step_(module, 0.3)
    step = 0.1 * step_size(TRAINING, 0.2)
    units = next(one for one in ground.units if one.group.name == "conv1")
    owner = next(place for place in units.places if place.parameter == "conv1.weight").owner
    for unit in range(units.group.num_units):
        channels = [c for c in range(4) if owner[c] == unit]
        names = ("conv1.weight", "conv1.bias", "norm.weight", "norm.bias")
        old = torch.cat([model.module.get_parameter(n)[channels].flatten() for n in names])
        new = torch.cat([module.get_parameter(n)[channels].flatten() for n in names])
        factor = max(0.0, 1 - step * len(old) ** 0.5 / float(old.detach().norm()))
        assert torch.allclose(new, old * factor, atol=1e-6)


def test_no_entry_belongs_to_two_units(model):
    for source in (model, residual()):
        ground = find_ground(source, settings("group_lasso", granularity="channel"))
        taken = [(place.parameter, place.dim) for one in ground.units for place in one.places]
        assert len({name for name, _ in taken}) == len({*taken})
        for one in ground.units:
            assert all(int((place.owner >= 0).sum()) for place in one.places)


class Residual(nn.Module):
    """Two convolutions whose outputs are added, each behind its own normalisation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, x):
        y = self.norm1(self.first(x)).relu()
        return self.classifier((y + self.norm2(self.second(y))).relu().mean((2, 3)))


def residual() -> Model:
    torch.manual_seed(1)
    return Model("residual", Residual().eval(), (1, 6, 6), 3)


@pytest.mark.parametrize("name", ["group_lasso", "bn_scale", "l0"])
def test_removing_silent_channels_changes_no_output(name, data):
    """What training left with zeros, run whole, against the thinner network."""
    source = residual()
    asked = settings(name, granularity="channel", strength=STRONG[name], training=LONGER,
                     target=0.0)  # fmt: skip
    made = train_sparse(source, data, asked)
    assert 0 < made.sparsity < 1
    assert made.cut_afterwards == 0
    thin = made.pruned.model.module
    assert thin.first.out_channels == round(6 * (1 - made.sparsity))
    images = data.split("validation").images
    ground = find_ground(source, asked)
    (units,) = ground.units
    whole = source.copy_module()
    kept = made.pruned.kept[units.group.name]
    state = whole.state_dict()
    for key, value in thin.state_dict().items():
        target = state[key]
        index = [kept if a != b else torch.arange(b)
                 for a, b in zip(value.shape, target.shape, strict=True)]  # fmt: skip
        fresh = torch.zeros_like(target) if target.dim() else value
        if target.dim():
            fresh[torch.meshgrid(*index, indexing="ij")] = value
        if key.endswith("running_var"):
            fresh[fresh == 0] = 1
        state[key] = fresh
    whole.load_state_dict(state)
    assert torch.allclose(whole.eval()(images), thin.eval()(images), atol=1e-5)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_gates_multiply_and_the_module_is_as_before_between_passes(granularity, data):
    source = residual()
    asked = settings("l0", granularity=granularity, target=0.0)
    ground = find_ground(source, asked)
    module = source.copy_module()
    gates = Gates(ground, asked)
    before = {key: id(value) for key, value in module.named_parameters()}
    gates.prepare_(module, 10)
    with torch.no_grad():
        for one in gates.log_alphas.values():
            one.copy_(torch.linspace(-4, 4, one.numel()).view(one.shape))
    images = data.split("validation").images[:8]
    module.eval()
    seen = module(images)
    assert {key: id(value) for key, value in module.named_parameters()} == before
    by_hand = source.copy_module()
    with torch.no_grad():
        if granularity == "weight":
            for name, one in gates.log_alphas.items():
                by_hand.get_parameter(name).mul_(final_gates(one))
        else:
            (one,) = gates.log_alphas.values()
            for norm in (by_hand.norm1, by_hand.norm2):
                norm.weight.mul_(final_gates(one))
                norm.bias.mul_(final_gates(one))
    assert torch.allclose(seen, by_hand(images), atol=1e-6)
    gates.finish_(module)
    assert torch.allclose(module(images), seen, atol=1e-6)
    assert sparsity_of(gates.alive(module)) > 0


def test_an_error_within_the_network_leaves_its_weights_in_place():
    source = residual()
    gates = Gates(find_ground(source, settings("l0")), settings("l0"))
    module = source.copy_module()
    gates.prepare_(module, 10)
    with pytest.raises(RuntimeError):
        module(torch.zeros(2, 7, 6, 6))
    assert all(
        isinstance(one, nn.Parameter)
        for one in module.first._parameters.values()
        if one is not None
    )


def test_the_gates_penalty_is_the_strength_times_the_expected_open_part(model):
    asked = settings("l0", strength=3.0)
    gates = Gates(find_ground(model, asked), asked)
    gates.prepare_(model.copy_module(), 10)
    opened = [
        float(open_probability(a))
        for one in gates.log_alphas.values()
        for a in one.detach().flatten()
    ]
    expected = 3.0 * sum(opened) / len(opened)
    with torch.no_grad():
        penalty = float(gates.loss(model.module, 0.0))
    assert penalty == pytest.approx(expected, rel=1e-5)
    assert sum(opened) / len(opened) == pytest.approx(0.95, abs=1e-3)


def test_the_first_log_alpha_opens_a_gate_as_often_as_asked():
    for probability in (0.1, 0.5, 0.95):
        value = torch.tensor(first_log_alpha(probability), dtype=torch.float64)
        assert float(open_probability(value)) == pytest.approx(probability)


def test_the_lowest_go_over_all_layers_and_never_a_whole_layer():
    scores = {"a": torch.tensor([0.1, 0.2, 0.3]), "b": torch.tensor([[5.0, 4.0], [0.25, 6.0]])}
    alive = {name: torch.ones_like(one, dtype=torch.bool) for name, one in scores.items()}
    kept = lowest_gone(scores, alive, 3 / 7)
    assert kept["a"].tolist() == [False, False, True]
    assert kept["b"].tolist() == [[True, True], [False, True]]
    kept = lowest_gone(scores, alive, 4 / 7)
    assert kept["a"].tolist() == [False, False, True], "the best of a layer stays"
    gone = {"a": torch.tensor([False, True, True]), "b": alive["b"]}
    kept = lowest_gone(scores, gone, 2 / 7)
    assert kept["a"].tolist() == [False, False, True], "what is gone stays gone and counts"


def test_units_are_masked_with_all_their_places(model):
    ground = find_ground(model, settings("cubic", granularity="channel"))
    alive = {name: one > one.median() for name, one in magnitudes(ground, model.module).items()}
    masks = masks_of(ground, model.module, alive)
    units = next(one for one in ground.units if one.group.name == "fc")
    assert torch.equal(masks["fc.weight"].all(1), alive["fc"])
    assert torch.equal(masks["fc.bias"], alive["fc"])
    assert "classifier.weight" not in masks, "what reads a silent unit needs no mask"
    assert units.group.num_units == 6


def test_a_reached_target_ends_the_penalty_and_holds_its_zeros(model, data):
    made = train_sparse(model, data, settings("l1", strength=0.05, target=0.4, training=LONGER))
    assert made.cut_afterwards == 0
    assert 0.4 <= made.sparsity < 0.9
    assert made.history[-1]["strength"] == 0


def test_a_missed_target_is_cut_and_said(model, data):
    made = train_sparse(model, data, settings("l1", strength=1e-6, target=0.4))
    assert made.sparsity == pytest.approx(0.4, abs=0.01)
    assert made.cut_afterwards == pytest.approx(0.4, abs=0.02)


OTHER = {"mix": 0.1, "ramp": 0.2, "step": 0.3, "max_loss": 0.9, "rounds": 1, "rewind_epochs": 0,
         "from_scratch": True, "strength": 0.02}  # fmt: skip


@pytest.mark.parametrize("name", [*SPARSE_METHODS, *SCHEDULES])
def test_a_method_names_the_settings_that_change_it_and_no_other(name, model, data):
    method = (SPARSE_METHODS | SCHEDULES)[name]
    brief = replace(TRAINING, epochs=1 if name == "iterative" else 2)
    goal = 0.99 if name == "iterative" else 0.7
    if name == "iterative":  # its floor is that of a trained model
        untouched = Pruned(model, {}, PruningPlan(allocation="by_training"), model)
        model = finetune(untouched, data, LONGER).pruned.model
    basis = settings(name, granularity=method.granularities[0], training=brief, max_loss=0.0,
                     step=0.2, rounds=2, target=goal)  # fmt: skip
    plain = train_sparse(model, data, basis).pruned.model.digest
    idle = {key: value for key, value in OTHER.items() if key not in method.options}
    if method.strength is None:
        del idle["strength"]  # the settings refuse it
    assert train_sparse(model, data, replace(basis, **idle)).pruned.model.digest == plain
    assert method.options
    for option in method.options:
        changed = train_sparse(model, data, replace(basis, **{option: OTHER[option]}))
        assert changed.pruned.model.digest != plain, option


@pytest.mark.parametrize(("name", "granularity"), [*everywhere()])
def test_without_a_target_asked_for_the_usual_one_is_reached(name, granularity, model, data):
    asked = settings(name, granularity=granularity, max_loss=1.0, step=0.9, rounds=1)
    usual = {"cubic": 0.9, "growing": 0.9}.get(name, 0.8)
    wanted = 0.99 if name == "iterative" else 0.5 if granularity == "channel" else usual
    assert asked.used_target == wanted
    made = train_sparse(model, data, asked)
    assert name == "iterative" or made.sparsity == pytest.approx(wanted, abs=0.1)


def test_without_any_target_the_penalty_alone_decides(model, data):
    asked = settings("l1", target=0.0)
    assert asked.used_target is None
    assert SparseTrainingSettings.from_dict(asked.to_dict()) == asked
    made = train_sparse(model, data, asked)
    assert made.sparsity < 0.05
    assert made.cut_afterwards == 0
    with pytest.raises(SettingsError, match="cannot do without a target"):
        settings("cubic", target=0.0)


@pytest.mark.parametrize(
    ("name", "batch_size", "epochs"), [("digits", 128, 70), ("fashion-mnist", 128, 5),
                                       ("digits", 8, 5), ("digits", 1197, 100)],
)  # fmt: skip
def test_few_images_are_shown_more_often(name, batch_size, epochs):
    data = load_data(name)
    assert usual_epochs(data, batch_size) == epochs
    steps = -(-len(data.split("train")) // batch_size)
    assert epochs in (5, 100) or steps * (epochs - 1) < LEAST_STEPS <= steps * epochs


def test_several_strengths_have_no_target_unless_one_is_given():
    swept = settings_of_sweep(settings("l1"), (1e-4, 1e-2))
    assert [one.used_target for one in swept] == [None, None]
    assert settings_of_sweep(settings("l1"), (1e-4,))[0].used_target == 0.8
    swept = settings_of_sweep(settings("l1", target=0.6), (1e-4, 1e-2))
    assert [one.used_target for one in swept] == [0.6, 0.6]


def test_more_strength_makes_more_zeros(model, data):
    sparsities = [
        train_sparse(model, data, one).sparsity
        for one in settings_of_sweep(settings("l1"), (1e-4, 1e-2, 5e-2))
    ]
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] > sparsities[0] + 0.2


def test_the_same_seed_gives_the_same_weights(model, data):
    asked = settings("l0", strength=20.0)
    first, second = (train_sparse(model, data, asked) for _ in range(2))
    other = train_sparse(model, data, replace(asked, training=replace(TRAINING, seed=1)))
    assert first.pruned.model.digest == second.pruned.model.digest
    assert first.pruned.model.digest != other.pruned.model.digest


def test_steps_end_one_before_the_floor_was_missed(model, data):
    dense_plan = PruningPlan(allocation="by_training")
    trained = finetune(Pruned(model, {}, dense_plan, model), data, LONGER)
    model = trained.pruned.model
    made = train_sparse(model, data, settings("iterative", step=0.3, max_loss=0.0, target=0.99))
    dense = score(model.module, data.split("validation")).accuracy
    rounds = {entry["round"]: entry for entry in made.history}
    last = max(rounds)
    assert "was undone" in made.note
    assert {entry["floor"] for entry in made.history} == {dense}, "the page draws it afterwards"
    reached = score(made.pruned.model.module, data.split("validation")).accuracy
    assert reached >= dense
    assert made.sparsity < rounds[last]["sparsity"]


def test_a_ticket_starts_every_round_from_the_same_early_weights(model, data, monkeypatch):
    from workbench.sparse_training import tickets

    starts = []

    def spy(curriculum, module, alive, training, report, **more):
        starts.append({k: v.clone() for k, v in module.state_dict().items()})
        return original(curriculum, module, alive, training, report, **more)

    original = tickets.train_alive
    monkeypatch.setattr(tickets, "train_alive", spy)
    asked = settings("lottery", rounds=2, rewind_epochs=1, target=0.6)
    made = train_sparse(model, data, asked)
    fresh = with_new_weights(model, TRAINING.seed).module.state_dict()
    assert all(torch.equal(starts[0][key], fresh[key]) for key in fresh)
    assert len(starts) == 4
    for later in starts[2:]:
        assert all(torch.equal(later[key], starts[1][key]) for key in later)
    assert any(not torch.equal(starts[1][key], fresh[key]) for key in fresh)
    assert made.sparsity == pytest.approx(0.6, abs=0.02)


def test_new_weights_come_from_the_seed_and_leave_the_model(model):
    one, again, other = (with_new_weights(model, seed) for seed in (0, 0, 1))
    assert one.digest == again.digest != other.digest
    assert one.digest != model.digest


def test_a_network_that_cannot_be_begun_anew_says_which_part():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 36))

        def forward(self, x):
            return x.flatten(1) @ self.weight.T

    with pytest.raises(PlanError, match="Odd holds weights that it cannot draw anew"):
        with_new_weights(Model("odd", Odd(), (1, 6, 6), 3), 0)


def test_a_stop_keeps_what_the_last_whole_epoch_left(model, data):
    epochs = []

    def stop():
        return len(epochs) >= 2

    def report(progress):
        if "accuracy" in progress.values:
            epochs.append(progress.values)

    asked = settings("l1", strength=0.05, training=replace(TRAINING, epochs=50))
    made = train_sparse(model, data, asked, report=report, should_stop=stop)
    assert made.stopped
    assert len(made.history) == 2
    for key, mask in made.pruned.masks.items():
        assert torch.equal(made.pruned.model.module.get_parameter(key) != 0, mask)


def test_settings_are_read_back_as_they_were():
    asked = settings("elastic", strength=0.1, target=0.7, freeze=("conv*",), mix=0.25)
    assert SparseTrainingSettings.from_dict(asked.to_dict()) == asked


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "l3"}, "There is no method of sparse training 'l3'"),
        ({"method": "bn_scale"}, "cannot cut at granularity 'weight'"),
        ({"method": "cubic", "strength": 1.0}, "has no penalty"),
        ({"target": 1.5}, "target is 1.5"),
        ({"mix": float("nan")}, "mix is nan"),
        ({"unknown": 1}, "There is no sparse training setting 'unknown'"),
    ],
)
def test_bad_settings_are_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        SparseTrainingSettings.from_dict(values)


def test_frozen_layers_stay_dense_and_not_all_can_be(model, data):
    made = train_sparse(model, data, settings("cubic", target=0.6, freeze=("conv*", "classifier")))
    assert {*made.plan.sparsities} == {"fc"}
    with pytest.raises(PlanError, match="Every layer or group that can be cut is frozen"):
        train_sparse(model, data, settings("l1", freeze=("*",)))


def test_scales_need_a_normalisation(data):
    plain = Model("plain", nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 3)),
                  (1, 6, 6), 3)  # fmt: skip
    with pytest.raises(PlanError, match="No channel of this model passes through"):
        train_sparse(plain, data, settings("bn_scale", granularity="channel"))


def test_the_catalogue_tells_of_every_method():
    assert {*methods()["sparse_training"]} == {*SPARSE_METHODS}
    assert {*methods()["schedule"]} == {*SCHEDULES}
