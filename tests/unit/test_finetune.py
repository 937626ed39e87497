"""Fine-tuning: masks hold exactly, the best epoch is kept, stops and budgets are obeyed."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.unit.small import stripes_data
from workbench.augment import shift_and_flip
from workbench.data import Data
from workbench.errors import SettingsError
from workbench.finetune import FineTuneSettings, finetune
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import Progress
from workbench.prune import Pruned, prune
from workbench.training.optimizer import MaskedOptimizer

QUICK = FineTuneSettings(epochs=2, batch_size=16, shift=0, lr=0.05)


class Net(nn.Module):
    """A convolution with BatchNorm, dropout and a classifier, that refuses channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(4 * 36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x)).relu()
        return self.classifier(self.dropout(y.view(len(x), -1)))


@pytest.fixture(scope="module")
def data() -> Data:
    return stripes_data()


@pytest.fixture
def pruned() -> Pruned:
    torch.manual_seed(0)
    model = Model("net", Net().eval(), (1, 6, 6), 3)
    return prune(model, PruningPlan({"conv": 0.5, "classifier": 0.8}))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_masked_weights_and_their_optimiser_state_stay_exactly_zero(
    pruned: Pruned, optimizer: str, momentum: float, weight_decay: float
) -> None:
    settings = FineTuneSettings(optimizer=optimizer, momentum=momentum, weight_decay=weight_decay)
    module = pruned.model.copy_module()
    with torch.no_grad():
        module.conv.weight.add_(0.1)  # the optimiser itself sets masked weights to zero
    masked = MaskedOptimizer(module, pruned.masks, settings)
    images = torch.randn(8, 1, 6, 6)
    for step in range(5):
        F.cross_entropy(module(images), torch.arange(8) % 3).backward()
        masked.step(0.1)
        for key, mask in pruned.masks.items():
            weight = module.get_parameter(key)
            assert torch.equal(weight[~mask], torch.zeros_like(weight[~mask])), step
            assert (weight[mask] != 0).all()
            for name, value in masked.optimizer.state[weight].items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    assert torch.count_nonzero(value[~mask]) == 0, name


def test_a_masked_step_equals_a_plain_step_on_what_is_kept(pruned: Pruned) -> None:
    settings = FineTuneSettings(momentum=0.9, weight_decay=0.01)
    ours, plain = pruned.model.copy_module(), pruned.model.copy_module()
    masked = MaskedOptimizer(ours, pruned.masks, settings)
    other = torch.optim.SGD(plain.parameters(), 0.1, 0.9, weight_decay=0.01, nesterov=True)
    images, labels = torch.randn(8, 1, 6, 6), torch.arange(8) % 3
    for _ in range(3):
        F.cross_entropy(ours(images), labels).backward()
        masked.step(0.1)
        other.zero_grad()
        F.cross_entropy(plain(images), labels).backward()
        other.step()
        with torch.no_grad():
            for key, mask in pruned.masks.items():
                plain.get_parameter(key).mul_(mask)
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_training_learns_holds_masks_and_leaves_its_input_alone(pruned: Pruned, data: Data) -> None:
    before = {k: v.clone() for k, v in pruned.model.module.state_dict().items()}
    tuned = finetune(pruned, data, FineTuneSettings(epochs=8, batch_size=16, shift=0, lr=0.05))
    after = pruned.model.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    validation = data.split("validation")
    assert tuned.validation.accuracy > score(pruned.model.module, validation).accuracy + 0.2
    assert tuned.validation == score(tuned.pruned.model.module, validation)
    for key, mask in pruned.masks.items():
        weight = tuned.pruned.model.module.get_parameter(key)
        assert torch.count_nonzero(weight) == mask.sum()
    assert [entry["epoch"] for entry in tuned.history] == list(range(9))
    best = max(tuned.history, key=lambda e: (e["accuracy"], -e["validation_loss"]))
    assert tuned.best_epoch == best["epoch"]
    assert tuned.samples_per_second > 0
    assert not tuned.stopped
    assert not any(part.training for part in tuned.pruned.model.module.modules())


