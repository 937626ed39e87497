"""Quick checks against the obvious way: prune, repair, classify the same images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.unit.small import small_model, stripes_data
from workbench.errors import DataError, PlanError, SettingsError
from workbench.loading import load_data, load_model
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import StoppedError
from workbench.prune import prune
from workbench.quick_check import QuickChecker
from workbench.quick_replay import choose_starts
from workbench.repair import repair
from workbench.sampling import DenseOutputs, PairedSample
from workbench.tape import Tape

DATA = stripes_data()
ALL = len(DATA.split("validation"))


class Residual(nn.Module):
    """A shortcut, and one BatchNorm that is called twice."""

    def __init__(self, peeks=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.conv3 = nn.Conv2d(6, 6, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(6)
        self.conv4 = nn.Conv2d(6, 8, 3)
        self.norm3 = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 3)
        self.peeks = peeks

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        if self.peeks and float(y.detach().sum()) < 0:
            y = -y
        z = F.relu(self.norm2(self.conv2(y)))
        y = F.relu(self.norm2(self.conv3(z)) + y)
        return self.classifier(F.relu(self.norm3(self.conv4(y))).mean((2, 3)))


def model_of(network):
    torch.manual_seed(5)
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, 0, 0.3)
    split = DATA.split("train")
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 3e-2)
    for _ in range(15):
        optimizer.zero_grad()
        F.cross_entropy(network(split.images), split.labels).backward()
        optimizer.step()
    return Model("made", network.eval(), (1, 6, 6), 3)


@pytest.fixture(scope="module")
def residual():
    return model_of(Residual())


def oracle(model, plan, method, calibration, samples=ALL):
    """Accuracy and loss, and the scores, the obvious way."""
    repaired = repair(prune(model, plan), DATA, method, num_samples=calibration)
    module = repaired.pruned.model.module
    split = DATA.split("validation", samples)
    with torch.no_grad():
        scores = module(split.images)
    return score(module, split), scores


PLANS = (
    PruningPlan({"conv4": 0.5}),
    PruningPlan({"conv4": 0.5, "classifier": 0.4}),
    PruningPlan({"conv4": 0.5, "conv1": 0.3}),
    PruningPlan({"conv4": 0.5, "conv2": 0.3}),
    PruningPlan({"conv4": 0.7, "conv2": 0.3}),
    PruningPlan({}),
    PruningPlan({"conv4": 0.5}, "channel"),
    PruningPlan({"conv4": 0.5, "conv1": 0.34}, "channel"),
    PruningPlan({"conv2": 0.6, "conv3": 0.5}, "kernel", "random", seed=3),
)


@pytest.mark.parametrize("method", ["bn", "none"])
@pytest.mark.parametrize("kept_bytes", [0, 400_000, 2**30])
def test_one_check_after_the_other_gives_the_numbers_of_the_obvious_way(
    residual, method, kept_bytes
):
    digest = residual.digest
    checker = QuickChecker(residual, DATA, num_calibration=100, kept_bytes=kept_bytes)
    for plan in PLANS:
        found = checker.check(plan, method)
        wanted, _ = oracle(residual, plan, method, 100)
        assert found.accuracy == pytest.approx(wanted.accuracy, abs=1e-9)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert (found.samples, found.repair) == (ALL, method)
        assert found.calibration == (100 if method == "bn" else 0)
        assert (found.ci_low, found.ci_high) == pytest.approx((wanted.accuracy,) * 2)
    assert residual.digest == digest


def test_a_check_after_another_repair_begins_anew(residual):
    checker = QuickChecker(residual, DATA, num_calibration=100)
    for method in ("bn", "none", "bn"):
        found = checker.check(PLANS[0], method)
        wanted, _ = oracle(residual, PLANS[0], method, 100)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_a_part_of_the_images_is_set_against_the_dense_model_on_all(residual):
    samples = 6
    checker = QuickChecker(residual, DATA, num_samples=samples, num_calibration=100)
    found = checker.check(PLANS[0], "bn")
    seen = DATA.split("validation", 5 * samples)
    with torch.no_grad():
        dense = DenseOutputs(residual.module(seen.images), seen.labels)
    sample = PairedSample(dense)
    _, scores = oracle(residual, PLANS[0], "bn", 100, samples)
    sample.add(torch.arange(samples), scores)
    wanted = sample.estimate()
    assert found.samples == samples
    assert found.ci_low < found.ci_high
    estimate = (found.accuracy, found.loss, found.ci_low, found.ci_high)
    assert estimate == pytest.approx((wanted.accuracy, wanted.loss, wanted.low, wanted.high), 1e-4)
    plain = score(residual.module, seen)
    assert found.baseline == pytest.approx((plain.loss, plain.accuracy), rel=1e-5)


def test_what_lies_before_the_first_changed_layer_is_not_computed_again(residual, monkeypatch):
    checker = QuickChecker(residual, DATA, num_calibration=100)
    checker.check(PLANS[0])

    def never_again(*_arguments, **_more):
        raise AssertionError("the images went through the whole network again")

    monkeypatch.setattr(Tape, "run", never_again)
    checker.check(PLANS[1])
    with pytest.raises(AssertionError, match="whole network"):
        checker.check(PLANS[2])


def test_starts_lie_where_memory_allows(residual):
    images = DATA.split("validation", 8).images
    tape = Tape(residual.module, images)
    everywhere = choose_starts(tape, images, 10**9)
    sizes = [len(names) for names in everywhere]
    assert sizes == sorted(sizes, reverse=True)
    assert everywhere[-1] == {"classifier.weight", "classifier.bias"}
    between = [names for names in everywhere if "conv3.weight" in names]
    assert all("conv2.weight" in names for names in between), "they share a BatchNorm"
    per_image = {len(choose_starts(tape, images, n)) for n in (0, 4 * 8, 4 * 8 + 4 * 6 * 36)}
    assert per_image == {0, 1, 2}


def test_an_abandoned_check_leaves_the_next_one_right(residual):
    checker = QuickChecker(residual, DATA, num_calibration=100)
    checker.check(PLANS[0])
    for asked in range(2):
        answers = iter([False] * asked + [True] * 9)
        with pytest.raises(StoppedError):
            checker.check(PLANS[3], should_stop=lambda answers=answers: next(answers))
    wanted, _ = oracle(residual, PLANS[3], "bn", 100)
    assert checker.check(PLANS[3]).loss == pytest.approx(wanted.loss, rel=1e-4)


def test_making_ready_goes_on_where_it_was_stopped(residual, monkeypatch):
    recorded, whole = [], Tape.__init__

    def count(self, *arguments):
        recorded.append(self)
        whole(self, *arguments)

    monkeypatch.setattr(Tape, "__init__", count)
    monkeypatch.setattr("workbench.quick_check.BATCH", 8)
    checker = QuickChecker(residual, DATA, num_calibration=100)
    once = None
    for asked in range(3):
        answers = iter([False] + [True] * 9)
        with pytest.raises(StoppedError):
            checker.prepare(lambda answers=answers: next(answers))
        once = once or len(recorded)
        assert len(checker._classified) == asked + 1
    assert len(recorded) == once
    wanted = score(residual.module, DATA.split("validation"))
    assert checker.check(PruningPlan({}), "none").baseline[0] == pytest.approx(wanted.loss, 1e-5)


def test_a_network_that_cannot_be_replayed_is_measured_plainly():
    model = model_of(Residual(peeks=True))
    checker = QuickChecker(model, DATA, num_calibration=100)
    for method in ("bn", "none"):
        found = checker.check(PLANS[3], method)
        wanted, _ = oracle(model, PLANS[3], method, 100)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert found.accuracy == pytest.approx(wanted.accuracy)


def test_full_repair_is_that_of_the_repair_itself(residual):
    found = QuickChecker(residual, DATA).check(PLANS[3], "full")
    wanted, _ = oracle(residual, PLANS[3], "full", 500)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-3)
    assert (found.repair, found.calibration) == ("full", len(DATA.split("calibration")))


def test_without_batch_norm_nothing_is_repaired():
    data = load_data("digits")
    checker = QuickChecker(load_model("digits-mlp"), data)
    found = checker.check(PruningPlan({"hidden.0": 0.5}), "bn")
    assert (found.repair, found.calibration) == ("none", 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError):
        QuickChecker(small_model(), load_data("digits"))
    checker = QuickChecker(small_model(), DATA)
    with pytest.raises(PlanError):
        checker.check(PruningPlan({"nowhere": 0.5}))
    with pytest.raises(SettingsError):
        checker.check(PruningPlan({}), "magic")
