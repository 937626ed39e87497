"""The penalty on changed signs, against a loop over single weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.unit.small import small_model, stripes_data
from workbench.finetune import FineTuneSettings, finetune
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.training import FINETUNING
from workbench.training.methods.keep_signs import KeepSigns, shared_signs

QUICK = FineTuneSettings(epochs=12, batch_size=16, shift=0, lr=0.1, momentum=0.9)


class Twice(nn.Module):
    """One layer used twice between two that are used once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(36, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x.flatten(1)).tanh()
        x = self.again(self.again(x).tanh()).tanh()
        return self.last(x)


def twice() -> Model:
    torch.manual_seed(2)
    return Model("twice", Twice().eval(), (1, 6, 6), 3)


def test_the_penalty_is_the_sum_over_weights_that_changed_sign():
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.weight[0, 0] = 0
    before = module.weight.detach().clone()
    penalty = KeepSigns(0.5, ["weight"])
    penalty.prepare_(module, 0)
    assert penalty.loss(module, 0.0).item() == 0
    assert penalty.values() == {"signs_changed": 0}
    with torch.no_grad():
        module.weight += torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    wanted, changed = 0.0, 0
    for old, new in zip(before.flatten().tolist(), module.weight.flatten().tolist(), strict=True):
        if old * new < 0:
            wanted, changed = wanted + 0.5 * abs(new), changed + 1
    assert changed
    assert penalty.loss(module, 0.5).item() == pytest.approx(wanted)
    assert penalty.values()["signs_changed"] == pytest.approx(changed / 11)


def test_only_shared_weights_are_watched_where_there_are_some():
    names = [weight.shape for weight, _ in _watched(twice())]
    assert names == [(6, 6)]
    assert len(_watched(small_model())) > 1


def _watched(model: Model):
    penalty = shared_signs(model, 1.0)
    penalty.prepare_(model.module, 0)
    return penalty._watched


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_signs_stay_in_training_and_change_without_the_penalty(granularity):
    data = stripes_data()
    model = twice()
    pruned = prune(model, PruningPlan({"first": 0.3}, granularity))
    shares = []
    for strength in (0.0, 0.1):
        settings = replace(QUICK, keep_signs=strength)
        found = finetune(pruned, data, settings, keep="last").pruned
        start, end = (one.model.module.again.weight for one in (pruned, found))
        shares.append((-end * start.sign()).relu().sum().item())
    assert shares[0] > 2 * shares[1]
    assert FINETUNING["keep_signs"].is_on(settings)


def test_the_history_tells_how_many_signs_have_changed():
    data = stripes_data()
    pruned = prune(twice(), PruningPlan({"first": 0.3}))
    history = finetune(pruned, data, replace(QUICK, keep_signs=0.1)).history
    assert history[0]["signs_changed"] == 0
    assert 0 <= history[-1]["signs_changed"] <= 1
