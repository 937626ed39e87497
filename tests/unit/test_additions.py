"""What takes part in a training: terms of the loss, parameters, masks, and what is kept."""

import pytest
import torch
from torch import Tensor, nn

from tests.unit.small import small_model, stripes_data
from workbench.data import Data
from workbench.finetune import FineTuneSettings, finetune
from workbench.plan import PruningPlan
from workbench.progress import Progress
from workbench.prune import Pruned, prune
from workbench.training import Addition
from workbench.training.optimizer import MaskedOptimizer

SETTINGS = FineTuneSettings(epochs=3, batch_size=16, shift=0, lr=0.05)
STEPS = 3 * (128 // 16)


@pytest.fixture(scope="module")
def data() -> Data:
    return stripes_data()


@pytest.fixture
def dense() -> Pruned:
    return prune(small_model(), PruningPlan())


@pytest.fixture
def pruned() -> Pruned:
    return prune(small_model(), PruningPlan({"fc": 0.8}))


class Diary(Addition):
    """Writes down when it is asked for what."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float]] = []

    def prepare_(self, module: nn.Module, steps: int) -> None:
        self.lines.append(("prepare", steps))

    def loss(self, module: nn.Module, part: float) -> None:
        self.lines.append(("loss", part))

    def after_step_(self, module: nn.Module, part: float) -> None:
        self.lines.append(("after", part))

    def values(self) -> dict[str, float]:
        return {"lines": float(len(self.lines))}

    def finish_(self, module: nn.Module) -> None:
        assert not module.training
        self.lines.append(("finish", -1))


def test_an_addition_is_asked_in_order_and_changes_nothing_by_itself(
    pruned: Pruned, data: Data
) -> None:
    diary, seen = Diary(), list[Progress]()
    alone = finetune(pruned, data, SETTINGS)
    tuned = finetune(pruned, data, SETTINGS, additions=(diary, Addition()), report=seen.append)
    assert tuned.pruned.model.digest == alone.pruned.model.digest
    expected = [("prepare", STEPS)]
    for step in range(STEPS):
        expected += [("loss", step / STEPS), ("after", (step + 1) / STEPS)]
    assert diary.lines == [*expected, ("finish", -1)]
    assert [entry["lines"] for entry in tuned.history] == [1, 17, 33, 49]
    assert all("lines" in progress.values for progress in seen)


class Pull(Addition):
    """A squared distance of a layer's weights from a number, times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def loss(self, module: nn.Module, part: float) -> Tensor:
        return self.factor * (module.get_parameter("fc.weight") - 3).square().sum()


def test_a_term_of_the_loss_moves_the_weights(pruned: Pruned, data: Data) -> None:
    tuned = finetune(pruned, data, SETTINGS, additions=(Pull(0.1),), keep="last")
    weight = tuned.pruned.model.module.get_parameter("fc.weight")
    mask = pruned.masks["fc.weight"]
    assert float(weight[mask].detach().mean()) > 1
    assert torch.count_nonzero(weight[~mask]) == 0
    assert tuned.best_epoch == 3


def test_the_last_epoch_is_kept_where_that_is_asked(pruned: Pruned, data: Data) -> None:
    good = finetune(pruned, data, FineTuneSettings(epochs=8, batch_size=16, shift=0)).pruned
    harmful = FineTuneSettings(epochs=2, batch_size=16, lr=0.5, weight_decay=0.9)
    assert finetune(good, data, harmful).best_epoch == 0
    tuned = finetune(good, data, harmful, keep="last")
    assert tuned.best_epoch == 2
    assert tuned.validation.accuracy == tuned.history[2]["accuracy"]


class Gate(Addition):
    """A factor on the outputs of a layer: trained, put on by a hook, multiplied in at the end."""

    def prepare_(self, module: nn.Module, steps: int) -> None:
        self.factor = nn.Parameter(torch.ones(()))
        layer = module.get_submodule("conv2")
        self.hook = layer.register_forward_hook(lambda _m, _i, out: out * self.factor)

    def parameters(self) -> tuple[nn.Parameter, ...]:
        return (self.factor,)

    def parameter_groups(self) -> list[dict[str, object]]:
        return [{"params": [self.factor], "lr_factor": 4.0, "weight_decay": 0.0}]

    def values(self) -> dict[str, float]:
        return {"factor": float(self.factor.detach())}

    @torch.no_grad()
    def finish_(self, module: nn.Module) -> None:
        self.hook.remove()
        module.get_parameter("conv2.weight").mul_(self.factor)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_parameters_of_an_addition_are_trained_and_those_kept_are_finished(
    dense: Pruned, data: Data, keep: str
) -> None:
    gate = Gate()
    tuned = finetune(dense, data, SETTINGS, additions=(gate,), keep=keep)
    entry = tuned.history[tuned.best_epoch]
    assert entry["factor"] != 1
    assert float(gate.factor.detach()) == entry["factor"]
    again = finetune(tuned.pruned, data, FineTuneSettings(epochs=0))
    assert again.validation.loss == pytest.approx(entry["validation_loss"], rel=1e-4)


class Grow(Addition):
    """Masks ever more of a layer, the smallest weights first."""

    def after_step_(self, module: nn.Module, part: float) -> None:
        weight = module.get_parameter("fc.weight").detach()
        gone = round(0.9 * part * weight.numel())
        order = weight.abs().flatten().argsort(stable=True)
        mask = torch.ones(weight.numel(), dtype=torch.bool)
        mask[order[:gone]] = False
        self.mask = mask.view_as(weight)

    def masks(self) -> dict[str, Tensor] | None:
        return {"fc.weight": self.mask} if hasattr(self, "mask") else None


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masks_may_grow_and_go_with_the_epoch_that_is_kept(
    dense: Pruned, data: Data, optimizer: str
) -> None:
    settings = FineTuneSettings(optimizer, 0.02, 3, batch_size=16, weight_decay=0.1)
    for keep, epoch in (("last", 3), ("best", None)):
        tuned = finetune(dense, data, settings, additions=(Grow(),), keep=keep)
        epoch = tuned.best_epoch if epoch is None else epoch
        weight = tuned.pruned.model.module.get_parameter("fc.weight")
        gone = round(0.9 * epoch / 3 * weight.numel())
        assert int((weight == 0).sum()) == gone
        if epoch:
            assert torch.equal(tuned.pruned.masks["fc.weight"], weight != 0)


def test_new_masks_make_the_optimiser_forget(dense: Pruned) -> None:
    module = dense.model.copy_module()
    optimizer = MaskedOptimizer(module, {}, FineTuneSettings("adam"))
    weight = module.get_parameter("fc.weight")

    def step() -> None:
        module(torch.randn(8, 1, 6, 6)).square().sum().backward()
        optimizer.step(0.01)

    step()
    first = torch.rand(weight.shape) < 0.5
    optimizer.set_masks_({"fc.weight": first})
    state = optimizer.optimizer.state[weight]
    for _ in range(2):
        assert torch.count_nonzero(weight[~first]) == 0
        for value in (state["exp_avg"], state["exp_avg_sq"]):
            assert torch.count_nonzero(value[~first]) == 0
        step()
    optimizer.set_masks_({"fc.weight": ~first})
    assert torch.count_nonzero(weight) == 0
    step()
    assert torch.count_nonzero(weight[first]) == 0
    assert torch.count_nonzero(weight[~first]) > 0, "what is no longer masked grows again"
