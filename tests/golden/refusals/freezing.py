"""Patterns that freeze nothing or contradict a lock, and trade-offs out of range."""

from tests.golden.refusals.table import Makers
from tests.unit.small import small_model, stripes_data
from workbench.allocation import Budget, allocate
from workbench.cli.allocate_verb import check_target
from workbench.cli.parser import parse
from workbench.cost_trade_off import learn_trade_off
from workbench.freezing import frozen_groups
from workbench.groups import find_groups

MAKERS = Makers()
HALF = Budget("params", 0.5)


@MAKERS
def freeze_nothing_by_a_slip(folder):
    """A pattern with a slip of the pen."""
    frozen_groups(find_groups(small_model()), ["cnv1*"])


@MAKERS
def freeze_biases(folder):
    """A pattern of parameters that nobody prunes."""
    frozen_groups(find_groups(small_model()), ["*.bias"])


@MAKERS
def freeze_parameters(folder):
    """A pattern of parameters instead of layers."""
    frozen_groups(find_groups(small_model()), ["conv*.weight"])


@MAKERS
def freeze_a_normalisation(folder):
    """A layer that cannot be pruned anyway."""
    frozen_groups(find_groups(small_model()), ["norm"])


@MAKERS
def freeze_what_is_locked(folder):
    """A pattern that contradicts a lock."""
    allocate(small_model(), "uniform", budget=HALF, freeze=["conv*"], locked={"conv1": 0.5})


@MAKERS
def freeze_everything(folder):
    """A pattern that leaves nothing to prune."""
    allocate(small_model(), "uniform", budget=HALF, freeze=["*"])


@MAKERS
def trade_off_below_zero(folder):
    """Costs that would count the wrong way round."""
    allocate(small_model(), "cost_aware", budget=HALF, trade_off=-0.5)


@MAKERS
def trade_off_in_words(folder):
    """A trade-off that is no number."""
    parse(["allocate", "fashion-lenet5", "--method", "cost_aware", "--trade-off", "much"])


@MAKERS
def trade_off_of_nothing(folder):
    """No exponent to try."""
    model = small_model()
    learn_trade_off(
        model, stripes_data(), lambda _: allocate(model, "cost_aware", budget=HALF),
        groups=find_groups(model), trade_offs=(),
    )  # fmt: skip


@MAKERS
def trade_off_learnt_for_a_floor(folder):
    """A trade-off to learn where no budget is given."""
    check_target(parse(["allocate", "fashion-lenet5", "--method", "cost_aware", "--floor", "0.9"]))
