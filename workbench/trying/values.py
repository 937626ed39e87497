"""What is tried beside the usual choice, and what was found, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.catalogue import find_method
from workbench.criteria import CRITERIA
from workbench.errors import SettingsError
from workbench.method import FAMILIES
from workbench.names import suggest
from workbench.paired import Paired, Proportion
from workbench.plan import PruningPlan, digest_of_json
from workbench.repair import get_repair
from workbench.sparse_training import SparseTrainingSettings

TRIED = ("criterion", "allocation", "repair", "schedule", "sparse_training", "finetuning")
"""Families whose methods can be tried beside the usual choice."""
GRANULARITIES: Mapping[str, float] = {"weight": 0.8, "channel": 0.5}
"""Granularities, each with the part that is pruned unless another is asked for."""
MAGNITUDE, PLAIN, ONCE = "l1", "plain", "once"
"""The usual criterion; training without an option; a cut at once, before training."""
SHOWN, LEAST_SHOWN, MOST_SHOWN = 6_400, 128, 1_000_000
STEPS = {"pruned": "right after the cut", "repaired": "repaired", "finetuned": "fine-tuned"}
"""States of a model that are measured, in their order."""


@dataclass(frozen=True)
class TryingSettings:
    """What is tried and how.

    Attributes:
        family: A name in ``TRIED``.
        method: A method of that family.
        granularity: A name in ``GRANULARITIES``.
        sparsity: Part to prune of the weights, or of the channels, that may be pruned; None takes
            the granularity's own.
        num_samples: Validation images, the same for both.
        repair: What follows the cut; empty takes the quickest that does something: ``bn`` for a
            model with BatchNorm, else ``full``. Repairs themselves are tried whatever it is.
        shown: Training images that each of the two is shown, where the method is a way to train.
        seed: Chooses the images and everything random.

    Raises:
        SettingsError: If a value is out of range or there is no such method to try.
    """

    family: str
    method: str
    granularity: str = "weight"
    sparsity: float | None = None
    num_samples: int = 1_000
    repair: str = ""
    shown: int = SHOWN
    seed: int = 0

    def __post_init__(self) -> None:
        find_method(self.method, self.family)
        if self.family not in TRIED:
            raise SettingsError(
                f"{FAMILIES[self.family]}: {self.method!r} is not tried beside another method.",
                f"Choose a method of the families {', '.join(TRIED)}.",
            )
        check_granularity(self.granularity)
        self._check_suits()
        if not 0.01 <= self.level <= 0.99:
            raise SettingsError(f"The sparsity is {self.level!r}.", "Choose 0.01 to 0.99.")
        if self.num_samples < 1:
            raise SettingsError(f"num_samples is {self.num_samples}.", "Give at least 1.")
        if self.repair:
            get_repair(self.repair)
        if not LEAST_SHOWN <= self.shown <= MOST_SHOWN:
            raise SettingsError(
                f"shown is {self.shown}.", f"Choose {LEAST_SHOWN} to {MOST_SHOWN:,} images."
            )

    def _check_suits(self) -> None:
        """Refuse a method that cannot cut at this granularity."""
        if self.family in ("schedule", "sparse_training"):
            SparseTrainingSettings(method=self.method, granularity=self.granularity)
        ranks = CRITERIA[self.method].weights if self.family == "criterion" else True
        if self.granularity == "weight" and ranks is None:
            raise SettingsError(
                f"{CRITERIA[self.method].title} ranks whole channels, not single weights.",
                "Try it on channels.",
            )

    @property
    def level(self) -> float:
        """The part that is pruned."""
        return GRANULARITIES[self.granularity] if self.sparsity is None else self.sparsity

    @property
    def rival(self) -> str:
        """What the method is put beside: the usual choice of its family."""
        usual, other = {
            "criterion": (MAGNITUDE, "random"),
            "allocation": ("uniform", "random"),
            "repair": ("none", "full"),
            "finetuning": (PLAIN, PLAIN),
            "schedule": (ONCE, ONCE),
            "sparse_training": (ONCE, ONCE),
        }[self.family]
        return other if self.method == usual else usual

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TryingSettings":
        """The reverse of ``to_dict``."""
        return cls(**values)


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        method: Its name; ``plain`` for training without the option, ``once`` for magnitude cut
            at once.
        plan: What was pruned.
        steps: Name in ``STEPS`` to the accuracy then.
        seconds: What took how long: ``plan`` (finding what to prune, scores included),
            ``repaired``, ``finetuned``.
        notes: What a person should know about it.
    """

    method: str
    plan: PruningPlan
    steps: Mapping[str, Proportion]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "plan": self.plan.to_dict(),
            "steps": {name: found.to_dict() for name, found in self.steps.items()},
            "seconds": dict(self.seconds),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Side":
        """The reverse of ``to_dict``."""
        steps = {name: Proportion.from_dict(found) for name, found in values["steps"].items()}
        plan = PruningPlan.from_dict(values["plan"])
        return cls(**dict(values) | {"plan": plan, "steps": steps, "notes": tuple(values["notes"])})


@dataclass(frozen=True)
class Trial:
    """A method beside the usual choice.

    Attributes:
        settings: What was tried and how.
        model: Digest of the model.
        data: Digest of the data.
        dense: Accuracy of the dense model on the same images.
        own: The method.
        rival: The usual choice.
        compared: Name of a step to the method's accuracy against its rival's, image by image.
    """

    settings: TryingSettings
    model: str
    data: str
    dense: Proportion
    own: Side
    rival: Side
    compared: Mapping[str, Paired] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "model": self.model,
            "data": self.data,
            "dense": self.dense.to_dict(),
            "own": self.own.to_dict(),
            "rival": self.rival.to_dict(),
            "compared": {name: found.to_dict() for name, found in self.compared.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Trial":
        """The reverse of ``to_dict``."""
        return cls(
            TryingSettings.from_dict(values["settings"]), values["model"], values["data"],
            Proportion.from_dict(values["dense"]), Side.from_dict(values["own"]),
            Side.from_dict(values["rival"]),
            {name: Paired.from_dict(found) for name, found in values["compared"].items()},
        )  # fmt: skip


def check_granularity(name: str) -> None:
    """Refuse a granularity at which methods are not tried.

    Raises:
        SettingsError: With those that there are.
    """
    if name not in GRANULARITIES:
        raise SettingsError(
            f"Methods are not tried at granularity {name!r}.", suggest(name, GRANULARITIES)
        )


def trial_key(model: str, data: str, settings: TryingSettings) -> str:
    """Names a model, data and what was tried, all by content."""
    whole = replace(settings, sparsity=settings.level).to_dict()
    return digest_of_json({"model": model, "data": data, "settings": whole})
