"""What a measurement of robustness is asked and what it finds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from workbench.corruptions import CORRUPTIONS, SEVERITIES, get_corruption
from workbench.errors import SettingsError
from workbench.paired import Proportion

CLEAN = "clean"
RESAMPLES = 5_000


@dataclass(frozen=True)
class RobustnessSettings:
    """Which corruptions, how strong, on how many images.

    Attributes:
        corruptions: Names in ``CORRUPTIONS``; empty takes all.
        severities: Out of 1 to 5.
        num_samples: Test images, the same for every corruption and model; fewer where the data
            hold fewer.
        seed: Chooses the images and decides everything random in the corruptions.

    Raises:
        SettingsError: If a name is unknown or a number out of range.
    """

    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = SEVERITIES
    num_samples: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.corruptions:
            get_corruption(name)
        chosen = tuple(name for name in CORRUPTIONS if name in self.corruptions)
        object.__setattr__(self, "corruptions", chosen or tuple(CORRUPTIONS))
        for severity in self.severities:
            CORRUPTIONS[self.corruptions[0]].strength(severity, 32)
        if not self.severities:
            raise SettingsError("No severity was chosen.", "Choose at least one, from 1 to 5.")
        object.__setattr__(self, "severities", tuple(sorted({int(s) for s in self.severities})))
        _check_whole("num_samples", self.num_samples, 1)
        _check_whole("seed", self.seed, 0)

    @property
    def conditions(self) -> tuple[tuple[str, int], ...]:
        """Every corruption with every severity."""
        return tuple((name, level) for name in self.corruptions for level in self.severities)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = asdict(self)
        return values | {name: list(values[name]) for name in ("corruptions", "severities")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RobustnessSettings":
        """The reverse of ``to_dict``; what is missing takes its default."""
        known = {field.name for field in fields(cls)}
        held = {name: value for name, value in values.items() if name in known}
        for name in ("corruptions", "severities"):
            if name in held:
                held[name] = tuple(held[name])
        return cls(**held)


@dataclass(frozen=True)
class MeanAccuracy:
    """Accuracy averaged over corruptions and severities, all alike.

    Attributes:
        accuracy: The mean; or the difference of two models' means.
        ci_low: Lower end of the 95 % interval: percentile bootstrap over images, each with all its
            corruptions; corruptions and severities are taken as fixed.
        ci_high: Upper end.
    """

    accuracy: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class ModelRobustness:
    """What one model recognises.

    Attributes:
        name: What a page shows.
        digest: Of the model.
        samples: Images of each condition.
        hits: ``clean`` or ``corruption-severity`` to a hexadecimal number with a bit for each
            image, set where it is recognised; the first image is the lowest bit.
    """

    name: str
    digest: str
    samples: int
    hits: Mapping[str, str]

    def score(self, corruption: str = CLEAN, severity: int = 0) -> Proportion | None:
        """Accuracy on clean images or under a corruption; None where not measured."""
        hits = self.hits.get(condition_name(corruption, severity))
        return None if hits is None else Proportion.of(int(hits, 16).bit_count(), self.samples)

    def counts(self, settings: RobustnessSettings) -> np.ndarray:
        """For each image under how many of the conditions it is recognised, ``(samples,)``."""
        return np.sum([self._right(*one) for one in settings.conditions], axis=0)

    def _right(self, corruption: str, severity: int) -> np.ndarray:
        number = int(self.hits[condition_name(corruption, severity)], 16)
        packed = np.frombuffer(number.to_bytes((self.samples + 7) // 8, "little"), np.uint8)
        return np.unpackbits(packed, count=self.samples, bitorder="little").astype(np.int64)


@dataclass(frozen=True)
class Robustness:
    """Models side by side on the same corrupted images.

    Attributes:
        settings: What was asked.
        data: Digest of the data.
        split: Always ``test``.
        models: One entry a model, the one that others are compared with first.
    """

    settings: RobustnessSettings
    data: str
    models: tuple[ModelRobustness, ...]
    split: str = "test"

    def is_whole(self, model: ModelRobustness) -> bool:
        """Whether every condition of a model is measured."""
        wanted = {condition_name(*one) for one in self.settings.conditions} | {CLEAN}
        return wanted <= set(model.hits)

    @property
    def complete(self) -> bool:
        """Whether everything is measured."""
        return all(self.is_whole(model) for model in self.models)

    def mean(self, model: ModelRobustness) -> MeanAccuracy | None:
        """The mean corruption accuracy of a model; None before all is measured."""
        if not self.is_whole(model):
            return None
        return _bootstrap(model.counts(self.settings), len(self.settings.conditions))

    def difference(self, model: ModelRobustness) -> MeanAccuracy | None:
        """Mean corruption accuracy minus that of the first model, image by image."""
        first = self.models[0]
        if not self.is_whole(model) or not self.is_whole(first):
            return None
        apart = model.counts(self.settings) - first.counts(self.settings)
        return _bootstrap(apart, len(self.settings.conditions))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "data": self.data,
            "split": self.split,
            "complete": self.complete,
            "models": [self._describe(model) for model in self.models],
        }

    def _describe(self, model: ModelRobustness) -> dict[str, Any]:
        clean, mean, apart = model.score(), self.mean(model), self.difference(model)
        points = [
            {"corruption": name, "severity": level} | found.to_dict()
            for name, level in self.settings.conditions
            if (found := model.score(name, level)) is not None
        ]
        return {
            "name": model.name, "digest": model.digest, "samples": model.samples,
            "clean": clean and clean.to_dict(), "points": points,
            "mean_corruption_accuracy": mean and asdict(mean),
            "difference_to_first": apart and asdict(apart),
        }  # fmt: skip


def condition_name(corruption: str, severity: int) -> str:
    """``clean``, or a corruption and its severity, as in ``blur-3``."""
    return CLEAN if corruption == CLEAN else f"{corruption}-{severity}"


def _bootstrap(counts: np.ndarray, conditions: int) -> MeanAccuracy:
    """Mean of counts over images and conditions; images are drawn anew, with all that is theirs.

    Drawing images is drawing their counts, of which there are few kinds: a multinomial.

    Reference:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    values, often = np.unique(counts, return_counts=True)
    samples = len(counts)
    drawn = np.random.default_rng(0).multinomial(samples, often / samples, RESAMPLES)
    means = drawn @ values / (samples * conditions)
    mean = float(counts.mean() / conditions)
    low, high = np.quantile(means, [0.025, 0.975])
    return MeanAccuracy(mean, min(float(low), mean), max(float(high), mean))


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}.", f"Give a whole number from {least}.")
