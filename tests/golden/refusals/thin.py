"""Networks that channels were removed from, with weights or references that do not fit."""

import copy
import json
from dataclasses import replace

import torch
from safetensors.torch import save_file

from tests.golden.refusals.table import Makers
from workbench.architectures import ARCHITECTURES
from workbench.experiment import prune_and_measure
from workbench.loading import load_data, load_model
from workbench.plan import PruningPlan
from workbench.reopen import reopen_model, reopen_run
from workbench.store import DataRef, ModelRef, Store

MAKERS = Makers()

NARROW = {"in_channels": 1, "widths": [4, 6], "blocks": [1, 1], "num_classes": 3}


def thin_resnet(folder, change):
    """Weights of a ResNet with a record, two inner channels removed, then changed."""
    torch.manual_seed(0)
    tensors = ARCHITECTURES["resnet"].build(**NARROW).state_dict()
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
        tensors[f"stages.0.0.{name}"] = tensors[f"stages.0.0.{name}"][:2].clone()
    tensors["stages.0.0.conv2.weight"] = tensors["stages.0.0.conv2.weight"][:, :2].clone()
    change(tensors)
    record = {"architecture": "resnet", "arguments": NARROW}
    path = folder / "weights.safetensors"
    save_file(tensors, path, {"training": json.dumps(record)})
    return path


def stored_run(folder):
    """A run of a structured plan in a store."""
    store = Store(folder / "store")
    plan = PruningPlan({"hidden.0": 0.5}, granularity="channel")
    model, data = load_model("digits-mlp"), load_data("digits")
    run, pruned = prune_and_measure(model, data, plan, repair="none")
    workspace = store.create_workspace()
    reference = ModelRef("digits-mlp", sample="digits-mlp")
    weights = {run.final.name: pruned.model.module.state_dict()}
    stored = store.add_run(
        workspace, run.to_dict(), model_ref=reference, data_ref=DataRef("d", sample="digits"),
        weights=weights, name="Half",
    )  # fmt: skip
    return store, stored


@MAKERS
def thin_other_inputs(folder):
    """A thin network one of whose layers takes more channels than the one before gives."""

    def change(tensors):
        tensors["stages.0.0.conv2.weight"] = torch.zeros(4, 3, 3, 3)

    load_model(thin_resnet(folder, change))


@MAKERS
def thin_larger_than_recorded(folder):
    """A thin network with a layer wider than anything its family builds."""

    def change(tensors):
        tensors["stages.0.0.conv1.weight"] = torch.zeros(9, 1, 3, 3)

    load_model(thin_resnet(folder, change))


@MAKERS
def thin_other_rank(folder):
    """A thin network whose convolution has lost an axis."""

    def change(tensors):
        tensors["stages.0.0.conv1.weight"] = torch.zeros(2, 4, 3)

    load_model(thin_resnet(folder, change))


@MAKERS
def thin_without_channels(folder):
    """A thin network of which no channel of a layer is left."""

    def change(tensors):
        tensors["stages.0.0.conv1.weight"] = torch.zeros(0, 4, 3, 3)

    load_model(thin_resnet(folder, change))


@MAKERS
def thin_nan(folder):
    """A thin network with a NaN."""

    def change(tensors):
        tensors["stages.0.0.conv1.weight"][0, 0, 0, 0] = float("nan")

    load_model(thin_resnet(folder, change))


@MAKERS
def thin_upload_does_not_fit(folder):
    """A stored upload whose reference tells of a narrower network than its weights."""
    store = Store(folder)
    workspace = store.create_workspace()
    model = load_model("digits-mlp")
    arguments = dict(model.arguments) | {"hidden": [9, 9]}
    reference = ModelRef("mine", architecture="mlp", arguments=arguments)
    saved = store.save_model_ref(workspace, reference, model.module.state_dict())
    reopen_model(saved, store)


@MAKERS
def thin_run_of_another_model(folder):
    """A stored run whose model is another one now."""
    store, stored = stored_run(folder)
    reference = ModelRef("fashion-lenet5", sample="fashion-lenet5")
    reopen_run(replace(stored, model_ref=reference), store)


@MAKERS
def thin_run_with_other_channels(folder):
    """A stored run whose plan keeps other channels of the model now."""
    store, stored = stored_run(folder)
    record = copy.deepcopy(dict(stored.record))
    record["stages"][1]["digest"] = "0123456789abcdef"
    reopen_run(replace(stored, record=record), store)
