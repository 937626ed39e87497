"""What the board predicts, and on what grounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.prediction import MeasuredPlan, Predictor, fit_predictor
from workbench.ui.equaliser.text import prediction_basis, prediction_origin

if TYPE_CHECKING:
    from workbench.curves import SensitivityCurves


@dataclass(frozen=True)
class Forecast:
    """A prediction and what it stands for.

    Attributes:
        predictor: Predicts loss and accuracy.
        repair: What comes before measuring; a name in ``REPAIRS``.
        num_plans: Measured plans that corrected it.
        same_criterion: Whether the curves are of the plan's criterion.
        same_repair: Whether they were measured after that repair.
    """

    predictor: Predictor
    repair: str
    num_plans: int = 0
    same_criterion: bool = True
    same_repair: bool = True

    def to_dict(self, names: Sequence[str]) -> dict[str, object]:
        """The table for the scripts, with one curve, or None, per column."""
        table = self.predictor.to_dict()
        curves = table["curves"]
        assert isinstance(curves, dict)
        return table | {
            "curves": [curves.get(name) for name in names],
            "basis": prediction_basis(self.repair),
            "origin": prediction_origin(self.num_plans, self.same_criterion, self.same_repair),
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
    own = curves.settings
    same_criterion = criterion in ("", own.criterion)
    same_repair = repair in ("", own.repair)
    predictor = fit_predictor(
        curves.baseline, curves.points, chance=1 / num_classes, plans=plans,
        same_criterion=same_criterion, same_repair=same_repair,
    )  # fmt: skip
    return Forecast(predictor, repair or own.repair, len(plans), same_criterion, same_repair)


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
