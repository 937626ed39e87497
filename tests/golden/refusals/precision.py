"""Precisions of a sensitivity measurement that are refused."""

from tests.golden.refusals.table import Makers
from workbench.curves import SensitivitySettings

MAKERS = Makers()


@MAKERS
def sensitivity_unknown_precision(folder):
    """A precision nobody knows."""
    SensitivitySettings(precision="fats")


@MAKERS
def sensitivity_half_width_zero(folder):
    """An interval without width."""
    SensitivitySettings(precision="fast", half_width=0)


@MAKERS
def sensitivity_half_width_in_points(folder):
    """A half-width in points of accuracy instead of a fraction."""
    SensitivitySettings(precision="fast", half_width=1)
