"""Options of training: losses, noise and schedules against formulas and PyTorch's own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, lr_scheduler

from tests.unit.small import small_model, stripes_data
from workbench.data import Data
from workbench.errors import DataError, SettingsError
from workbench.experiment import finetune_and_measure, prune_and_measure
from workbench.finetune import finetune
from workbench.finetune_settings import SCHEDULES, FineTuneSettings
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import Progress
from workbench.prune import Pruned, prune
from workbench.training import FINETUNING
from workbench.training.course import learning_rate, plan_course
from workbench.training.method import Course, PixelRange
from workbench.training.methods.distillation import distillation_loss
from workbench.training.methods.label_smoothing import smoothed_loss
from workbench.training.objective import Noise, Objective, pixel_range

QUICK = FineTuneSettings(epochs=2, batch_size=16, shift=0, lr=0.05)
PIXELS = PixelRange(torch.full((1, 1, 1), -0.8), torch.full((1, 1, 1), 2.0))
GREY = 0.6  # half way


@pytest.fixture(scope="module")
def data() -> Data:
    return stripes_data()


@pytest.fixture
def pruned() -> Pruned:
    return prune(small_model(), PruningPlan({"conv1": 0.5, "fc": 0.8}))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Losses


@pytest.mark.parametrize("temperature", [1.0, 2.5, 20.0])
def test_distillation_is_the_divergence_of_softened_answers(temperature: float) -> None:
    student, teacher = torch.randn(5, 4, generator=generator()), torch.randn(5, 4)
    total = 0.0
    for mine, theirs in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        q = [math.exp(z / temperature) for z in mine]
        p = [math.exp(z / temperature) for z in theirs]
        q, p = [x / sum(q) for x in q], [x / sum(p) for x in p]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = distillation_loss(student, teacher, temperature)
    assert float(found) == pytest.approx(temperature**2 * total / 5, rel=1e-4)
    ours = (F.log_softmax(one / temperature, 1) for one in (student, teacher))
    reference = F.kl_div(*ours, reduction="batchmean", log_target=True)
    torch.testing.assert_close(found, temperature**2 * reference)
    assert float(distillation_loss(teacher, teacher, temperature)) == pytest.approx(0, abs=1e-5)


def test_smoothed_labels_are_shared_among_all_classes() -> None:
    outputs, labels = torch.randn(6, 3, generator=generator()), torch.tensor([0, 1, 2, 2, 1, 0])
    targets = 0.7 * F.one_hot(labels, 3) + 0.3 / 3
    slow = -(targets * outputs.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(smoothed_loss(outputs, labels, 0.3), slow)
    assert torch.equal(smoothed_loss(outputs, labels, 0.0), F.cross_entropy(outputs, labels))


def test_the_teacher_has_its_weight_and_the_labels_the_rest() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(9, 3), nn.Dropout(0.5))
    images, outputs = torch.randn(8, 1, 3, 3), torch.randn(8, 3, requires_grad=True)
    labels = torch.arange(8) % 3
    settings = FineTuneSettings(distillation=0.25, temperature=3.0, label_smoothing=0.1)
    loss = Objective(settings, teacher)(outputs, labels, images)
    taught = teacher.eval()(images).detach()
    hard = F.cross_entropy(outputs, labels, label_smoothing=0.1)
    expected = 0.75 * hard + 0.25 * distillation_loss(outputs, taught, 3.0)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert outputs.grad is not None
    assert all(weight.grad is None for weight in teacher.parameters())


def test_with_all_the_weight_on_the_teacher_its_answers_are_learnt(data: Data) -> None:
    wrong = replace(data, y_train=(data.y_train + 1) % 3)
    teacher = finetune(prune(small_model(), PruningPlan()), data, replace(QUICK, epochs=12)).pruned
    pupil = prune(small_model(1), PruningPlan({"fc": 0.5}))
    settings = replace(QUICK, epochs=15, distillation=1.0, temperature=1.0)
    taught = finetune(pupil, wrong, settings, teacher=teacher.model, keep="last").pruned.model
    images = data.split("test").images
    with torch.no_grad():
        same = taught.module(images).argmax(1) == teacher.model.module(images).argmax(1)
    assert float(same.float().mean()) > 0.8, "the labels, all of them wrong, were not looked at"


def test_the_dense_model_teaches_where_nobody_else_does(pruned: Pruned, data: Data) -> None:
    settings = replace(QUICK, distillation=0.6)
    usual = finetune(pruned, data, settings).pruned.model.digest
    assert finetune(pruned, data, settings, teacher=pruned.dense).pruned.model.digest == usual
    other = finetune(pruned, data, settings, teacher=small_model(5)).pruned.model.digest
    assert len({usual, other, finetune(pruned, data, QUICK).pruned.model.digest}) == 3
    module = pruned.dense.module
    assert all(weight.requires_grad for weight in module.parameters()), "it stays as it is"


def test_a_teacher_for_other_images_is_refused(pruned: Pruned, data: Data) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    teacher = Model("other", network, (1, 8, 8), 3)
    with pytest.raises(DataError, match="other takes images of shape 1 x 8 x 8"):
        finetune(pruned, data, replace(QUICK, distillation=0.5), teacher=teacher)


class ByView(nn.Module):
    """A network that cannot work with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.linear = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.conv(x).view(len(x), -1))


