"""Trainings that are refused."""

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import few_images, tiny
from workbench.finetune import finetune
from workbench.finetune_settings import FineTuneSettings
from workbench.loading import load_model
from workbench.plan import PruningPlan
from workbench.prune import prune

MAKERS = Makers()
_PRUNE = ("prune", "digits-mlp", "--method", "uniform", "--sparsity", "0.5")


@MAKERS
def training_unknown_schedule(folder):
    """A schedule with a letter missing."""
    FineTuneSettings(schedule="cosin")


@MAKERS
def training_no_cycles(folder):
    """No cycles."""
    FineTuneSettings(schedule="restarts", cycles=0)


@MAKERS
def training_rewind_nothing(folder):
    """Nothing to retrace."""
    FineTuneSettings(schedule="rewind", rewind=0)


@MAKERS
def training_distillation_percent(folder):
    """A weight of the teacher in percent."""
    FineTuneSettings(distillation=70)


@MAKERS
def training_cold_temperature(folder):
    """A temperature that sharpens."""
    FineTuneSettings(temperature=0.5)


@MAKERS
def training_smoothing_one(folder):
    """Labels that say nothing."""
    FineTuneSettings(label_smoothing=1)


@MAKERS
def training_noise_negative(folder):
    """Noise below nothing."""
    FineTuneSettings(gaussian_noise=-0.1)


@MAKERS
def training_salt_text(folder):
    """Salt and pepper in words."""
    FineTuneSettings(salt_and_pepper="a pinch")


@MAKERS
def training_teacher_of_other_images(folder):
    """A teacher for images of another size."""
    settings = FineTuneSettings(distillation=0.5)
    finetune(prune(tiny(), PruningPlan()), few_images(), settings, teacher=load_model("digits-mlp"))


@MAKERS
def training_teacher_without_weight(folder):
    """A teacher nobody listens to."""
    run(*_PRUNE, "--finetune-epochs", 1, "--teacher", "digits-mlp")


@MAKERS
def training_options_without_training(folder):
    """Noise, but no training."""
    run(*_PRUNE, "--gaussian-noise", 0.1)


@MAKERS
def training_command_unknown_schedule(folder):
    """A schedule with letters swapped, on the command line."""
    run(*_PRUNE, "--finetune-epochs", 1, "--schedule", "cosien")
