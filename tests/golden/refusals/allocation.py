"""Targets, bounds, curves and floors that an allocation cannot use."""

from dataclasses import replace
from functools import cache, partial

from tests.golden.refusals.table import Makers
from tests.unit.small import small_model, stripes_data
from workbench.allocation import Budget, LatencyTable, allocate
from workbench.cli.curve_files import read_curves
from workbench.floor import smallest_above_floor
from workbench.groups import find_groups
from workbench.refine import refine
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.trials import TrialSettings

MAKERS = Makers()
HALF = Budget("params", 0.5)


@cache
def curves():
    """What cutting each layer of the small model costs."""
    settings = SensitivitySettings((0.5, 0.9), 8)
    return measure_sensitivity(small_model(), stripes_data(), settings)


@MAKERS
def allocation_without_curves(folder):
    """A method that needs curves, without any."""
    allocate(small_model(), "optimal", budget=HALF)


@MAKERS
def allocation_curves_of_weights_for_channels(folder):
    """Curves of weights where channels go."""
    allocate(small_model(), "greedy", budget=HALF, granularity="channel", curves=curves())


@MAKERS
def allocation_curves_of_another_model(folder):
    """Curves of a model with other weights."""
    other = replace(curves(), model="0123456789abcdef")
    allocate(small_model(), "equal_loss", budget=HALF, curves=other)


@MAKERS
def allocation_curves_lack_a_layer(folder):
    """Curves that stopped before the last layers."""
    part = replace(curves(), points=curves().points[:2])
    allocate(small_model(), "optimal", budget=HALF, curves=part)


@MAKERS
def allocation_bounds_swapped(folder):
    """The most before the least."""
    allocate(small_model(), "uniform", budget=HALF, bounds={"conv1": (0.8, 0.2)})


@MAKERS
def allocation_bounds_too_tight(folder):
    """Bounds that leave more than the budget."""
    allocate(small_model(), "uniform", budget=HALF, bounds={"fc": (0.0, 0.2)})


@MAKERS
def allocation_bounds_between_counts(folder):
    """Bounds between two numbers of channels."""
    bounds = {"conv1": (0.3, 0.4)}
    allocate(small_model(), "erk", sparsity=0.3, granularity="channel", bounds=bounds)


@MAKERS
def allocation_too_sparse_for_spared_ends(folder):
    """More than goes with the first layer spared."""
    allocate(small_model(), "uniform_plus", sparsity=0.99)


@MAKERS
def allocation_latency_of_weights(folder):
    """A budget in latency where weights become zero."""
    allocate(small_model(), "uniform", budget=Budget("latency", 0.5))


@MAKERS
def allocation_latency_without_times(folder):
    """A budget in latency without measured times."""
    allocate(small_model(), "uniform", budget=Budget("latency", 0.5), granularity="channel")


@MAKERS
def allocation_times_of_another_model(folder):
    """Times of a model with other weights."""
    table = LatencyTable("0123456789abcdef", "torch", 1, 1, 1.0)
    allocate(
        small_model(), "uniform", budget=Budget("latency", 0.5), granularity="channel",
        latencies=table,
    )  # fmt: skip


@MAKERS
def floor_in_percent(folder):
    """A floor in percent."""
    _search(92)


@MAKERS
def floor_above_the_dense_model(folder):
    """A floor that not even the dense model reaches."""
    _search(0.99)


def _search(floor):
    model = small_model()
    smallest_above_floor(
        model, stripes_data(), partial(_uniform, model), floor, groups=find_groups(model),
        settings=TrialSettings("none", 20),
    )  # fmt: skip


def _uniform(model, budget):
    return allocate(model, "uniform", budget=budget)


@MAKERS
def refine_by_one_evaluation(folder):
    """Only the plan itself would be measured."""
    model = small_model()
    plan = allocate(model, "uniform", budget=HALF)
    refine(
        model, stripes_data(), plan, curves(), "params", groups=find_groups(model), evaluations=1
    )


@MAKERS
def trial_of_no_images(folder):
    """A plan measured on no images."""
    TrialSettings(num_samples=0)


@MAKERS
def curves_missing(folder):
    """A file of curves that is not there."""
    read_curves(folder / "curves.json")


@MAKERS
def curves_of_something_else(folder):
    """A file that holds something else."""
    path = folder / "curves.json"
    path.write_text('{"plan": 1}')
    read_curves(path)
