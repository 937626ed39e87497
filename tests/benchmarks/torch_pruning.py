"""Torch-Pruning's own pruner at a given number of MACs: the rival of the repair table."""

import copy
import warnings

import torch
import torch_pruning as tp
from torch import nn
from torch.nn import functional as F

import workbench as wb
from workbench.groups import Groups

IMPORTANCES = {
    "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "bn_scale": lambda: tp.importance.BNScaleImportance(),
    "taylor": lambda: tp.importance.GroupTaylorImportance(),
}
NUM_TAYLOR_IMAGES = 1_000
STEPS = 12


def torch_pruned(
    model: wb.Model, data: wb.Data, groups: Groups, importance: str, macs: int
) -> wb.Model:
    """Prune every group by the same ratio, found by bisection, until the MACs are nearest.

    Raises:
        ValueError: If Torch-Pruning cannot prune the network with this importance.
    """
    module = copy.deepcopy(model.module).requires_grad_().eval()
    if importance == "taylor":
        split = data.split("train", NUM_TAYLOR_IMAGES, 0)
        with torch.enable_grad():
            F.cross_entropy(module(split.images), split.labels).backward()
    low, high, best = 0.0, 0.98, None
    for _ in range(STEPS):
        middle = (low + high) / 2
        candidate = _pruned(model, module, groups, importance, middle)
        found = wb.inspect(candidate).macs
        if best is None or abs(found - macs) < abs(wb.inspect(best).macs - macs):
            best = candidate
        low, high = (middle, high) if found > macs else (low, middle)
    assert best is not None
    if wb.inspect(best).macs > 1.2 * macs:
        raise ValueError(f"{importance} does not get below {wb.inspect(best).macs:,} MACs")
    return best


def _pruned(
    model: wb.Model, source: nn.Module, groups: Groups, importance: str, ratio: float
) -> wb.Model:
    module = copy.deepcopy(source)
    for parameter, known in zip(module.parameters(), source.parameters(), strict=True):
        parameter.grad = None if known.grad is None else known.grad.clone()
    norms = any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
    if importance == "bn_scale" and not norms:
        raise ValueError("the network has no BatchNorm")
    fixed = [p for g in groups.groups if not g.prunable for p in g.layers]
    heads, blocks = {}, {}
    for group in groups.prunable:
        if group.unit == "hidden unit":
            raise ValueError("Torch-Pruning has no pruner for this recurrent layer")
        if group.unit == "head":
            block = group.layers[0].rpartition(".")[0]
            blocks[block] = group.num_units
            heads |= {module.get_submodule(path): group.num_units for path in group.layers}
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = tp.pruner.BasePruner(
            module, torch.rand(2, *model.input_shape), importance=IMPORTANCES[importance](),
            pruning_ratio=ratio, ignored_layers=[module.get_submodule(path) for path in fixed],
            num_heads=heads, prune_num_heads=bool(heads), prune_head_dims=not heads,
            head_pruning_ratio=ratio,
        )  # fmt: skip
        pruner.step()
    for block in blocks:
        attention = module.get_submodule(block)
        attention.heads = pruner.num_heads[attention.get_submodule("query")]
    for parameter in module.parameters():
        parameter.grad = None
    return model.with_module(module.requires_grad_(False))