def test_the_same_seed_gives_the_same_weights(pruned: Pruned, data: Data) -> None:
    settings = FineTuneSettings(epochs=1, batch_size=16, shift=1, flip=True, seed=4)
    torch.manual_seed(1)
    one = finetune(pruned, data, settings)
    outside = torch.rand(1)
    torch.manual_seed(2)
    two = finetune(pruned, data, settings)
    other = finetune(pruned, data, FineTuneSettings(epochs=1, batch_size=16, seed=5))
    assert one.pruned.model.digest == two.pruned.model.digest
    assert one.pruned.model.digest != other.pruned.model.digest
    torch.manual_seed(1)
    assert torch.rand(1) == outside  # the caller's randomness is left alone


def test_training_that_does_harm_keeps_epoch_zero(pruned: Pruned, data: Data) -> None:
    good = finetune(pruned, data, FineTuneSettings(epochs=8, batch_size=16, shift=0)).pruned
    tuned = finetune(good, data, FineTuneSettings(epochs=1, batch_size=16, lr=10, weight_decay=0.9))
    assert tuned.best_epoch == 0
    assert tuned.pruned.model.digest == good.model.digest
    assert tuned.validation.accuracy == tuned.history[0]["accuracy"]


def test_no_epochs_train_nothing(pruned: Pruned, data: Data) -> None:
    tuned = finetune(pruned, data, FineTuneSettings(epochs=0))
    assert tuned.pruned.model.digest == pruned.model.digest
    assert len(tuned.history) == 1


