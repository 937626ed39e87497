"""Clusters that are refused before anything is sent to them."""

from dataclasses import replace

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from workbench.curves import SensitivitySettings
from workbench.loading import load_data, load_model
from workbench.ray_points import ray_points
from workbench.sensitivity import measure_sensitivity

MAKERS = Makers()


@MAKERS
def ray_address_without_port(folder):
    """A host without a port."""
    ray_points("cluster.example")


@MAKERS
def ray_nobody_there(folder):
    """A port on which nobody listens."""
    run("sensitivity", "digits-mlp", "--ray", "localhost:1")


@MAKERS
def ray_model_of_no_architecture(folder):
    """A network that only this process can build."""
    model = replace(load_model("digits-mlp"), architecture="")
    source = ray_points("local")
    measure_sensitivity(model, load_data("digits"), SensitivitySettings(), source=source)