@pytest.mark.parametrize("strange", ["teacher", "pupil"])
def test_teacher_and_pupil_may_want_images_laid_out_differently(data: Data, strange: str) -> None:
    view = Model("view", ByView().eval(), (1, 6, 6), 3)
    pupil, teacher = (view, small_model()) if strange == "pupil" else (small_model(), view)
    tuned = finetune(
        prune(pupil, PruningPlan()), data, replace(QUICK, distillation=0.5), teacher=teacher
    )
    assert len(tuned.history) == 3


# Noise


def test_gaussian_noise_has_its_spread_between_black_and_white() -> None:
    grey = torch.full((200, 1, 20, 20), GREY)
    method = FINETUNING["gaussian_noise"]
    noisy = method.change(grey, 0.1, PIXELS, generator())
    assert float((noisy - GREY).std()) == pytest.approx(0.1 * 2.8, rel=0.01)
    assert float((noisy - GREY).mean()) == pytest.approx(0, abs=0.005)
    assert torch.equal(grey, torch.full_like(grey, GREY))
    strong = method.change(grey, 1.0, PIXELS, generator())
    assert (float(strong.min()), float(strong.max())) == pytest.approx((-0.8, 2.0))
    assert not torch.equal(strong[0], strong[1])


def test_salt_and_pepper_hit_their_part_of_the_pixels_in_all_channels() -> None:
    colours = torch.stack([torch.full((300, 20, 20), v) for v in (0.1, 0.2, 0.3)], 1)
    pixels = PixelRange(
        torch.tensor([-1.0, -2.0, -3.0]).view(3, 1, 1), torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    )
    noisy = FINETUNING["salt_and_pepper"].change(colours, 0.2, pixels, generator())
    white, black = (noisy == pixels.white).all(1), (noisy == pixels.black).all(1)
    assert float(white.float().mean()) == pytest.approx(0.1, rel=0.03)
    assert float(black.float().mean()) == pytest.approx(0.1, rel=0.03)
    kept = ~(white | black)
    for channel in range(3):
        assert torch.equal(noisy[:, channel][kept], colours[:, channel][kept])


def test_black_and_white_are_those_of_the_normalised_images(data: Data) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (20, 2, 4, 4), dtype=np.uint8)
    whole[0, :, 0, 0], whole[1, :, 0, 0] = 0, 255
    labels = np.arange(20) % 2
    bright = Data("bright", whole, labels, whole[:4], labels[:4], mean=(0.3, 0.5), std=(0.2, 0.4))
    found = pixel_range(bright, bright.split("train"))
    images = torch.cat([bright.split(name).images for name in ("train", "validation")])
    torch.testing.assert_close(found.black, images.amin((0, 2, 3)).view(-1, 1, 1))
    torch.testing.assert_close(found.white, images.amax((0, 2, 3)).view(-1, 1, 1))
    train = data.split("train")
    taken = pixel_range(data, train)
    assert float(taken.black) == float(train.images.min())
    assert float(taken.white) == float(train.images.max())


def test_noise_repeats_with_its_seed_and_is_absent_when_off() -> None:
    images = torch.full((4, 1, 5, 5), GREY)
    settings = FineTuneSettings(gaussian_noise=0.2, salt_and_pepper=0.1, seed=3)
    first, again = Noise(settings, PIXELS), Noise(settings, PIXELS)
    one = first(images)
    assert torch.equal(one, again(images))
    assert not torch.equal(one, first(images)), "fresh numbers every time"
    assert not torch.equal(one, Noise(replace(settings, seed=4), PIXELS)(images))
    assert Noise(FineTuneSettings(), PIXELS)(images) is images


