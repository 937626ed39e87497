"""Plans, settings, folders and names that are refused."""

import errno
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.refusals.models import written
from tests.golden.refusals.table import Makers
from workbench.allocation import allocate
from workbench.allocation.budget import parse_budget
from workbench.architectures import ARCHITECTURES
from workbench.criteria import get_criterion
from workbench.curves import SensitivitySettings
from workbench.data import Data
from workbench.device import choose_device
from workbench.distributions import layer_histogram, threshold
from workbench.export import export_model, zip_export
from workbench.finetune_settings import FineTuneSettings
from workbench.latency import measure_latency
from workbench.metrics import score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan, write_plan
from workbench.prune import prune
from workbench.repair import get_repair, repair
from workbench.sensitivity import measure_sensitivity
from workbench.store import Store

MAKERS = Makers()


def tiny():
    """A LeNet-5 with few weights."""
    arguments = {"widths": [2, 3, 4], "num_classes": 3}
    torch.manual_seed(0)
    network = ARCHITECTURES["lenet5"].build(**arguments).eval()
    return Model("tiny", network, (1, 28, 28), 3, "lenet5", arguments)


def tiny_resnet():
    """A residual network with few weights."""
    arguments = {"widths": [2], "blocks": [1], "num_classes": 3}
    torch.manual_seed(0)
    network = ARCHITECTURES["resnet"].build(**arguments).eval()
    return Model("tiny", network, (1, 28, 28), 3, "resnet", arguments)


