"""The pruning plan: the one value that pages, links, recipes, command line and store share."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from workbench.errors import PlanError, SparsityError
from workbench.granularity import parse_granularity
from workbench.names import suggest

SCHEMA = 1
ALLOCATIONS = (
    "by_hand", "uniform", "uniform_plus", "global", "erk", "lamp", "equal_loss", "greedy",
    "optimal", "random", "stage", "cost_aware", "by_training",
)  # fmt: skip
_KEYS = (
    "schema", "model", "granularity", "channel_multiple", "criterion", "allocation", "seed",
    "sparsities",
)  # fmt: skip
MAX_MULTIPLE = 256


@dataclass(frozen=True)
class PruningPlan:
    """What to prune: one sparsity per group, and how to choose what goes.

    Attributes:
        sparsities: Group name to the fraction of it to prune, 0 <= sparsity < 1: of its weights,
            blocks or kernels, or for ``channel`` of its channels, neurons or heads (the channel
            pruning ratio). Groups that are not named stay dense. Read-only.
        granularity: What goes together (see ``workbench.granularity``).
        criterion: How weights are ranked (see ``workbench.criteria``).
        allocation: Where the sparsities came from: ``by_hand`` or a name in ``ALLOCATIONS``. It
            documents; the sparsities decide.
        seed: Seed of everything random in the criterion.
        model: Digest of the model the plan was made for, or empty.
        channel_multiple: The number of channels that stay is a multiple of this, or all of them;
            heads are not rounded. For granularity ``channel`` only.

    Raises:
        SparsityError: If a sparsity lies outside [0, 1).
        PlanError: If another field is not what it must be.
    """

    sparsities: Mapping[str, float] = field(default_factory=dict)
    granularity: str = "weight"
    criterion: str = "l1"
    allocation: str = "by_hand"
    seed: int = 0
    model: str = ""
    channel_multiple: int = 1

    def __post_init__(self) -> None:
        checked = {
            str(name): check_sparsity(name, value) for name, value in self.sparsities.items()
        }
        object.__setattr__(self, "sparsities", MappingProxyType(checked))
        kind = parse_granularity(self.granularity)
        _check_multiple(self.channel_multiple, kind.structured)
        if self.allocation not in ALLOCATIONS:
            raise PlanError(
                f"The plan names allocation {self.allocation!r}.",
                suggest(self.allocation, ALLOCATIONS),
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise PlanError(f"The plan's seed is {self.seed!r}.", "Give a whole number from 0.")

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, ...]:
        return (PruningPlan.from_dict, (self.to_dict(),))

    @property
    def digest(self) -> str:
        """Short hexadecimal name of the plan's content."""
        return digest_of_json(self.to_dict())

    def with_sparsities(
        self, sparsities: Mapping[str, float], allocation: str = "by_hand"
    ) -> "PruningPlan":
        """The same plan with other sparsities."""
        return replace(self, sparsities=dict(sparsities), allocation=allocation)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON or YAML."""
        structured = parse_granularity(self.granularity).structured
        multiple = {"channel_multiple": self.channel_multiple} if structured else {}
        return {
            "schema": SCHEMA,
            "model": self.model,
            "granularity": self.granularity,
            **multiple,
            "criterion": self.criterion,
            "allocation": self.allocation,
            "seed": self.seed,
            "sparsities": dict(self.sparsities),
        }

    @classmethod
    def from_dict(cls, values: object) -> "PruningPlan":
        """Read a plan back; every fault is named.

        Raises:
            PlanError: If a key is unknown, the schema is another or a value is of a wrong kind.
        """
        if values is None:
            raise PlanError("The plan is empty.", "Save a plan from the plan page first.")
        if not isinstance(values, Mapping):
            raise PlanError(
                f"The plan is a {type(values).__name__}, not a mapping.",
                "A plan file holds keys such as 'criterion' and 'sparsities'.",
            )
        unknown = [str(key) for key in values if key not in _KEYS]
        if unknown:
            raise PlanError(
                f"The plan holds the unknown key {unknown[0]!r}.",
                suggest(unknown[0], _KEYS),
            )
        schema = values.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise PlanError(
                f"The plan says schema {schema!r}; this version reads schema {SCHEMA}.",
                "Save the plan again with this version.",
            )
        sparsities = values.get("sparsities", {})
        if not isinstance(sparsities, Mapping):
            raise PlanError(
                f"The plan's 'sparsities' is a {type(sparsities).__name__}, not a mapping.",
                "Write one line per layer, such as 'conv1: 0.5'.",
            )
        for key in ("model", "granularity", "criterion", "allocation"):
            if not isinstance(values.get(key, ""), str):
                raise PlanError(f"The plan's {key!r} is {values[key]!r}.", "Write a word there.")
        rest = {key: values[key] for key in _KEYS[1:-1] if key in values}
        return cls(sparsities=sparsities, **rest)


def _check_multiple(value: object, structured: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_MULTIPLE:
        raise PlanError(
            f"The plan's channel_multiple is {value!r}.",
            f"Give a whole number from 1 to {MAX_MULTIPLE}, such as 8.",
        )
    if value > 1 and not structured:
        raise PlanError(
            f"The plan rounds to multiples of {value} channels but removes no channels.",
            "Leave channel_multiple out, or choose granularity 'channel'.",
        )


def check_sparsity(name: str, value: object) -> float:
    """Return ``value`` as a float, or refuse it by the group's name.

    Raises:
        SparsityError: If it is no number or lies outside [0, 1).
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SparsityError(
            f"{name} asks for sparsity {value!r}, which is not a number.",
            "Choose a value from 0 to 0.99.",
        )
    if math.isnan(value) or not 0 <= value < 1:
        raise SparsityError(
            f"{name} asks for sparsity {value:.2f}.", "Choose a value from 0 to 0.99."
        )
    return float(value)


def num_pruned(sparsity: float, count: int) -> int:
    """How many of ``count`` units a sparsity prunes: the nearest whole number, halves up.

    Never all of them: a layer whose last weight is gone passes nothing on.
    """
    return max(0, min(count - 1, math.floor(sparsity * count + 0.5)))


def digest_of_json(value: object) -> str:
    """Sixteen hexadecimal digits that name a JSON value by its content."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
