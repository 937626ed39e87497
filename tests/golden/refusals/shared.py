"""Shared weights and sub-blocks that are refused."""

import safetensors.torch

from tests.golden.refusals.commands import run
from tests.golden.refusals.table import Makers
from workbench.finetune_settings import FineTuneSettings
from workbench.granularity import parse_granularity
from workbench.groups import find_groups
from workbench.loading import load_model, load_uploaded_model
from workbench.plan import PruningPlan
from workbench.prune import prune

MAKERS = Makers()


@MAKERS
def shared_second_name(folder):
    """A plan that names the second of two layers with one weight."""
    prune(load_model("digits-shared"), PruningPlan({"far": 0.5}))


@MAKERS
def shared_second_name_of_channels(folder):
    """The same where channels are removed."""
    prune(load_model("digits-shared"), PruningPlan({"far": 0.5}, "channel"))


@MAKERS
def shared_untied_file(folder):
    """A file in which the two names of one tensor hold different numbers."""
    module = load_model("digits-shared").module
    tensors = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tensors["far.weight"] += 1
    load_uploaded_model("mine.safetensors", safetensors.torch.save(tensors))


@MAKERS
def shared_signs_negative(folder):
    """A penalty that would reward changed signs."""
    FineTuneSettings(keep_signs=-0.1)


@MAKERS
def subblock_single_weight(folder):
    """Sub-blocks of a single weight."""
    parse_granularity("subblock:1x1")


@MAKERS
def subblock_misspelt(folder):
    """Sub-blocks that neither overlap nor lie side by side."""
    parse_granularity("subblock:2x2:apart")


@MAKERS
def subblock_larger_than_every_kernel(folder):
    """Sub-blocks that fit into no kernel of the network."""
    find_groups(load_model("fashion-lenet5"), "subblock:6x6").require_prunable()


@MAKERS
def subblock_of_a_layer_with_small_kernels(folder):
    """Sub-blocks that fit into other layers only."""
    prune(load_model("fashion-vit"), PruningPlan({"classifier": 0.5}, "subblock:3x3"))


@MAKERS
def subblock_on_the_command_line(folder):
    """A network without convolutions."""
    run("prune", "digits-mlp", "--data", "digits", "--method", "uniform", "--sparsity",
        "0.5", "--granularity", "subblock:2x2", "--out", str(folder / "out"))  # fmt: skip
