"""Fractions with their intervals, and two classifiers compared on the same images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from workbench.metrics import Z_95, wilson_interval


@dataclass(frozen=True)
class Proportion:
    """So many of so many.

    Attributes:
        correct: Images classified correctly.
        samples: Images looked at.
        accuracy: The one divided by the other.
        ci_low: Lower end of its 95 % interval (Wilson).
        ci_high: Upper end.
    """

    correct: int
    samples: int
    accuracy: float
    ci_low: float
    ci_high: float

    @classmethod
    def of(cls, correct: int, samples: int) -> "Proportion":
        """From counts; at least one sample."""
        low, high = wilson_interval(correct, samples)
        return cls(correct, samples, correct / samples, low, high)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Proportion":
        """The reverse of ``to_dict``."""
        return cls(**values)


@dataclass(frozen=True)
class Paired:
    """How a second classifier does beside a first on the same images.

    Attributes:
        samples: Images both looked at.
        only_first: Images that only the first classifies correctly.
        only_second: Images that only the second does.
        difference: Accuracy of the second minus that of the first.
        ci_low: Lower end of the 95 % interval of the difference (Bonett and Price).
        ci_high: Upper end.
        p_value: Of McNemar's exact test, two-sided: how often chance alone would make a difference
            as large, were both as good.
    """

    samples: int
    only_first: int
    only_second: int
    difference: float
    ci_low: float
    ci_high: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Paired":
        """The reverse of ``to_dict``."""
        return cls(**values)


def compare_paired(only_first: int, only_second: int, samples: int) -> Paired:
    """Compare two classifiers by the images on which they disagree.

    Args:
        only_first: Images that only the first classifies correctly.
        only_second: Images that only the second does.
        samples: All images, at least 1.

    Reference:
        McNemar 1947, "Note on the sampling error of the difference between correlated
        proportions"; Bonett and Price 2012, "Adjusted Wald Confidence Interval for a Difference of
        Binomial Proportions Based on Paired Data".
    """
    from scipy.stats import binomtest

    apart = only_first + only_second
    p_value = float(binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
    first, second = (only_first + 1) / (samples + 2), (only_second + 1) / (samples + 2)
    middle = second - first
    half = Z_95 * math.sqrt((first + second - middle**2) / (samples + 2))
    difference = (only_second - only_first) / samples
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    return Paired(
        samples, only_first, only_second, difference, min(low, difference), max(high, difference),
        p_value,
    )  # fmt: skip


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests made at once, so that chance finds one in 20 such families.

    Reference:
        Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
