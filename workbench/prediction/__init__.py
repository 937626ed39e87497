"""What a plan will probably cost: its loss and accuracy, with a band, before it is measured.

    predictor = fit_predictor(curves.baseline, curves.points, chance=0.1, plans=measured)
    predictor.predict({"conv1": 0.5, "conv2": 0.8})

``loss_curve`` draws the curves through measured points, ``predictor`` adds them up and is what the
page's scripts mirror, ``fitting`` learns from plans that were measured, ``prior`` holds what was
learnt beforehand from plans of the sample models.
"""

from workbench.prediction.fitting import (
    MeasuredPlan,
    MeasuredPoint,
    fit_predictor,
    predict_in_turn,
)
from workbench.prediction.loss_curve import LossCurve, fit_loss_curve
from workbench.prediction.predictor import Correction, Prediction, Predictor, Scored
from workbench.prediction.prior import PRIOR, CurvesRepair, Prior, Shift

__all__ = [
    "PRIOR",
    "Correction",
    "CurvesRepair",
    "LossCurve",
    "MeasuredPlan",
    "MeasuredPoint",
    "Prediction",
    "Predictor",
    "Prior",
    "Scored",
    "Shift",
    "fit_loss_curve",
    "fit_predictor",
    "predict_in_turn",
]