def linear_with_huge_images(data: Data, where: slice) -> tuple[Pruned, Data]:
    """A linear network, and data on which its loss is no number for the images at ``where``."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    images = data.x_train.copy()
    images[where] = 3e38
    names = ("a", "b", "c")
    huge = Data("huge", images, data.y_train, data.x_test, data.y_test,
                class_names=names, num_validation=40)  # fmt: skip
    return prune(Model("linear", network, (1, 6, 6), 3), PruningPlan({"1": 0.5})), huge


def test_a_loss_that_is_no_number_ends_training_with_a_note(data: Data) -> None:
    pruned, huge = linear_with_huge_images(data, slice(40, None))
    tuned = finetune(pruned, huge, QUICK)
    assert "epoch 1, step 1" in tuned.note
    assert "Try a lower learning rate" in tuned.note
    assert tuned.best_epoch == 0
    assert tuned.pruned.model.digest == pruned.model.digest


def test_training_never_sees_validation_images(data: Data) -> None:
    pruned, huge = linear_with_huge_images(data, slice(0, 40))
    tuned = finetune(pruned, huge, QUICK)
    assert tuned.note == ""
    assert tuned.history[-1]["epoch"] == 2
    assert tuned.history[-1]["validation_loss"] is None


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_stop_is_obeyed_before_the_next_step(pruned: Pruned, data: Data, after: int) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    tuned = finetune(pruned, data, FineTuneSettings(epochs=50, batch_size=16), should_stop=stop)
    assert tuned.stopped
    assert asked == after + 1
    assert tuned.best_epoch == 0


def test_a_stop_after_an_epoch_keeps_the_best_one(pruned: Pruned, data: Data) -> None:
    seen: list[Progress] = []

    def stop() -> bool:
        return any(progress.values.get("epoch") == 3 for progress in seen)

    settings = FineTuneSettings(epochs=50, batch_size=16, shift=0)
    tuned = finetune(pruned, data, settings, report=seen.append, should_stop=stop)
    assert tuned.stopped
    assert 1 <= tuned.best_epoch <= 3
    assert tuned.history[-1]["epoch"] in (2, 3)


def test_reports_are_throttled_json_and_end_complete(pruned: Pruned, data: Data) -> None:
    seen: list[Progress] = []
    finetune(pruned, data, FineTuneSettings(epochs=3, batch_size=16), report=seen.append)
    epochs = [p.values for p in seen if "accuracy" in p.values]
    assert [values["epoch"] for values in epochs] == [0, 1, 2, 3]
    assert seen[-1].done == seen[-1].total == 3 * (128 // 16)
    steps = [p.values for p in seen if "samples_per_second" in p.values]
    assert steps
    assert all(math.isfinite(v["loss"]) and v["lr"] > 0 for v in steps)


def test_seconds_are_a_budget_of_their_own(pruned: Pruned, data: Data) -> None:
    seen: list[Progress] = []
    settings = FineTuneSettings(epochs=0, seconds=1, batch_size=16)
    tuned = finetune(pruned, data, settings, report=seen.append)
    assert tuned.history[-1]["epoch"] >= 1
    assert not tuned.stopped
    assert seen[-1].total == 1


def test_shift_moves_whole_images_and_repeats_edges() -> None:
    images = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    generator = torch.Generator().manual_seed(0)
    padded = F.pad(images, (2,) * 4, mode="replicate")
    crops = [
        [padded[i, :, r : r + 4, c : c + 5] for r in range(5) for c in range(5)] for i in range(2)
    ]
    places = set()
    for _ in range(50):
        moved = shift_and_flip(images, 2, False, generator)
        assert moved.shape == images.shape
        for i in range(2):
            hits = [k for k, crop in enumerate(crops[i]) if torch.equal(crop, moved[i])]
            assert hits
            places.add(hits[0])
    assert len(places) > 15


def test_flip_mirrors_about_half_and_changes_nothing_else() -> None:
    images = torch.randn(200, 1, 3, 4)
    kept = images.clone()
    moved = shift_and_flip(images, 0, True, torch.Generator().manual_seed(0))
    assert torch.equal(images, kept)
    mirrored = [torch.equal(m, i.flip(2)) for m, i in zip(moved, images, strict=True)]
    same = [torch.equal(m, i) for m, i in zip(moved, images, strict=True)]
    assert sum(mirrored) + sum(same) == 200
    assert 70 < sum(mirrored) < 130
    assert shift_and_flip(images, 0, False, torch.Generator()) is images


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer", "adamax", "There is no optimizer 'adamax'. Did you mean 'adam'?"),
        ("lr", 0.0, "lr is 0.0. Choose a number from 1e-08 to 10."),
        ("lr", math.nan, "lr is nan. Choose a number from 1e-08 to 10."),
        ("epochs", -1, "epochs is -1. Choose a whole number from 0 to 10,000."),
        ("epochs", 2.5, "epochs is 2.5. Choose a whole number from 0 to 10,000."),
        ("seconds", 0, "seconds is 0. Choose a number from 1 to 604,800."),
        ("batch_size", 1, "batch_size is 1. Choose a whole number from 2 to 8,192."),
        ("momentum", 1.0, "momentum is 1.0. Choose a number from 0 to 0.999."),
        ("weight_decay", "a", "weight_decay is 'a'. Choose a number from 0 to 1."),
        ("shift", 9, "shift is 9. Choose a whole number from 0 to 8."),
        ("flip", 1, "flip is 1. Choose true or false."),
        ("seed", True, "seed is True. Choose a whole number from 0 to"),
        ("epoch", 3, "There is no fine-tuning setting 'epoch'. Did you mean 'epochs'?"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        FineTuneSettings.from_dict({name: value})
    assert str(refused.value).startswith(message)


def test_settings_survive_a_round_trip() -> None:
    settings = FineTuneSettings("adamw", 0.001, 3, 20.0, 32, 0.5, 0.0, 2, True, 9)
    assert FineTuneSettings.from_dict(settings.to_dict()) == settings
    assert FineTuneSettings("adamw").highest_lr == 0.002
