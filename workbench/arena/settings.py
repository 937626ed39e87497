"""What an arena is asked: who competes, at which budgets, and how everybody is measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workbench.errors import PlanError, SettingsError
from workbench.finetune_settings import FineTuneSettings
from workbench.granularity import parse_granularity
from workbench.names import suggest
from workbench.plan import PruningPlan

UNITS = ("params", "macs", "bytes", "latency")
FACTORS = (2.0, 4.0, 8.0, 16.0)
MAX_FACTOR, MAX_FACTORS = 1_000, 12
OWN, REFINED = "own", "refined"
"""Methods of the person's own plan, and of the optimal plan refined by measured moves."""
MAX_REFINE = 200


@dataclass(frozen=True)
class ArenaSettings:
    """Who competes at which budgets, and how everybody is measured.

    Attributes:
        granularity: What goes together, the same for all.
        criterion: How weights are ranked, the same for all.
        channel_multiple: Kept channels are rounded to a multiple of this.
        seed: Seed of the criterion, the images and whatever is random.
        unit: What a budget counts: ``params``, ``macs``, ``bytes`` or ``latency``.
        factors: Budgets: a model may keep one part in so many of the dense model's, each above 1;
            kept in rising order, equal ones once.
        methods: Names in ``ALLOCATIONS``; empty lets all compete.
        repair: What is done to every pruned model before it is measured, a name in ``REPAIRS``.
        repair_samples: Calibration images of the repair.
        finetune: How every model is trained after that; None trains none.
        num_samples: Images that every model is measured on, the same for all; fewer where the
            data hold fewer.
        own: The person's plan. It competes at its own size, where every allocation gets that size
            as its budget, and scaled at the other budgets; None or an empty plan does not compete.
        refine: Plans to measure while the optimal one is refined at every budget, on validation
            images; the refined one competes as well. 0 refines none.
        protected: Groups that the allocations leave dense; None protects the classifier.
        locked: Groups that they hold at a sparsity.
        bounds: Group to its least and most sparsity, for the allocations.
        timed: Whether every model is timed beside the dense one, in turns; budgets in latency
            are met by arithmetic from measured times of single groups, so there it always is.

    Raises:
        SettingsError: If a value is out of range or a name unknown.
        PlanError: If a method is unknown or the plan is of another granularity.
    """

    granularity: str = "weight"
    criterion: str = "l1"
    channel_multiple: int = 1
    seed: int = 0
    unit: str = "params"
    factors: tuple[float, ...] = FACTORS
    methods: tuple[str, ...] = ()
    repair: str = "full"
    repair_samples: int = 1_000
    finetune: FineTuneSettings | None = None
    num_samples: int = 1_000
    own: PruningPlan | None = None
    refine: int = 0
    timed: bool = False
    protected: tuple[str, ...] | None = None
    locked: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        PruningPlan({}, self.granularity, self.criterion, seed=self.seed,
                    channel_multiple=self.channel_multiple)  # fmt: skip
        if self.unit not in UNITS:
            raise SettingsError(f"There is no budget in {self.unit!r}.", suggest(self.unit, UNITS))
        object.__setattr__(self, "factors", _checked_factors(self.factors))
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        if self.unit == "latency":
            object.__setattr__(self, "timed", True)
        _check_whole("num_samples", self.num_samples, 1)
        _check_whole("repair_samples", self.repair_samples, 2)
        _check_whole("refine", self.refine, 0)
        if self.refine == 1 or self.refine > MAX_REFINE:
            raise SettingsError(
                f"refine is {self.refine}.",
                f"Choose 2 to {MAX_REFINE}, or 0 for no refining: the plan itself is the first.",
            )
        _check_names(self)
        if self.own is not None and not any(self.own.sparsities.values()):
            object.__setattr__(self, "own", None)
        if self.own is not None and self.own.granularity != self.granularity:
            mine, theirs = parse_granularity(self.own.granularity), self.granularity
            raise PlanError(
                f"Your plan is of granularity {mine.name!r}, the arena of {theirs!r}.",
                "Choose the plan's granularity, or let your plan stay out.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "factors": list(self.factors),
            "methods": list(self.methods),
            "protected": None if self.protected is None else list(self.protected),
            "locked": dict(self.locked),
            "bounds": {name: list(ends) for name, ends in self.bounds.items()},
            "finetune": self.finetune and self.finetune.to_dict(),
            "own": self.own and self.own.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ArenaSettings":
        """The reverse of ``to_dict``; what is missing takes its default."""
        known = {one.name for one in fields(cls)}
        held = {key: value for key, value in values.items() if key in known}
        for key in ("factors", "methods", "protected"):
            if held.get(key) is not None:
                held[key] = tuple(held[key])
        if "bounds" in held:
            held["bounds"] = {name: (low, high) for name, (low, high) in held["bounds"].items()}
        if held.get("finetune") is not None:
            held["finetune"] = FineTuneSettings.from_dict(held["finetune"])
        if held.get("own") is not None:
            held["own"] = PruningPlan.from_dict(held["own"])
        return cls(**held)


def _checked_factors(factors: tuple[float, ...]) -> tuple[float, ...]:
    for factor in factors:
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not math.isfinite(factor) or not 1 < factor <= MAX_FACTOR:
            raise SettingsError(
                f"The budget {_written(factor)} is no factor above 1.",
                f"Give factors up to {MAX_FACTOR:,}, such as 4 for a quarter.",
            )
    found = tuple(sorted({float(factor) for factor in factors}))
    if len(found) > MAX_FACTORS:
        raise SettingsError(f"{len(found)} budgets were given.", f"Choose at most {MAX_FACTORS}.")
    return found


def _written(factor: object) -> str:
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    return f"{factor:g}" if number else repr(factor)


def _check_names(settings: ArenaSettings) -> None:
    from workbench.allocation import get_allocation
    from workbench.criteria import get_criterion
    from workbench.repair import get_repair

    for method in settings.methods:
        get_allocation(method)
    get_criterion(settings.criterion, settings.granularity)
    get_repair(settings.repair)
    if not settings.factors and settings.own is None:
        raise SettingsError("No budget was given.", "Give at least one factor, such as 4.")


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}.", f"Give a whole number from {least}.")