def few_images():
    """Twenty grey training images and nine test images in three classes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    return Data("few", images, np.arange(20) % 3, images[:9], np.arange(9) % 3)


def plan_text(text):
    """Read a plan from its YAML."""
    return read_plan(f"schema: 1\n{text}\n")


# Sparsities


@MAKERS
def sparsity_above_one(folder):
    """A sparsity of 1.2."""
    PruningPlan({"conv2": 1.2})


@MAKERS
def sparsity_one(folder):
    """A sparsity of 1, which would leave nothing."""
    PruningPlan({"conv2": 1.0})


@MAKERS
def sparsity_negative(folder):
    """A sparsity of -0.1."""
    PruningPlan({"conv2": -0.1})


@MAKERS
def sparsity_nan(folder):
    """A sparsity that is NaN."""
    PruningPlan({"conv2": float("nan")})


@MAKERS
def sparsity_text(folder):
    """A sparsity in words."""
    PruningPlan({"conv2": "half"})


@MAKERS
def sparsity_true(folder):
    """A sparsity that is true."""
    plan_text("sparsities:\n  conv2: true")


@MAKERS
def sparsity_in_percent(folder):
    """A sparsity in percent, from a plan file."""
    plan_text("sparsities:\n  conv2: 50")


@MAKERS
def sparsity_of_threshold(folder):
    """A threshold for a sparsity of 1.5."""
    threshold(tiny(), "conv2", 1.5)


@MAKERS
def sparsity_of_allocation(folder):
    """A target sparsity of 1.5."""
    allocate(tiny(), "uniform", sparsity=1.5)


@MAKERS
def sparsity_leaves_nothing(folder):
    """A global sparsity that leaves fewer weights than layers."""
    allocate(tiny(), "global", sparsity=0.9999)


# Plans


@MAKERS
def plan_no_yaml(folder):
    """Text that is not YAML."""
    plan_text("sparsities: {conv2: 0.5")


@MAKERS
def plan_tab(folder):
    """A plan indented by a tab."""
    plan_text("sparsities:\n\tconv2: 0.5")


@MAKERS
def plan_runs_code(folder):
    """YAML that would run code in a careless reader."""
    plan_text(f"model: !!python/object/apply:builtins.open ['{folder}/marker', 'w']")


@MAKERS
def plan_list(folder):
    """A list in place of a mapping."""
    read_plan("- conv1\n- conv2\n")


@MAKERS
def plan_empty(folder):
    """An empty file."""
    read_plan(written(folder, "plan.yaml", b""))


@MAKERS
def plan_unknown_key(folder):
    """A key with a letter missing."""
    plan_text("sparsitie:\n  conv2: 0.5")


@MAKERS
def plan_key_twice(folder):
    """The same layer twice."""
    plan_text("sparsities:\n  conv2: 0.5\n  conv2: 0.6")


@MAKERS
def plan_other_schema(folder):
    """A plan of a later version."""
    read_plan("schema: 2\nsparsities: {}\n")


@MAKERS
def plan_sparsities_list(folder):
    """Sparsities without names."""
    plan_text("sparsities: [0.5, 0.6]")


@MAKERS
def plan_unknown_granularity(folder):
    """A granularity nobody knows."""
    PruningPlan(granularity="weights")


@MAKERS
def plan_unknown_allocation(folder):
    """An origin of the sparsities nobody knows."""
    PruningPlan(allocation="magic")


@MAKERS
def plan_seed_negative(folder):
    """A negative seed."""
    PruningPlan(seed=-1)


@MAKERS
def plan_criterion_number(folder):
    """A criterion that is a number."""
    plan_text("criterion: 1")


@MAKERS
def plan_missing_file(folder):
    """A plan file that is not there."""
    read_plan(folder / "plan.yaml")


@MAKERS
def plan_not_text(folder):
    """A picture as the plan file."""
    read_plan(written(folder, "plan.yaml", b"\x89PNG\r\n\x1a\n\xff"))


@MAKERS
def plan_too_large(folder):
    """A plan file of 2 MB."""
    read_plan(written(folder, "plan.yaml", b"#" * 2_000_000))


@MAKERS
def plan_unknown_layer(folder):
    """A layer with a letter missing."""
    prune(tiny(), PruningPlan({"con2": 0.5}))


@MAKERS
def plan_unprunable_layer(folder):
    """A layer that holds no matrix."""
    prune(tiny_resnet(), PruningPlan({"bn": 0.5}))


@MAKERS
def plan_unknown_criterion(folder):
    """A criterion nobody knows."""
    prune(tiny(), PruningPlan({"conv2": 0.5}, criterion="l3"))


# Allocation


@MAKERS
def criterion_unknown(folder):
    """A criterion with a letter too many."""
    get_criterion("randomm")


@MAKERS
def allocation_unknown(folder):
    """An allocation with a letter missing."""
    allocate(tiny(), "unifrm", sparsity=0.5)


@MAKERS
def allocation_without_target(folder):
    """Neither a sparsity nor a budget."""
    allocate(tiny(), "uniform")


@MAKERS
def allocation_two_targets(folder):
    """A sparsity and a budget."""
    allocate(tiny(), "uniform", sparsity=0.5, budget=parse_budget("params=0.5"))


@MAKERS
def allocation_all_protected(folder):
    """Every layer is protected."""
    allocate(tiny(), "uniform", sparsity=0.5, protected=("conv1", "conv2", "fc1"))


@MAKERS
def allocation_protects_unknown(folder):
    """A protected layer that is not there."""
    allocate(tiny(), "uniform", sparsity=0.5, protected=("fc3",))


@MAKERS
def allocation_nothing_to_prune(folder):
    """A granularity at which no layer of the network can be cut."""
    allocate(tiny(), "uniform", sparsity=0.5, granularity="block:256x256")


@MAKERS
def allocation_without_channels(folder):
    """Rounding of channels where weights are pruned."""
    allocate(tiny(), "uniform", sparsity=0.5, channel_multiple=8)


@MAKERS
def budget_unreadable(folder):
    """A budget without its unit."""
    parse_budget("50 %")


@MAKERS
def budget_unknown_unit(folder):
    """A budget in a unit nobody knows."""
    parse_budget("flops=0.5")


@MAKERS
def budget_zero(folder):
    """A budget of nothing."""
    parse_budget("macs=0")


@MAKERS
def budget_above_one(folder):
    """A budget of more than there is."""
    parse_budget("params=1.5")


@MAKERS
def budget_cannot_be_met(folder):
    """A budget smaller than what stays dense."""
    allocate(tiny(), "uniform", budget=parse_budget("params=0.001"))


# Stages


@MAKERS
def repair_unknown(folder):
    """A repair nobody knows."""
    get_repair("batchnorm")


@MAKERS
def repair_one_image(folder):
    """A repair from a single image."""
    repair(prune(tiny_resnet(), PruningPlan()), few_images(), "bn", num_samples=1)


@MAKERS
def sensitivity_no_levels(folder):
    """No levels at all."""
    SensitivitySettings(levels=())


@MAKERS
def sensitivity_level_one(folder):
    """A level of 1."""
    SensitivitySettings(levels=(0.5, 1.0))


@MAKERS
def sensitivity_level_text(folder):
    """A level in words."""
    SensitivitySettings(levels=("half",))


@MAKERS
def sensitivity_no_samples(folder):
    """No images."""
    SensitivitySettings(num_samples=0)


@MAKERS
def sensitivity_unknown_criterion(folder):
    """A criterion nobody knows."""
    settings = SensitivitySettings(levels=(0.5,), num_samples=3, criterion="L-1")
    measure_sensitivity(tiny(), few_images(), settings)


@MAKERS
def finetune_lr_zero(folder):
    """A learning rate of zero."""
    FineTuneSettings(lr=0)


@MAKERS
def finetune_lr_text(folder):
    """A learning rate in words."""
    FineTuneSettings(lr="fast")


@MAKERS
def finetune_epochs_negative(folder):
    """Minus one epochs."""
    FineTuneSettings(epochs=-1)


@MAKERS
def finetune_epochs_half(folder):
    """Half an epoch."""
    FineTuneSettings(epochs=0.5)


@MAKERS
def finetune_seconds_zero(folder):
    """No time at all."""
    FineTuneSettings(seconds=0)


@MAKERS
def finetune_batch_zero(folder):
    """Batches of no images."""
    FineTuneSettings(batch_size=0)


@MAKERS
def finetune_unknown_optimizer(folder):
    """An optimizer with letters swapped."""
    FineTuneSettings(optimizer="adma")


@MAKERS
def finetune_unknown_setting(folder):
    """A setting under another name."""
    FineTuneSettings.from_dict({"learning_rate": 0.1})


@MAKERS
def device_unknown(folder):
    """A device nobody knows."""
    choose_device("gpu")


@MAKERS
def device_absent(folder):
    """A device that this machine lacks."""
    choose_device("cuda:99")


@MAKERS
def score_no_images(folder):
    """A split without images."""
    data = few_images()
    split = data.split("test")
    score(tiny().module, type(split)("test", split.images[:0], split.labels[:0]))


@MAKERS
def latency_no_runs(folder):
    """No runs."""
    measure_latency(tiny().module, (1, 28, 28), runs=0)


@MAKERS
def histogram_no_bins(folder):
    """A histogram of no bins."""
    layer_histogram(tiny(), "conv2", 0)


@MAKERS
def histogram_unknown_layer(folder):
    """A histogram of a layer that is not there."""
    layer_histogram(tiny(), "conv3")


# Folders


def full_disk(*_args, **_kwargs):
    """What a write meets on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_args, **_kwargs):
    """What a write meets in a folder that is not ours."""
    raise PermissionError(errno.EACCES, "Permission denied")


