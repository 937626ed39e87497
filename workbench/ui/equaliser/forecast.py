"""What the board predicts, and on what grounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypedDict

from workbench.prediction import (
    CurvesRepair,
    MeasuredPlan,
    Predictor,
    fit_predictor,
)
from workbench.ui.equaliser.text import forecast_basis, prediction_origin

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves

_FROM_MILD = ("none", "bn", "full")


@dataclass(frozen=True)
class Forecast:
    """A prediction and what it stands for.

    Attributes:
        predictor: Predicts loss and accuracy.
        repair: What comes before measuring; a name in ``REPAIRS``.
        num_plans: Measured plans that corrected it.
        same_criterion: Whether the curves are of the plan's criterion.
        curves_repair: Whether they were measured after that repair, or after another.
    """

    predictor: Predictor
    repair: str
    num_plans: int = 0
    same_criterion: bool = True
    curves_repair: CurvesRepair = "same"

    def to_dict(self, names: Sequence[str]) -> dict[str, object]:
        """The table for the scripts, with one curve, or None, per column."""
        table = self.predictor.to_dict()
        curves, anchors = table["curves"], self.predictor.anchors
        assert isinstance(curves, dict)
        return table | {
            "curves": [curves.get(name) for name in names],
            "anchors": [
                asdict(one) | {"damages": [one.damages.get(name, 0.0) for name in names]}
                for one in anchors
            ],
            "basis": forecast_basis(self.repair, self.same_criterion),
            "origin": prediction_origin(
                self.num_plans, self.same_criterion, self.curves_repair == "same"
            ),
        }


def forecast_of(
    curves: SensitivityCurves | None,
    *,
    num_classes: int,
    criterion: str = "",
    repair: str = "",
    plans: Sequence[MeasuredPlan] = (),
) -> Forecast | None:
    """Fit a prediction to curves and to plans that were measured in full.

    Args:
        curves: Whole or partial; None, or curves without a point, predict nothing.
        num_classes: Classes the model tells apart.
        criterion: Of the plan; empty for that of the curves.
        repair: After which it is predicted; empty for that of the curves.
        plans: Measured after that repair with that criterion.
    """
    if curves is None or curves.baseline is None or not curves.points:
        return None
    options = forecast_options(curves, criterion, repair)
    predictor = fit_predictor(
        curves.baseline, curves.points, chance=1 / num_classes, plans=plans, **options
    )
    return Forecast(
        predictor, repair or curves.settings.repair, len(plans), options["same_criterion"],
        options["curves_repair"],
    )  # fmt: skip


class Options(TypedDict):
    """How the curves compare with what is to be predicted from them, for ``fit_predictor``."""

    same_criterion: bool
    curves_repair: CurvesRepair
    repaired: bool


def forecast_options(curves: SensitivityCurves, criterion: str = "", repair: str = "") -> Options:
    """Compare curves with what is to be predicted from them.

    Args:
        curves: What was measured.
        criterion: Of the plan; empty for that of the curves.
        repair: After which it is predicted; empty for that of the curves.
    """
    own = curves.settings
    return {
        "same_criterion": criterion in ("", own.criterion),
        "curves_repair": _compare(own.repair, repair or own.repair),
        "repaired": (repair or own.repair) != "none",
    }


def _compare(measured: str, predicted: str) -> CurvesRepair:
    """The repair that was measured, compared with the one that is predicted."""
    if measured == predicted:
        return "same"
    return "milder" if _FROM_MILD.index(measured) < _FROM_MILD.index(predicted) else "stronger"


@dataclass(frozen=True)
class Grounds:
    """What a prediction takes into account beside the curves.

    Attributes:
        criterion: Of the plan; empty for that of the curves.
        final_repair: The repair that the model will get in the end; empty for that of the curves.
        plans: Repair to the plans measured after it, with the plan's criterion.
    """

    criterion: str = ""
    final_repair: str = ""
    plans: Mapping[str, Sequence[MeasuredPlan]] | None = None

    def forecasts(
        self, curves: SensitivityCurves | None, num_classes: int
    ) -> tuple[Forecast | None, Forecast | None]:  # fmt: skip
        """What is predicted after the curves' repair, and after the final one if it is another."""
        if curves is None:
            return None, None
        plans = self.plans or {}
        near, final = curves.settings.repair, self.final_repair or curves.settings.repair
        found = [
            forecast_of(
                curves, num_classes=num_classes, criterion=self.criterion, repair=repair,
                plans=plans.get(repair, ()),
            )
            for repair in dict.fromkeys((near, final))
        ]  # fmt: skip
        return found[0], found[1] if len(found) > 1 else None
