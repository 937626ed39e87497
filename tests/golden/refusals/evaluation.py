"""Robustness and ensembles that cannot be measured."""

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from tests.golden.refusals.values import tiny
from workbench.corruptions import corrupt
from workbench.ensembles import EnsembleSettings, combine_models
from workbench.loading import load_data, load_model
from workbench.robustness import RobustnessSettings, measure_robustness

MAKERS = Makers()


@MAKERS
def robustness_unknown_corruption(folder):
    """A corruption that is not there."""
    RobustnessSettings(("gaussian_nose",))


@MAKERS
def robustness_severity_of_six(folder):
    """A severity beyond the strongest."""
    RobustnessSettings(severities=(6,))


@MAKERS
def robustness_no_severity(folder):
    """No severity at all."""
    RobustnessSettings(severities=())


@MAKERS
def robustness_no_images(folder):
    """No images to measure on."""
    RobustnessSettings(num_samples=0)


@MAKERS
def robustness_no_model(folder):
    """No model to measure."""
    measure_robustness({}, load_data("digits"), RobustnessSettings())


@MAKERS
def robustness_data_of_another_shape(folder):
    """Images that the model does not take."""
    measure_robustness({"tiny": tiny()}, load_data("digits"), RobustnessSettings())


@MAKERS
def corruption_of_half_a_severity(folder):
    """A severity between two."""
    import numpy as np

    corrupt(np.zeros((1, 1, 8, 8), np.float32), "blur", 2.5)


@MAKERS
def command_severity_between_two(folder):
    """A severity between two on the command line."""
    run("robustness", "digits-mlp", "--severities", "1.5")


@MAKERS
def command_against_an_empty_folder(folder):
    """A folder that is no export."""
    run("robustness", "digits-mlp", "--against", folder)


@MAKERS
def ensemble_unknown_method(folder):
    """A way to combine that is not there."""
    EnsembleSettings(("votes",))


@MAKERS
def ensemble_negative_seed(folder):
    """A seed below 0."""
    EnsembleSettings(seed=-1)


@MAKERS
def ensemble_of_one(folder):
    """One model alone."""
    model = load_model("digits-mlp")
    combine_models(model, {"one": model}, load_data("digits"))


@MAKERS
def ensemble_of_none(folder):
    """No model."""
    combine_models(load_model("digits-mlp"), {}, load_data("digits"))


@MAKERS
def ensemble_of_seventeen(folder):
    """More models than are searched."""
    model = load_model("digits-mlp")
    combine_models(model, {str(n): model for n in range(17)}, load_data("digits"))


@MAKERS
def command_ensemble_without_members(folder):
    """An ensemble without its members."""
    run("ensemble", "digits-mlp")
