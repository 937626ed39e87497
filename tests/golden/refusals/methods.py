"""Methods that there are not, and trials that cannot be made."""

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from workbench.catalogue import find_method
from workbench.loading import load_data, load_model
from workbench.trying import TryingSettings, measure_costs, try_method

MAKERS = Makers()


@MAKERS
def method_unknown(folder):
    """A method's name with a letter missing."""
    find_method("taylr")


@MAKERS
def method_unlike_any(folder):
    """A word that is like no method's name."""
    find_method("zzzzzz")


@MAKERS
def method_unknown_family(folder):
    """A family in the plural."""
    find_method("l1", "criteria")


@MAKERS
def method_of_another_family(folder):
    """A repair among the criteria."""
    find_method("full", "criterion")


@MAKERS
def trying_an_ensemble(folder):
    """An ensemble tried on one model."""
    TryingSettings("ensemble", "vote")


@MAKERS
def trying_at_a_pattern(folder):
    """A criterion tried at N:M."""
    TryingSettings("criterion", "taylor", granularity="nm:2:4")


@MAKERS
def trying_everything_gone(folder):
    """A trial that prunes all."""
    TryingSettings("criterion", "taylor", sparsity=1.0)


@MAKERS
def trying_without_images(folder):
    """A trial on no validation image."""
    TryingSettings("criterion", "taylor", num_samples=0)


@MAKERS
def trying_with_few_shown(folder):
    """A training that is shown ten images."""
    TryingSettings("finetuning", "distillation", shown=10)


@MAKERS
def trying_channels_only(folder):
    """A criterion of channels on single weights."""
    TryingSettings("criterion", "fpgm")


@MAKERS
def trying_statistics_that_are_not_there(folder):
    """BatchNorm statistics of a network without BatchNorm."""
    settings = TryingSettings("repair", "bn")
    try_method(load_model("digits-mlp"), load_data("digits"), settings)


@MAKERS
def timing_blocks(folder):
    """Methods timed on blocks."""
    measure_costs(load_model("digits-mlp"), load_data("digits"), "block:4x4")


@MAKERS
def command_try_without_model(folder):
    """A method to try, but no model."""
    run("methods", "taylor", "--try")


@MAKERS
def command_methods_model_alone(folder):
    """A model, but nothing to do with it."""
    run("methods", "--model", "digits-mlp")


@MAKERS
def command_try_nothing(folder):
    """A model, but no method to try."""
    run("methods", "--try", "--model", "digits-mlp")


@MAKERS
def command_costs_of_one(folder):
    """Seconds of a single method."""
    run("methods", "taylor", "--costs", "--model", "digits-mlp")
