"""What an arena found, as plain values, and what follows from them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

from workbench.accounting import PlanSize
from workbench.arena.settings import OWN, ArenaSettings
from workbench.metrics import Score
from workbench.pareto import pareto_front
from workbench.plan import PruningPlan, digest_of_json

Metric = Literal["accuracy", "loss"]
AXES = ("params", "macs", "bytes", "latency")


@dataclass(frozen=True)
class ArenaEntry:
    """One plan at one budget, measured; or the reason why there is none.

    Attributes:
        method: A name in ``ALLOCATIONS``, or ``own`` for the person's plan.
        factor: The budget: one part in so many of the dense model's.
        plan: What was pruned; None where the budget cannot be met.
        size: What it leaves.
        score: After repair, and after fine-tuning where asked.
        seconds: Time that pruning, repair and training took.
        latency: Measured time as a part of the dense model's, both timed in turns; None where not
            asked for.
        hits: Which images were recognised, as a hexadecimal number with one bit an image: two
            entries can be compared image by image.
        scaled: Whether it is the person's plan at another budget than its own.
        reason: Why there is no plan or no score; empty where there are both.
    """

    method: str
    factor: float
    plan: PruningPlan | None = None
    size: PlanSize | None = None
    score: Score | None = None
    seconds: float = 0.0
    latency: float | None = None
    hits: str = ""
    scaled: bool = False
    reason: str = ""

    def kept(self, axis: str) -> float | None:
        """What is left of the dense model along an axis, as a fraction; None where not known."""
        if axis == "latency":
            return self.latency
        return None if self.size is None else kept_of_size(self.size, axis)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return vars(self) | {
            "plan": self.plan and self.plan.to_dict(),
            "size": self.size and asdict(self.size),
            "score": self.score and self.score.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ArenaEntry":
        """The reverse of ``to_dict``."""
        plan, size, score = values["plan"], values["size"], values["score"]
        return cls(**dict(values) | {
            "plan": None if plan is None else PruningPlan.from_dict(plan),
            "size": None if size is None else PlanSize(**size),
            "score": None if score is None else Score.from_dict(score),
        })  # fmt: skip


@dataclass(frozen=True)
class Arena:
    """Every plan that competed, measured on the same images.

    Attributes:
        settings: Who competed and how.
        model: Digest of the model.
        data: Digest of the data.
        split: Whose images: ``validation`` for choices, ``test`` for final numbers.
        dense: The dense model; None if stopped before it was measured.
        entries: By rising factor; the person's plan first, then the allocations in their order.
        curves: Digest of the sensitivity curves that allocations used; empty where none needed any.
        complete: Whether everybody was measured.
    """

    settings: ArenaSettings
    model: str
    data: str
    split: str
    dense: Score | None
    entries: tuple[ArenaEntry, ...] = field(repr=False)
    curves: str = ""
    complete: bool = True

    @cached_property
    def factors(self) -> tuple[float, ...]:
        """The budgets, rising; that of the person's plan among them."""
        return tuple(sorted({entry.factor for entry in self.entries}))

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Everybody who competed: the person's plan first, then in the order of the entries."""
        found = dict.fromkeys(entry.method for entry in self.entries)
        return tuple(sorted(found, key=lambda method: method != OWN))

    @cached_property
    def measured(self) -> tuple[ArenaEntry, ...]:
        """The entries with a score."""
        return tuple(entry for entry in self.entries if entry.score is not None)

    @cached_property
    def own_factor(self) -> float | None:
        """The budget that is the size of the person's plan; None where it did not compete."""
        return next((e.factor for e in self.entries if e.method == OWN and not e.scaled), None)

    def entry(self, method: str, factor: float) -> ArenaEntry | None:
        """The entry of a method at a budget, or None."""
        return next(
            (e for e in self.entries if (e.method, e.factor) == (method, factor)), None
        )  # fmt: skip

    def best(self, factor: float, by: Metric = "accuracy") -> ArenaEntry | None:
        """The entry of most accuracy, or of least loss, at a budget; the other decides ties."""
        there = [(e, e.score) for e in self.measured if e.factor == factor]
        ranks = [(score.accuracy, -score.loss, e) for e, score in there if score is not None]
        places = (0, 1) if by == "accuracy" else (1, 0)
        found = max(ranks, key=lambda one: [one[place] for place in places], default=None)
        return found[2] if found else None

    def ties(self, factor: float) -> tuple[str, ...]:
        """Methods that cannot be told from the most accurate at a budget; it is not among them.

        All saw the same images, so they are compared image by image (see ``sign_test``), at 95 %
        over all comparisons with the best.
        """
        best = self.best(factor)
        if best is None:
            return ()
        others = [e for e in self.measured if e.factor == factor and e is not best]
        least = least_apart(len(others))
        return tuple(entry.method for entry in others if sign_test(entry, best) < least)

    def axes(self) -> tuple[str, ...]:
        """What the entries can be drawn against; latency only where it was measured."""
        timed = any(entry.latency is not None for entry in self.measured)
        return AXES if timed else AXES[:3]

    def on_front(self, axis: str) -> dict[str, int]:
        """How many points of the Pareto front along an axis each method holds; most first."""
        drawn = [
            (entry.method, kept, entry.score.accuracy)
            for entry in self.measured
            if entry.score is not None and (kept := entry.kept(axis)) is not None
        ]
        counts: dict[str, int] = {}
        for index in pareto_front([(kept, accuracy) for _, kept, accuracy in drawn]):
            counts[drawn[index][0]] = counts.get(drawn[index][0], 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def key(self) -> str:
        """Names the model, the data and what was asked."""
        return arena_key(self.model, self.data, self.settings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "settings": self.settings.to_dict(),
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "dense": self.dense and self.dense.to_dict(),
            "entries": [entry.to_dict() for entry in self.entries],
            "curves": self.curves,
            "complete": self.complete,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Arena":
        """The reverse of ``to_dict``."""
        dense = values["dense"]
        return cls(**dict(values) | {
            "settings": ArenaSettings.from_dict(values["settings"]),
            "dense": None if dense is None else Score.from_dict(dense),
            "entries": tuple(map(ArenaEntry.from_dict, values["entries"])),
        })  # fmt: skip


def sign_test(one: ArenaEntry, other: ArenaEntry) -> float:
    """How far apart two entries are, in standard deviations of what chance does.

    Counts the images that only one of the two recognises.

    Reference:
        McNemar 1947, "Note on the sampling error of the difference between correlated
        proportions"; with the continuity correction of Edwards 1948.
    """
    a, b = int(one.hits or "0", 16), int(other.hits or "0", 16)
    only_a, only_b = (a & ~b).bit_count(), (b & ~a).bit_count()
    return max(0, abs(only_a - only_b) - 1) / math.sqrt(max(1, only_a + only_b))


def least_apart(comparisons: int) -> float:
    """Standard deviations from which a difference is no noise, at 95 % over so many comparisons.

    Where the best of several is picked after the fact, one of them is lucky (Bonferroni).
    """
    return NormalDist().inv_cdf(1 - 0.025 / max(1, comparisons))


def arena_key(model: str, data: str, settings: ArenaSettings) -> str:
    """Names a model, data and what was asked, all by content."""
    return digest_of_json({"model": model, "data": data, "settings": settings.to_dict()})


def kept_of_size(size: PlanSize, axis: str) -> float:
    """Non-zero parameters, MACs or bytes as a fraction of the dense model's."""
    now, dense = {
        "params": (size.num_nonzero, size.num_params),
        "macs": (size.macs, size.dense_macs),
        "bytes": (size.bytes, size.dense_bytes),
    }[axis]
    return now / max(1, dense)
