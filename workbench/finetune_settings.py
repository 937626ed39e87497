"""The settings of fine-tuning."""

from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import SettingsError
from workbench.names import suggest
from workbench.settings_reading import check_number, known_values

OPTIMIZERS: dict[str, str] = {
    "sgd": "Stochastic gradient descent with Nesterov momentum.",
    "adam": "Adam: a step size of its own for every weight.",
    "adamw": "Adam with weight decay apart from the gradient.",
}
WITH_MOMENTUM = ("sgd",)
"""Optimisers that take the setting ``momentum``."""
SCHEDULES = ("cosine", "constant", "step", "one_cycle", "restarts", "rewind")
"""How a learning rate may go; each is a method of fine-tuning, which tells what it does."""
DEFAULT_LR = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002}
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class FineTuneSettings:
    """How to train after pruning. The defaults suit the sample models.

    Attributes:
        optimizer: A name in ``OPTIMIZERS``.
        lr: Highest learning rate; None takes the optimiser's usual one, lower with distillation.
        epochs: Passes over the training images; 0 trains nothing.
        seconds: Time to train for instead of ``epochs``; None goes by epochs. By time, results
            depend on how busy the machine is.
        batch_size: Images in a step.
        momentum: Of the optimisers in ``WITH_MOMENTUM``; the others take no notice of it.
        weight_decay: Pull of every weight towards zero.
        shift: Pixels by which each training image is moved at random, up to so many each way.
        flip: Whether half of the training images are mirrored left to right.
        seed: Order of the images, shifts, flips, noise and dropout.
        schedule: How the learning rate goes; a name in ``SCHEDULES``.
        cycles: Of the schedule ``restarts``: how many cosines follow each other.
        rewind: Of the schedule ``rewind``: which part of the original training, counted from its
            end, is retraced; None takes as many epochs as are trained now, where the model's card
            tells how it was trained, else 0.3.
        distillation: Weight of the teacher's answers in the loss, 0 to 1; the labels have the
            rest.
        temperature: Softens the answers of teacher and student before they are compared.
        label_smoothing: Part of every label that is spread evenly over all classes.
        gaussian_noise: Standard deviation of noise on every pixel, as a part of the way from
            black to white.
        salt_and_pepper: Part of the pixels that become black or white.
        keep_signs: Strength of a penalty on shared weights whose sign has changed.

    Raises:
        SettingsError: If a value is out of range.
    """

    optimizer: str = "sgd"
    lr: float | None = None
    epochs: int = 3
    seconds: float | None = None
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 0.0005
    shift: int = 1
    flip: bool = False
    seed: int = 0
    schedule: str = "cosine"
    cycles: int = 2
    rewind: float | None = None
    distillation: float = 0.0
    temperature: float = 4.0
    label_smoothing: float = 0.0
    gaussian_noise: float = 0.0
    salt_and_pepper: float = 0.0
    keep_signs: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise SettingsError(
                f"There is no optimizer {self.optimizer!r}.", suggest(self.optimizer, OPTIMIZERS)
            )
        if self.lr is not None:
            check_number("lr", self.lr, 1e-8, 10)
        check_number("epochs", self.epochs, 0, 10_000, whole=True)
        if self.seconds is not None:
            check_number("seconds", self.seconds, 1, 604_800)
        check_number("batch_size", self.batch_size, 2, 8_192, whole=True)
        check_number("momentum", self.momentum, 0, 0.999)
        check_number("weight_decay", self.weight_decay, 0, 1)
        check_number("shift", self.shift, 0, 8, whole=True)
        check_number("seed", self.seed, 0, MAX_SEED, whole=True)
        if not isinstance(self.flip, bool):
            raise SettingsError(f"flip is {self.flip!r}.", "Choose true or false.")
        self._check_options()

    def _check_options(self) -> None:
        if self.schedule not in SCHEDULES:
            raise SettingsError(
                f"There is no schedule {self.schedule!r}.", suggest(str(self.schedule), SCHEDULES)
            )
        check_number("cycles", self.cycles, 1, 100, whole=True)
        if self.rewind is not None:
            check_number("rewind", self.rewind, 0.01, 1)
        check_number("distillation", self.distillation, 0, 1)
        check_number("temperature", self.temperature, 1, 100)
        check_number("label_smoothing", self.label_smoothing, 0, 0.9)
        check_number("gaussian_noise", self.gaussian_noise, 0, 1)
        check_number("salt_and_pepper", self.salt_and_pepper, 0, 1)
        check_number("keep_signs", self.keep_signs, 0, 100)

    @property
    def highest_lr(self) -> float:
        """The learning rate asked for, or the optimiser's usual one."""
        return DEFAULT_LR[self.optimizer] if self.lr is None else self.lr

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "FineTuneSettings":
        """Read settings back; what is missing takes its default.

        Raises:
            SettingsError: If a setting is unknown or its value out of range.
        """
        return cls(**known_values(cls, values, "fine-tuning"))
