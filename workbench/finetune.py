"""Fine-tuning: a brief training after pruning, during which pruned weights stay exactly zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.data import Data
from workbench.errors import DataError
from workbench.finetune_settings import DEFAULT_LR, OPTIMIZERS, FineTuneSettings
from workbench.metrics import Score
from workbench.model import Model, check_fit
from workbench.progress import Report, ShouldStop, ignore, never
from workbench.prune import Pruned
from workbench.training import FINETUNING, Addition
from workbench.training.course import plan_course
from workbench.training.loop import Keep, Training

__all__ = [
    "DEFAULT_LR",
    "OPTIMIZERS",
    "FineTuneSettings",
    "FineTuned",
    "TrainingRecord",
    "finetune",
]


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A fine-tuned model and how it came about.

    Attributes:
        pruned: The model at the epoch that was kept; its masked weights are exactly zero.
        validation: Its score on the validation split, or on part of it if stopped at once.
        history: One entry per validated epoch, from epoch 0, before training:
            ``epoch, step, seconds, lr, loss`` (mean over the epoch's training images, None for
            epoch 0), ``accuracy, validation_loss`` (None where not finite), and the values of
            the additions.
        best_epoch: The epoch that was kept: that of highest validation accuracy, of lower loss
            among equals, unless the last one was asked for.
        seconds: Time from start to end, validation included.
        stopped: Whether it was asked to stop.
        samples_per_second: Training images a second, validation not counted; 0 if none.
        note: What went wrong, such as a loss that is no number; empty where nothing did.
        highest_lr: The highest learning rate of its schedule.
    """

    pruned: Pruned
    validation: Score
    history: tuple[Mapping[str, Any], ...]
    best_epoch: int
    seconds: float
    stopped: bool
    samples_per_second: float
    note: str = ""
    highest_lr: float = 0.0


@dataclass(frozen=True)
class TrainingRecord:
    """How a fine-tuning went: what ``finetune`` returned, but for the model.

    Attributes:
        settings: How it trained.
        history: One entry per validated epoch, from epoch 0, before training.
        best_epoch: The epoch that was kept.
        seconds: Time from start to end.
        stopped: Whether it was asked to stop.
        samples_per_second: Training images a second.
        note: What went wrong; empty where nothing did.
        teacher: Name of the model whose answers were learnt; empty for the dense model or none.
        highest_lr: The highest learning rate of its schedule; 0 where it was not recorded.
    """

    settings: FineTuneSettings
    history: tuple[Mapping[str, Any], ...]
    best_epoch: int
    seconds: float
    stopped: bool
    samples_per_second: float
    note: str = ""
    teacher: str = ""
    highest_lr: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "settings": self.settings.to_dict(),
            "history": [dict(entry) for entry in self.history],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingRecord":
        """The reverse of ``to_dict``."""
        settings = FineTuneSettings.from_dict(values["settings"])
        return cls(**dict(values) | {"settings": settings, "history": tuple(values["history"])})


def finetune(
    pruned: Pruned, data: Data, settings: FineTuneSettings | None = None, *,
    teacher: Model | None = None, gentle: bool = False, additions: Sequence[Addition] = (),
    keep: Keep = "best", report: Report = ignore,
    should_stop: ShouldStop = never, device: torch.device | str = "cpu",
) -> FineTuned:  # fmt: skip
    """Train a pruned model on the training split, masks held, and keep its best epoch.

    The best epoch is chosen on the validation split, and epoch 0, before any training, takes
    part: fine-tuning never ends with a lower validation accuracy than it began with. On the CPU
    the same seed gives the same weights, unless the training goes by seconds.

    Args:
        pruned: Where to start; it stays as it is.
        data: Images that fit the model.
        settings: How to train; None takes the defaults.
        teacher: Whose answers are learnt where ``settings.distillation`` is not 0; None takes the
            dense model.
        gentle: Whether an automatic learning rate is a tenth of the usual one: for a model that
            was repaired in full and would first be thrown back by large steps.
        additions: What else takes part, such as a penalty or masks that grow; see ``Addition``.
        keep: ``last`` keeps the last whole epoch instead of the best, for trainings that make a
            model sparser as they go.
        report: Hears of every tenth of a second (``values``: ``epoch, step, loss, lr,
            samples_per_second``) and of every epoch (its entry in the history).
        should_stop: Asked before and within every step; True ends with the best epoch so far.
        device: Where to train. The result is on the CPU.

    Raises:
        DataError: If the data do not fit the model or the teacher, or have too few images.
    """
    settings = settings or FineTuneSettings()
    check_fit(pruned.model, data)
    course = plan_course(settings, pruned.dense, gentle)
    device = torch.device(device)
    if (count := len(data.split("train", 2))) < 2:
        raise DataError(f"{data.name} has {count} training images.", "Give at least 2.")
    if not settings.distillation:
        teacher = None
    elif teacher is None:
        teacher = pruned.dense
    else:
        check_fit(teacher, data)
    additions = [*additions, *_options_of(pruned.model, settings)]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        training = Training(
            pruned, data, settings, course, teacher=teacher, additions=additions, keep=keep,
            report=report, should_stop=should_stop, device=device,
        )  # fmt: skip
        training.run()
        kept = training.result()
    return FineTuned(
        kept, training.kept_score, tuple(training.history), training.kept_epoch,
        training.elapsed(), training.stopped, training.samples_per_second(), training.note,
        course.highest,
    )  # fmt: skip


def _options_of(model: Model, settings: FineTuneSettings) -> list[Addition]:
    """What the settings themselves add to a training."""
    return [
        option.addition(model, getattr(settings, name))
        for name, option in FINETUNING.items()
        if option.addition is not None and option.is_on(settings)
    ]