class Watcher(nn.Module):
    """A network that keeps what it is shown in training and learns nothing from it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(36, 3)
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(x.detach().clone())
        return self.linear(x.flatten(1))

    def __deepcopy__(self, memo):
        made = Watcher()
        made.load_state_dict(self.state_dict())
        made.seen = self.seen
        return made


def test_only_training_images_are_noisy_and_the_teacher_sees_none(data: Data) -> None:
    watcher, looked = Watcher(), []
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    teacher.register_forward_pre_hook(lambda _module, images: looked.append(images[0].clone()))
    begin = prune(Model("watcher", watcher.eval(), (1, 6, 6), 3), PruningPlan())
    plain = replace(QUICK, epochs=1, distillation=0.5)
    noisy = replace(plain, salt_and_pepper=0.5)
    for settings in (plain, noisy):
        finetune(begin, data, settings, teacher=Model("t", teacher, (1, 6, 6), 3))
    half = len(watcher.seen) // 2
    clean, salted = torch.cat(watcher.seen[:half]), torch.cat(watcher.seen[half:])
    assert float((clean != salted).float().mean()) == pytest.approx(0.5, abs=0.03)
    shown = [images for images in looked if len(images) == noisy.batch_size]
    torch.testing.assert_close(torch.cat(shown[half:]), clean, msg="same order, no noise")


# Schedules


def torch_factors(make, steps: int) -> list[float]:
    """Learning rates of a PyTorch schedule from 1 at every step."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], 1.0)
    schedule = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


