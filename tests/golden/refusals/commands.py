"""Commands that are refused."""

import socket

import pytest

from tests.golden.refusals.models import saved, small, written
from tests.golden.refusals.table import Makers
from workbench.cli.app import prepare
from workbench.cli.parser import parse
from workbench.export.formats import safetensors_bytes
from workbench.loading import load_model

MAKERS = Makers()


def run(*words):
    """Read the words behind ``workbench`` and do what they say."""
    from workbench.cli.verbs import run_verb

    run_verb(parse([str(word) for word in words]))


@MAKERS
def command_unknown_verb(folder):
    """A verb with letters swapped."""
    parse(["prnue", "digits-mlp"])


@MAKERS
def command_unknown_option(folder):
    """An option with a letter missing."""
    parse(["inspect", "digits-mlp", "--jsn", "-"])


@MAKERS
def command_without_model(folder):
    """A verb without its model."""
    parse(["inspect"])


@MAKERS
def command_unknown_choice(folder):
    """A criterion nobody knows."""
    parse(["sensitivity", "digits-mlp", "--criterion", "l3"])


@MAKERS
def command_levels_text(folder):
    """Levels in words."""
    parse(["sensitivity", "digits-mlp", "--levels", "half"])


@MAKERS
def command_samples_text(folder):
    """A number of images in words."""
    parse(["sensitivity", "digits-mlp", "--samples", "many"])


@MAKERS
def command_shape_text(folder):
    """An image shape that is none."""
    parse(["inspect", "digits-mlp", "--input-shape", "28x28"])


@MAKERS
def command_port_text(folder):
    """A port that is none."""
    parse(["run", "--port", "http"])


@MAKERS
def command_port_taken(folder):
    """A port on which something listens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", TakenPort)
        prepare(parse(["run", "--port", "8501"]))


class TakenPort(socket.socket):
    """A socket whose port is always taken."""

    def bind(self, address):
        """Refuse as the system does."""
        raise OSError(98, "Address already in use")


@MAKERS
def command_run_unknown_model(folder):
    """The app started with a sample's name that has a letter missing."""
    prepare(parse(["run", "--model", "digit-mlp"]))


@MAKERS
def command_json_folder_missing(folder):
    """A result written into a folder that is not there."""
    run("inspect", "digits-mlp", "--json", folder / "no" / "result.json")


@MAKERS
def command_data_unknown(folder):
    """A file's model without its data."""
    run("evaluate", saved(folder, small()))


@MAKERS
def command_option_of_another_method(folder):
    """An option of elastic with the cubic schedule."""
    parse(["sparse", "digits-mlp", "--method", "cubic", "--mix", "0.5"])


@MAKERS
def command_option_of_several_methods(folder):
    """A precision, where nothing is measured."""
    parse(["allocate", "digits-mlp", "--method", "uniform", "--sparsity", "0.5",
           "--precision", "exact"])  # fmt: skip


@MAKERS
def command_option_without_its_switch(folder):
    """A unit without the floor that it belongs to."""
    parse(["allocate", "digits-mlp", "--sparsity", "0.5", "--unit", "macs"])


@MAKERS
def command_option_beside_a_plan(folder):
    """A trade-off beside a plan that is made already."""
    parse(["prune", "digits-mlp", "--plan", "plan.yaml", "--trade-off", "1"])


@MAKERS
def command_option_of_another_schedule(folder):
    """A part to rewind, with a cosine."""
    parse(["prune", "digits-mlp", "--method", "uniform", "--sparsity", "0.5",
           "--finetune-epochs", "1", "--rewind", "0.3"])  # fmt: skip


@MAKERS
def command_option_of_trials_that_train(folder):
    """Training images for a trial that trains nothing."""
    parse(["methods", "wanda", "--model", "digits-mlp", "--try", "--shown", "640"])


@MAKERS
def command_bits_twice(folder):
    """Two numbers of bits for one method."""
    run("quantise", "digits-mlp", "--method", "cluster:4", "--bits", "5", "--out", folder)


@MAKERS
def command_data_of_a_maker(folder):
    """An export that was made with data of one's own."""
    run("evaluate", exported(folder, "my-photographs", ""))


@MAKERS
def command_data_of_the_same_name(folder):
    """An export that was made with other images than the sample of their name has."""
    run("evaluate", exported(folder, "digits", "0123456789abcdef"))


def exported(folder, data, digest):
    """Weights as an export writes them, with a record of their data."""
    model = load_model("digits-mlp")
    record = {
        "architecture": model.architecture, "arguments": dict(model.arguments),
        "input_shape": list(model.input_shape), "data": data, "data_digest": digest,
    }  # fmt: skip
    content = safetensors_bytes(model.module, record)
    return written(folder, "weights.safetensors", content)


@MAKERS
def command_no_plan(folder):
    """Pruning without a plan."""
    run("prune", "digits-mlp")


@MAKERS
def command_two_plans(folder):
    """Pruning with a plan and a method."""
    run("prune", "digits-mlp", "--plan", "plan.yaml", "--method", "uniform")


@MAKERS
def command_plan_and_sparsity(folder):
    """A plan's file and a sparsity."""
    run("prune", "digits-mlp", "--plan", "plan.yaml", "--sparsity", "0.5")


@MAKERS
def command_plan_of_another_granularity(folder):
    """A plan of single weights, and channels asked for."""
    path = written(folder, "plan.yaml", b"sparsities:\n  hidden.0: 0.5\n")
    run("prune", "digits-mlp", "--plan", path, "--granularity", "channel")


@MAKERS
def command_bad_plan(folder):
    """A plan's file with a sparsity above one."""
    path = written(folder, "plan.yaml", b"sparsities:\n  hidden.0: 1.5\n")
    run("prune", "digits-mlp", "--plan", path)


@MAKERS
def command_unknown_sample(folder):
    """A sample's name with a letter missing."""
    run("inspect", "digit-mlp")
