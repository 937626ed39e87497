"""What ensembles are asked, and what comes of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from workbench.ensembles.registry import ENSEMBLES, get_ensemble
from workbench.errors import SettingsError
from workbench.paired import Paired, Proportion

UNITS = ("bytes", "macs")
SAME = 0.01
"""An ensemble is as large as the dense model where it differs by no more than this part."""
MAX_MEMBERS = 16


@dataclass(frozen=True)
class EnsembleSettings:
    """How to combine models.

    Attributes:
        methods: Names in ``ENSEMBLES``; empty takes all.
        search: Whether to look among the models for the best ensemble within the dense model's
            bytes, and for the best within its MACs.
        seed: Cuts the validation images into five parts where a method learns from them.

    Raises:
        SettingsError: If a method is unknown or the seed no whole number from 0.
    """

    methods: tuple[str, ...] = ()
    search: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.methods:
            get_ensemble(name)
        chosen = tuple(name for name in ENSEMBLES if name in self.methods)
        object.__setattr__(self, "methods", chosen or tuple(ENSEMBLES))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise SettingsError(f"seed is {self.seed!r}.", "Give a whole number from 0.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"methods": list(self.methods)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EnsembleSettings":
        """The reverse of ``to_dict``; what is missing takes its default."""
        known = {field.name for field in fields(cls)}
        held = {name: value for name, value in values.items() if name in known}
        return cls(**held | {"methods": tuple(held.get("methods", ()))})


@dataclass(frozen=True)
class Member:
    """One model alone.

    Attributes:
        name: What a page shows.
        digest: Of the model.
        bytes: Stored size, zeros left out.
        macs: Theoretical multiply-accumulates for one image.
        validation: Accuracy on the validation split, where choices are made.
        test: Accuracy on the test split.
        against_dense: The difference to the dense model on the test split; None for itself.
    """

    name: str
    digest: str
    bytes: int
    macs: int
    validation: Proportion
    test: Proportion
    against_dense: Paired | None = None

    def size(self, unit: str) -> int:
        """Bytes or MACs."""
        return self.bytes if unit == "bytes" else self.macs

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Member":
        """The reverse of ``to_dict``."""
        return cls(**_revived(values))


@dataclass(frozen=True)
class Combined:
    """Several models that answer as one.

    Attributes:
        method: A name in ``ENSEMBLES``.
        members: Their names.
        bytes: Stored size of all together, and of what the method learnt.
        macs: Theoretical multiply-accumulates of all together for one image, likewise.
        validation: Accuracy on the validation split; by cross-validation where the method learns.
        test: Accuracy on the test split.
        against_dense: The difference to the dense model on the test split.
    """

    method: str
    members: tuple[str, ...]
    bytes: int
    macs: int
    validation: Proportion
    test: Proportion
    against_dense: Paired

    def size(self, unit: str) -> int:
        """Bytes or MACs."""
        return self.bytes if unit == "bytes" else self.macs

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"members": list(self.members)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Combined":
        """The reverse of ``to_dict``."""
        return cls(**_revived(values) | {"members": tuple(values["members"])})


@dataclass(frozen=True)
class Ensembles:
    """Ensembles of some models beside the dense model.

    Attributes:
        settings: What was asked.
        data: Digest of the data.
        dense: The dense model alone.
        members: The models, each alone.
        combined: All of them together, one entry a method.
        best: ``bytes`` and ``macs`` to the ensemble of at least two of them that has the highest
            validation accuracy and is no larger than the dense model; None where none fits.
        tried: How many ensembles that search compared, by the same keys.
    """

    settings: EnsembleSettings
    data: str
    dense: Member
    members: tuple[Member, ...]
    combined: tuple[Combined, ...]
    best: Mapping[str, Combined | None]
    tried: Mapping[str, int]

    def standing(self, one: Member | Combined, unit: str) -> str:
        """``below``, ``at`` or ``above`` the dense model's bytes or MACs."""
        part = self.part(one, unit)
        return "below" if part < 1 - SAME else "at" if part <= 1 + SAME else "above"

    def part(self, one: Member | Combined, unit: str) -> float:
        """Bytes or MACs as a part of the dense model's."""
        return one.size(unit) / max(1, self.dense.size(unit))

    def best_member(self, unit: str) -> Member | None:
        """The single model no larger than the dense one that is best on validation images."""
        fitting = [one for one in self.members if self.part(one, unit) <= 1]
        return max(fitting, key=lambda one: one.validation.accuracy, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; each ensemble says how it stands to the dense model."""
        best = {unit: found and self._told(found) for unit, found in self.best.items()}
        singles = {unit: self.best_member(unit) for unit in UNITS}
        return {
            "settings": self.settings.to_dict(),
            "data": self.data,
            "split": "test",
            "chosen_on": "validation",
            "dense": self.dense.to_dict(),
            "members": [one.to_dict() for one in self.members],
            "combined": [self._told(one) for one in self.combined],
            "best": best,
            "best_member": {unit: found and found.name for unit, found in singles.items()},
            "tried": dict(self.tried),
        }

    def _told(self, one: Combined) -> dict[str, Any]:
        budget = {
            unit: {"part_of_dense": self.part(one, unit), "standing": self.standing(one, unit)}
            for unit in UNITS
        }
        return one.to_dict() | {"budget": budget}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Ensembles":
        """The reverse of ``to_dict``."""

        def read(told: Mapping[str, Any]) -> Combined:
            return Combined.from_dict({k: v for k, v in told.items() if k != "budget"})

        return cls(
            EnsembleSettings.from_dict(values["settings"]), values["data"],
            Member.from_dict(values["dense"]), tuple(map(Member.from_dict, values["members"])),
            tuple(map(read, values["combined"])),
            {unit: told and read(told) for unit, told in values["best"].items()},
            dict(values["tried"]),
        )  # fmt: skip


def _revived(values: Mapping[str, Any]) -> dict[str, Any]:
    paired = values["against_dense"]
    return dict(values) | {
        "validation": Proportion.from_dict(values["validation"]),
        "test": Proportion.from_dict(values["test"]),
        "against_dense": paired and Paired.from_dict(paired),
    }