STEPS = 400
REFERENCES = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
    "constant": lambda o: lr_scheduler.ConstantLR(o, 1.0, STEPS),
    "step": lambda o: lr_scheduler.MultiStepLR(o, [STEPS // 2, 3 * STEPS // 4], 0.1),
    "one_cycle": lambda o: lr_scheduler.OneCycleLR(o, 1.0, STEPS + 1, pct_start=0.3),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, STEPS // 4),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_schedules_equal_those_of_pytorch_after_the_warm_up(name: str) -> None:
    course = Course(1.0, cycles=4)
    expected = torch_factors(REFERENCES[name], STEPS)
    ours = [FINETUNING[name].factor(step / STEPS, course) for step in range(STEPS)]
    start = 0 if name == "one_cycle" else STEPS // 20
    # OneCycleLR has its peak half a step off the round number
    assert ours[start:] == pytest.approx(expected[start:], abs=0.01 if start == 0 else 1e-9)
    if start:
        assert ours[:start] == pytest.approx(
            [value * (step / STEPS + 1e-3) / 0.05 for step, value in enumerate(expected[:start])]
        )


def test_rewinding_retraces_the_end_of_the_samples_own_schedule() -> None:
    original = torch_factors(
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS + 1, pct_start=0.2), STEPS
    )
    last = STEPS // 4
    course = Course(1.0, retraced=0.25)
    ours = [FINETUNING["rewind"].factor(step / last, course) for step in range(last)]
    assert ours == pytest.approx(original[-last:], abs=0.005)
    assert ours[0] > ours[-1]


def carded(recipe: dict[str, object]) -> Model:
    return replace(small_model(), card={"training": {"recipe": recipe}})


def test_rewinding_takes_rate_and_length_from_the_card() -> None:
    dense = carded({"epochs": 20, "lr": 0.3, "optimizer": "sgd"})
    settings = FineTuneSettings(schedule="rewind", epochs=5)
    assert plan_course(settings, dense) == Course(0.3, 2, 0.25)
    assert plan_course(replace(settings, epochs=99), dense).retraced == 1
    assert plan_course(replace(settings, rewind=0.4), dense).retraced == 0.4
    assert plan_course(replace(settings, lr=0.1), dense).highest == 0.1
    assert plan_course(replace(settings, optimizer="adam"), dense).highest == 0.002
    assert plan_course(replace(settings, seconds=3.0), dense).retraced == 0.3
    assert plan_course(settings, small_model()) == Course(0.05, 2, 0.3)
    assert plan_course(settings, dense, gentle=True) == plan_course(settings, dense)
    assert plan_course(FineTuneSettings(), dense).highest == 0.05, "other schedules ignore it"


def test_an_automatic_learning_rate_makes_up_for_the_teachers_larger_gradients(data: Data) -> None:
    settings = FineTuneSettings(distillation=0.6, temperature=5.0)
    dense = small_model()
    assert plan_course(settings, dense).highest == pytest.approx(0.05 / (0.4 + 0.6 * 5))
    assert plan_course(replace(settings, lr=0.05), dense).highest == 0.05
    assert plan_course(replace(settings, temperature=1.0), dense).highest == pytest.approx(0.05)
    slopes = []
    for temperature in (1.0, 5.0):  # small logits, where the probabilities hardly differ
        outputs = torch.zeros(1, 3, requires_grad=True)
        labels_as_answers = 50 * temperature * torch.tensor([[1.0, 0.0, 0.0]])
        distillation_loss(outputs, labels_as_answers, temperature).backward()
        slopes.append(float(outputs.grad.norm()))
    assert slopes[1] / slopes[0] == pytest.approx(5), "the gradient grows with the temperature"


def test_only_an_automatic_learning_rate_is_gentle(pruned: Pruned, data: Data) -> None:
    for settings, highest in ((QUICK, 0.05), (replace(QUICK, lr=None), 0.005)):
        tuned = finetune(pruned, data, settings, gentle=True)
        assert tuned.highest_lr == pytest.approx(highest)
    course = plan_course(QUICK, pruned.dense)
    assert tuned.history[1]["lr"] == pytest.approx(learning_rate(QUICK, course, 0.5) / 10)


def test_training_stays_gentle_after_a_full_repair(data: Data) -> None:
    usual = FineTuneSettings(epochs=1, batch_size=16)
    for repair, highest in (("none", 0.05), ("full", 0.005)):
        plan = PruningPlan({"conv1": 0.5, "fc": 0.8})
        run, pruned = prune_and_measure(small_model(), data, plan, repair=repair)
        assert run.final.name == ("repaired" if repair == "full" else "pruned")
        for _ in range(2):
            run, pruned = finetune_and_measure(run, pruned, data, usual)
            assert run.training is not None
            assert run.training.highest_lr == pytest.approx(highest)


def test_training_follows_the_schedule_step_by_step(pruned: Pruned, data: Data) -> None:
    seen: list[Progress] = []
    settings = replace(QUICK, epochs=4, schedule="step")
    finetune(pruned, data, settings, report=seen.append)
    rates = [p.values["lr"] for p in seen if "accuracy" in p.values]
    assert rates == pytest.approx([0, 0.05, 0.005, 0.0005, 0.0005])


# All of them


def switched_on(name: str) -> FineTuneSettings:
    return FineTuneSettings.from_dict(QUICK.to_dict() | dict(FINETUNING[name].settings))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", FINETUNING)
def test_masks_hold_exactly_under_every_option(
    pruned: Pruned, data: Data, name: str, optimizer: str
) -> None:
    settings = replace(switched_on(name), optimizer=optimizer, lr=0.02, epochs=1)
    tuned = finetune(pruned, data, settings, keep="last").pruned
    for key, mask in pruned.masks.items():
        weight = tuned.model.module.get_parameter(key)
        assert torch.count_nonzero(weight[~mask]) == 0
        assert torch.count_nonzero(weight) == mask.sum()


@pytest.mark.parametrize("name", FINETUNING)
def test_every_option_changes_something_and_repeats_with_its_seed(
    pruned: Pruned, data: Data, name: str
) -> None:
    settings = switched_on(name)
    assert FINETUNING[name].is_on(settings)
    one, two, plain = (
        finetune(pruned, data, which, keep="last").pruned.model.digest
        for which in (settings, settings, QUICK)
    )
    assert one == two
    assert (one == plain) == (name == "cosine")


def test_options_are_what_the_settings_name() -> None:
    schedules = {name for name, method in FINETUNING.items() if method.factor is not None}
    assert schedules == set(SCHEDULES)
    for name, method in FINETUNING.items():
        assert method.name == name
        kinds = [method.factor, method.change, method.loss, method.addition]
        assert kinds.count(None) == 3
        assert method.is_on(FineTuneSettings()) == (name == "cosine")
        assert 60 <= len(method.explanation.split()) <= 120, name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("schedule", "cosin", "There is no schedule 'cosin'. Did you mean 'cosine'?"),
        ("cycles", 0, "cycles is 0. Choose a whole number from 1 to 100."),
        ("rewind", 0, "rewind is 0. Choose a number from 0.01 to 1."),
        ("distillation", 1.5, "distillation is 1.5. Choose a number from 0 to 1."),
        ("temperature", 0.5, "temperature is 0.5. Choose a number from 1 to 100."),
        ("label_smoothing", 1, "label_smoothing is 1. Choose a number from 0 to 0.9."),
        ("gaussian_noise", -0.1, "gaussian_noise is -0.1. Choose a number from 0 to 1."),
        ("keep_signs", -1, "keep_signs is -1. Choose a number from 0 to 100."),
        ("salt_and_pepper", "a", "salt_and_pepper is 'a'. Choose a number from 0 to 1."),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        FineTuneSettings.from_dict({name: value})
    assert str(refused.value).startswith(message)


def test_settings_of_before_these_options_are_read() -> None:
    old = {
        "optimizer": "adam", "lr": 0.01, "epochs": 2, "seconds": None, "batch_size": 64,
        "momentum": 0.9, "weight_decay": 0.0, "shift": 2, "flip": True, "seed": 5,
    }  # fmt: skip
    settings = FineTuneSettings.from_dict(old)
    assert {key: settings.to_dict()[key] for key in old} == old
    assert [name for name, one in FINETUNING.items() if one.is_on(settings)] == ["cosine"]
