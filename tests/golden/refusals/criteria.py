"""Criteria that cannot rank what is asked, or see what they have to look at."""

import torch
from torch import nn

from tests.golden.refusals.table import Makers
from tests.unit.small import small_model, stripes_data
from workbench.allocation import allocate
from workbench.criteria import get_criterion
from workbench.curves import SensitivitySettings
from workbench.groups import Group
from workbench.model import Model, with_data
from workbench.plan import PruningPlan
from workbench.prune import prune
from workbench.scoring import score_layer, score_units
from workbench.sensitivity import measure_sensitivity

MAKERS = Makers()


class _Aside(nn.Module):
    """Multiplies with a layer's weight where nobody looks."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.fc.weight.T


@MAKERS
def criterion_of_units_for_weights(folder):
    """Single weights by the entropy of units."""
    prune(small_model(), PruningPlan({"fc": 0.5}, "weight", "entropy"))


@MAKERS
def criterion_of_units_for_blocks(folder):
    """Blocks by the scales of BatchNorm."""
    allocate(small_model(), "uniform", sparsity=0.5, granularity="block:2x2", criterion="bn_scale")


@MAKERS
def criterion_of_units_in_a_sweep(folder):
    """A sweep over single weights by zeros of units."""
    settings = SensitivitySettings((0.5,), criterion="apoz")
    measure_sensitivity(small_model(), stripes_data(), settings)


@MAKERS
def criterion_without_images(folder):
    """Gradients without data."""
    prune(small_model(), PruningPlan({"fc": 0.5}, "weight", "taylor"))


@MAKERS
def criterion_blind_to_a_use(folder):
    """A weight that is used past its layer."""
    model = with_data(Model("aside", _Aside().eval(), (1, 6, 6), 3), stripes_data())
    score_layer(get_criterion("wanda"), model, "fc.weight")


@MAKERS
def criterion_blind_to_readers(folder):
    """A group that no known layer reads."""
    model = with_data(small_model(), stripes_data())
    score_units(get_criterion("fisher"), model, Group("conv1", "channel", 4, ("conv1",)))
