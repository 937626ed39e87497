"""What an instant check says of the plan under the hand, for the scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.ui.equaliser.text import prediction_basis
from workbench.ui.i18n import _

QUICK_WAIT_MS, FULL_WAIT_MS = 120, 700


@dataclass(frozen=True)
class KnownAccuracy:
    """A measured accuracy and what it belongs to.

    Attributes:
        accuracy: Fraction of all validation images, estimated where not all were looked at.
        ci_low: Lower end of its 95 % interval.
        ci_high: Upper end; equal to the lower one where all images were looked at.
        samples: Images that were looked at.
        repair: What was done before; a name in ``REPAIRS``.
        sparsities: The plan, as in ``PruningPlan.sparsities``.
        dense: Accuracy of the dense model on the same images; None if not known.
        predicted: What had been predicted, as ``Prediction.to_dict()``; None without.
    """

    accuracy: float
    ci_low: float
    ci_high: float
    samples: int
    repair: str
    sparsities: Mapping[str, float]
    dense: float | None = None
    predicted: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Checked:
    """What is known by measuring of the plan under the hand, or else of another one.

    Attributes:
        known: The newest quick measurement; None where there is none.
        other: Whether it belongs to a plan of another granularity, criterion or rounding.
        final: That after the repair that the model gets in the end, of the same plan as ``known``;
            None where there is none, or it is the same. It is shown first.
        awaits: The repair after which the plan on the bench is being measured; empty if nothing is.
        asked: The sparsities of the plan on the bench.
        problem: Why it cannot be measured; empty where it can.
    """

    known: KnownAccuracy | None
    other: bool
    final: KnownAccuracy | None
    awaits: str
    asked: Mapping[str, float]
    problem: str = ""

    def to_dict(self, names: Sequence[str]) -> dict[str, object]:
        """Plain values for the scripts.

        Args:
            names: Of the columns.
        """
        wait = 0 if not self.awaits else FULL_WAIT_MS if self.awaits == "full" else QUICK_WAIT_MS
        values: dict[str, object] = {
            "wait_ms": wait,
            "asked": [float(self.asked.get(name, 0.0)) for name in names],
            "problem": self.problem,
            "values": None,
        }
        if self.known is None:
            return values
        return values | self._shown(self.final or self.known, names)

    def _shown(self, known: KnownAccuracy, names: Sequence[str]) -> dict[str, object]:
        predicted = known.predicted
        return {
            "values": [float(known.sparsities.get(name, 0.0)) for name in names],
            "other": self.other,
            "accuracy": known.accuracy,
            "low": known.ci_low,
            "high": known.ci_high,
            "note": self._note(known),
            "predicted": predicted
            and {
                "accuracy": predicted["accuracy"],
                "low": predicted["accuracy_low"],
                "high": predicted["accuracy_high"],
            },
            "inside": predicted is not None
            and known.ci_high >= predicted["accuracy_low"]
            and known.ci_low <= predicted["accuracy_high"],
        }

    def _note(self, known: KnownAccuracy) -> str:
        """Points lost, after what repair, on how many images; and what the quick repair gives."""
        parts = [prediction_basis(known.repair), _("{n} images").format(n=f"{known.samples:,}")]
        if known.dense is not None:
            points = _signed(known.accuracy - known.dense)
            parts.insert(0, _("{points} points").format(points=points))
        note = ", ".join(parts)
        if self.known is not None and known is not self.known:
            quick = _("; {basis} {accuracy} %").format(
                basis=prediction_basis(self.known.repair),
                accuracy=f"{100 * self.known.accuracy:.1f}",
            )
            if self.known.ci_high > self.known.ci_low:
                quick += _(" ({low} to {high})").format(
                    low=f"{100 * self.known.ci_low:.1f}", high=f"{100 * self.known.ci_high:.1f}"
                )
            return note + quick
        if self.awaits == "full" and not self.other:
            return note + _("; full repair: being measured")
        return note


def _signed(difference: float) -> str:
    """Points with their sign, as the scripts write them."""
    points = f"{100 * abs(difference):.1f}"
    if points == "0.0":
        return "\N{PLUS-MINUS SIGN}0.0"
    return ("\N{MINUS SIGN}" if difference < 0 else "+") + points
