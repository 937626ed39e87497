"""Sparse trainings that cannot be done."""

from torch import nn

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import few_images, tiny
from workbench.finetune_settings import FineTuneSettings
from workbench.model import Model
from workbench.sparse_training import SparseTrainingSettings, get_sparse_method
from workbench.sparse_training.fresh import with_new_weights
from workbench.sparse_training.ground import find_ground
from workbench.sparse_training.measured import train_sparse_and_measure
from workbench.sparse_training.shrinking import ScaleShrinking
from workbench.sparse_training.sweeping import settings_of_sweep

MAKERS = Makers()


@MAKERS
def sparse_unknown_method(folder):
    """A penalty that does not exist."""
    get_sparse_method("l3")


@MAKERS
def sparse_wrong_granularity(folder):
    """BatchNorm scales of single weights."""
    SparseTrainingSettings(method="bn_scale")


@MAKERS
def sparse_strength_of_a_schedule(folder):
    """A strength for a method that has no penalty."""
    SparseTrainingSettings(method="cubic", strength=0.1)


@MAKERS
def sparse_target_above_one(folder):
    """More than everything."""
    SparseTrainingSettings(target=1.2)


@MAKERS
def sparse_schedule_without_target(folder):
    """A schedule that is to do without a target."""
    run("sparse", "digits-mlp", "--method", "cubic", "--target", "none")


@MAKERS
def sparse_target_zero(folder):
    """A target of nothing on the command line."""
    run("sparse", "digits-mlp", "--method", "l1", "--target", "0")


@MAKERS
def sparse_strength_negative(folder):
    """A penalty below zero."""
    SparseTrainingSettings(strength=-1.0)


@MAKERS
def sparse_rounds_zero(folder):
    """A lottery without a round."""
    SparseTrainingSettings(method="lottery", rounds=0)


@MAKERS
def sparse_from_scratch_text(folder):
    """A word where yes or no belongs."""
    SparseTrainingSettings(from_scratch="yes")  # type: ignore[arg-type]


@MAKERS
def sparse_setting_unknown(folder):
    """A setting that does not exist."""
    SparseTrainingSettings.from_dict({"strenght": 1.0})


@MAKERS
def sparse_settings_list(folder):
    """A list of settings."""
    SparseTrainingSettings.from_dict([1])


@MAKERS
def sparse_too_many_strengths(folder):
    """Twenty-one strengths."""
    settings_of_sweep(SparseTrainingSettings(), [0.1] * 21)


@MAKERS
def sparse_all_frozen(folder):
    """Every layer frozen."""
    find_ground(tiny(), SparseTrainingSettings(freeze=("*",)))


@MAKERS
def sparse_without_normalisation(folder):
    """BatchNorm scales of a network that has none."""
    settings = SparseTrainingSettings(method="bn_scale", granularity="channel")
    ScaleShrinking(find_ground(tiny(), settings), settings)


@MAKERS
def sparse_cannot_begin_anew(folder):
    """A network with a weight that no layer of PyTorch draws."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(nn.Linear(4, 4).weight.detach())

    with_new_weights(Model("odd", Odd(), (1, 2, 2), 4), 0)


@MAKERS
def sparse_no_epoch(folder):
    """No epoch at all."""
    SparseTrainingSettings(training=FineTuneSettings(epochs=0))


@MAKERS
def sparse_breaks_off(folder):
    """Weights so large that the first loss is no number."""
    model = tiny()
    for parameter in model.module.parameters():
        nn.init.constant_(parameter, 1e30)
    settings = SparseTrainingSettings(training=FineTuneSettings(epochs=1))
    train_sparse_and_measure(model, few_images(), settings)


@MAKERS
def sparse_nothing_to_cut(folder):
    """Less than one channel to cut."""
    settings = SparseTrainingSettings(
        method="iterative", granularity="channel", target=0.01, training=FineTuneSettings(epochs=1)
    )
    train_sparse_and_measure(tiny(), few_images(), settings)
