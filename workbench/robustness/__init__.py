"""Robustness: accuracy on corrupted test images, dense beside pruned."""

from workbench.robustness.measuring import measure_robustness, read_robustness
from workbench.robustness.pixels import example_images, example_sheet
from workbench.robustness.values import (
    CLEAN,
    MeanAccuracy,
    ModelRobustness,
    Robustness,
    RobustnessSettings,
    condition_name,
)

__all__ = [
    "CLEAN",
    "MeanAccuracy",
    "ModelRobustness",
    "Robustness",
    "RobustnessSettings",
    "condition_name",
    "example_images",
    "example_sheet",
    "measure_robustness",
    "read_robustness",
]
