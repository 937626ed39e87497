"""Timings that cannot be taken."""

from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import tiny
from workbench.speedup import measure_speedup
from workbench.staircase import measure_staircase

MAKERS = Makers()


@MAKERS
def speedup_unknown_runtime(folder):
    """A runtime that is not timed here."""
    measure_speedup(tiny(), tiny(), runtime="onnx")


@MAKERS
def speedup_no_images(folder):
    """A pass of no images."""
    measure_speedup(tiny(), tiny(), runtime="torch", batch=0)


@MAKERS
def staircase_too_wide(folder):
    """More channels kept than the group has."""
    measure_staircase(tiny(), "conv1", counts=[1, 9], runtime="torch")


@MAKERS
def staircase_unknown_group(folder):
    """A group with a letter wrong."""
    measure_staircase(tiny(), "conw1", runtime="torch")