@MAKERS
def plan_folder_missing(folder):
    """A plan written into a folder that is not there."""
    write_plan(PruningPlan(), folder / "no" / "plan.yaml")


@MAKERS
def plan_disk_full(folder):
    """A plan written onto a full disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", full_disk)
        write_plan(PruningPlan(), folder / "plan.yaml")


@MAKERS
def export_onto_file(folder):
    """An export onto a file."""
    export_model(tiny(), few_images(), None, written(folder, "out", b"x"))


@MAKERS
def export_into_used_folder(folder):
    """An export into a folder with other files."""
    written(folder, "thesis.txt", b"x")
    export_model(tiny(), few_images(), None, folder)


@MAKERS
def export_unknown_format(folder):
    """A format with a letter missing."""
    export_model(tiny(), few_images(), None, folder / "out", formats=("onx",))


@MAKERS
def export_not_writable(folder):
    """An export into a folder that may not be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", read_only)
        export_model(tiny(), few_images(), None, folder / "out", formats=("safetensors",))


@MAKERS
def export_disk_full(folder):
    """An export onto a full disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        export_model(tiny(), few_images(), None, folder / "out", formats=("safetensors",))


@MAKERS
def export_nothing_to_pack(folder):
    """An archive of a folder that holds no export."""
    zip_export(folder)


@MAKERS
def store_not_writable(folder):
    """A data folder below a file."""
    Store(written(folder, "file", b"x") / "data")


@MAKERS
def store_unknown_workspace(folder):
    """The plan of a workspace that is not there."""
    with closing(Store(folder)) as store:
        store.save_plan("0" * 32, PruningPlan())


@MAKERS
def store_damaged(folder):
    """A database that is text."""
    written(folder, "workbench.db", b"no database" * 100)
    Store(folder)


@MAKERS
def store_disk_full(folder):
    """Tensors saved onto a full disk."""
    with closing(Store(folder)) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        store.save_tensors({"weight": torch.ones(2)})
