"""Which learning rate a training takes at which moment."""

from collections.abc import Mapping
from typing import Any

from workbench.finetune_settings import FineTuneSettings
from workbench.model import Model
from workbench.training.method import Course
from workbench.training.methods import FINETUNING

GENTLE = 0.1
"""Part of the optimiser's usual learning rate that suits a model repaired in full; see
tests/benchmarks/finetuning_options.py."""
RETRACED = 0.3


def plan_course(settings: FineTuneSettings, dense: Model, gentle: bool = False) -> Course:
    """What the schedule of a training starts from.

    An automatic learning rate is lowered where a teacher makes the gradients larger: those of the
    softened answers grow with the temperature T, so that with a weight a of the teacher the loss
    moves the weights about ``1 - a + a T`` times as far (Hinton et al. 2015, section 2).

    Args:
        settings: How to train.
        dense: The model before pruning; its card may tell how it was trained.
        gentle: Whether an automatic learning rate should be a tenth of the usual one, because the
            weights are good already. Rewinding takes no notice of it.
    """
    recipe = _original_recipe(dense)
    retraced = settings.rewind or RETRACED
    highest = settings.highest_lr
    if settings.schedule != "rewind":
        if settings.lr is None and gentle:
            highest *= GENTLE
    else:
        if settings.rewind is None and settings.seconds is None and recipe.get("epochs"):
            retraced = min(1.0, max(1, settings.epochs) / recipe["epochs"])
        if settings.lr is None and recipe.get("optimizer") == settings.optimizer:
            highest = recipe.get("lr", highest)
    if settings.lr is None:
        highest /= 1 - settings.distillation + settings.distillation * settings.temperature
    return Course(highest, settings.cycles, retraced)


def learning_rate(settings: FineTuneSettings, course: Course, part: float) -> float:
    """The learning rate when ``part`` (0 to 1) of the training is over."""
    factor = FINETUNING[settings.schedule].factor
    assert factor is not None  # settings name schedules alone
    return course.highest * factor(part, course)


def _original_recipe(dense: Model) -> Mapping[str, Any]:
    training = dense.card.get("training")
    recipe = training.get("recipe") if isinstance(training, Mapping) else None
    return recipe if isinstance(recipe, Mapping) else {}
