"""Pruning: from a plan to a model with zeros, or to one whose channels are gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from workbench.criteria import get_criterion
from workbench.cutting import cut_tensors, unit_masks
from workbench.errors import PlanError
from workbench.granularity import parse_granularity
from workbench.groups import Group, Groups, find_groups
from workbench.model import Model
from workbench.patterns import lowest_pruned, pattern_mask
from workbench.plan import PruningPlan
from workbench.scoring import score_layer, score_units
from workbench.thin import thin_

MASK_PREFIX, KEPT_PREFIX = "pruned/mask/", "pruned/kept/"

Masks = Mapping[str, Tensor]
"""Parameter name to a boolean tensor of its shape; True marks a kept weight."""


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned model with what made it.

    Attributes:
        model: The model; its masked weights are exactly zero, its removed channels are gone.
        masks: Parameter name to mask, for every layer the plan names; empty where channels were
            removed.
        plan: What was asked for.
        dense: The model it was pruned from.
        kept: Group name to the numbers of the units that stay, rising; empty where weights are
            masked.
        kept_outputs: Path of a layer to the numbers of its dense output channels that stay;
            layers that are not named have kept all.
    """

    model: Model
    masks: Masks
    plan: PruningPlan
    dense: Model
    kept: Mapping[str, Tensor] = field(default_factory=dict)
    kept_outputs: Mapping[str, Tensor] = field(default_factory=dict)

    def with_module(self, module: nn.Module) -> "Pruned":
        """The same with other weights in the same shapes."""
        return replace(self, model=self.model.with_module(module))

    def tensors(self) -> dict[str, Tensor]:
        """Everything to keep: the weights, and what was pruned, so that nobody ranks again.

        Masks are kept as ``MASK_PREFIX`` and the parameter's name, one byte a weight; the units
        that stay as ``KEPT_PREFIX`` and the group's name.
        """
        kept = {f"{KEPT_PREFIX}{name}": units for name, units in self.kept.items()}
        masks = {f"{MASK_PREFIX}{name}": mask for name, mask in self.masks.items()}
        return {**self.model.module.state_dict(), **masks, **kept}


def prune(model: Model, plan: PruningPlan, groups: Groups | None = None) -> Pruned:
    """Prune a copy of a model: set weights to zero, or remove whole channels.

    With granularity ``channel`` the layers of the result are really smaller: parameters, MACs and
    file shrink with them. Otherwise weights are set to zero and the shapes stay.

    Args:
        model: The dense model; it stays as it is.
        plan: What to prune.
        groups: What ``find_groups(model, plan.granularity)`` returned, to spare a second look.

    Raises:
        PlanError: If the plan names an unknown group, one that cannot be pruned, or a criterion
            that does not exist or cannot rank a group.
    """
    groups = _groups_of(model, plan, groups)
    if groups.granularity.structured:
        return _remove(model, plan, groups)
    masks = build_masks(model, plan, groups)
    module = model.copy_module()
    apply_masks_(module, masks)
    return Pruned(model.with_module(module), masks, plan, model)


def preview(model: Model, plan: PruningPlan, groups: Groups | None = None) -> Pruned:
    """Prune without changing a shape: what would be removed is set to zero instead.

    Gives the same class scores as ``prune`` within float error. Arguments and errors are those of
    ``prune``.
    """
    masks = build_masks(model, plan, groups)
    module = model.copy_module()
    apply_masks_(module, masks)
    return Pruned(model.with_module(module), masks, plan, model)


def build_masks(model: Model, plan: PruningPlan, groups: Groups | None = None) -> dict[str, Tensor]:
    """The masks that a plan asks for; the model stays as it is.

    Args:
        model: The dense model.
        plan: Which groups, how sparse and by which criterion.
        groups: What ``find_groups(model, plan.granularity)`` returned, to spare a second look.

    Returns:
        Parameter name to mask. For granularity ``channel`` also normalisations and biases have
        one, with everything False that goes with a removed unit.

    Raises:
        PlanError: If the plan names an unknown group, one that cannot be pruned, or a criterion
            that does not exist or cannot rank a group.
    """
    groups = _groups_of(model, plan, groups)
    if groups.granularity.structured:
        removed = _removed(model, plan, groups)
        parameters = dict(model.module.named_parameters(remove_duplicate=False))
        masks = unit_masks(model.module.state_dict(), groups.prunable, removed)
        return {name: mask for name, mask in masks.items() if name in parameters}
    criterion = get_criterion(plan.criterion)
    masks = {}
    for name, sparsity in plan.sparsities.items():
        layer = groups.group(name).layer
        assert layer is not None
        key = layer.parameter_name
        weight = model.module.get_parameter(key)
        if groups.num_pruned(name, sparsity):
            scores = score_layer(criterion, model, key, plan.seed, name)
            masks[key] = pattern_mask(scores, groups.granularity, sparsity)
        else:
            masks[key] = torch.ones_like(weight, dtype=torch.bool)
    return masks


@torch.no_grad()
def apply_masks_(module: nn.Module, masks: Masks) -> None:
    """Set the masked weights of a module to exactly zero, in place."""
    for key, mask in masks.items():
        weight = module.get_parameter(key)
        weight.masked_fill_(~mask.to(weight.device), 0)


def restore_pruned(
    model: Model, plan: PruningPlan, tensors: Mapping[str, Tensor], digest: str = ""
) -> Pruned:
    """Put together again what ``Pruned.tensors`` gave.

    Weights that were kept without what was pruned are accepted too: then the plan is applied once
    more to tell it.

    Args:
        model: The dense model that was pruned.
        plan: The plan.
        tensors: What was kept of the pruned, and perhaps fine-tuned, network.
        digest: Of the model as it was right after pruning; empty where it is not known. Weights
            alone do not tell which channels are gone, this does.

    Raises:
        ValueError: If the weights are no cut of the model.
        PlanError: If a weight that is masked is not zero, a layer has another width than the plan
            gives it, or other channels would be removed today.
    """
    weights, masks, kept = _sorted_out(tensors)
    module = model.copy_module()
    thin_(module, weights)
    if not masks and not kept:
        pruned = prune(model, plan)
        if digest and pruned.kept and pruned.model.digest != digest:
            raise PlanError(
                f"Pruning {model.name} by this plan gave the model {digest} then and gives "
                f"{pruned.model.digest} now: other channels would be removed.",
                "Prune the dense model again and train it; these weights belong to the earlier "
                "one.",
            )
    elif kept:
        pruned = _remove(model, plan, find_groups(model, plan.granularity), kept)
    else:
        pruned = Pruned(model, masks, plan, model)
    _check_fit(pruned, module)
    return pruned.with_module(module)


def _sorted_out(
    tensors: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Weights, masks by parameter, and kept units by group."""
    parts: dict[str, dict[str, Tensor]] = {"": {}, MASK_PREFIX: {}, KEPT_PREFIX: {}}
    for name, tensor in tensors.items():
        prefix = next((p for p in (MASK_PREFIX, KEPT_PREFIX) if name.startswith(p)), "")
        parts[prefix][name.removeprefix(prefix)] = tensor
    return parts[""], parts[MASK_PREFIX], parts[KEPT_PREFIX]


def _check_fit(pruned: Pruned, module: nn.Module) -> None:
    """Refuse weights that are not what the plan leaves.

    Raises:
        PlanError: Naming the first that is not.
    """
    expected = pruned.model.module.state_dict()
    for key, tensor in module.state_dict().items():
        if key not in expected or tensor.shape != expected[key].shape:
            raise PlanError(
                f"{key} has shape {tuple(tensor.shape)}, which this plan does not give it.",
                "Prune the dense model again: these weights belong to another plan.",
            )
    for key, mask in pruned.masks.items():
        alive = int((module.get_parameter(key).detach()[~mask] != 0).sum())
        if alive:
            raise PlanError(
                f"{key} has {alive} non-zero weights that the plan prunes.",
                "Prune the dense model again: these weights belong to another plan.",
            )


def _groups_of(model: Model, plan: PruningPlan, groups: Groups | None) -> Groups:
    """The groups that a plan speaks of: those given, or found."""
    groups = groups or find_groups(model, plan.granularity)
    if groups.granularity != parse_granularity(plan.granularity):
        raise ValueError(f"a {plan.granularity} plan got {groups.granularity.name} groups")
    return groups


def _remove(
    model: Model, plan: PruningPlan, groups: Groups, staying: Mapping[str, Tensor] | None = None
) -> Pruned:
    """Remove channels: thinner tensors, and layers that fit them; those that stay may be known."""
    if staying is None:
        removed = _removed(model, plan, groups)
    else:
        removed = {
            group.name: _others(staying[group.name], group.num_units)
            for group in groups.prunable
            if group.name in staying
        }
    cut = [group for group in groups.prunable if group.name in removed]
    module = model.copy_module()
    thin_(module, cut_tensors(model.module.state_dict(), cut, removed))
    kept = {group.name: _others(removed[group.name], group.num_units) for group in cut}
    outputs = _kept_outputs(model.module, cut, removed)
    return Pruned(model.with_module(module), {}, plan, model, kept, outputs)


def _removed(model: Model, plan: PruningPlan, groups: Groups) -> dict[str, Tensor]:
    """Group name to the numbers of the units that a plan removes; every group has an entry."""
    criterion = get_criterion(plan.criterion)
    removed = {group.name: torch.zeros(0, dtype=torch.long) for group in groups.prunable}
    for name, sparsity in plan.sparsities.items():
        group = groups.group(name)
        count = groups.num_pruned(name, sparsity, plan.channel_multiple)
        if count:
            scores = score_units(criterion, model, group, plan.seed)
            removed[name] = (~lowest_pruned(scores, count)).nonzero().view(-1)
    return removed


def _others(units: Tensor, count: int) -> Tensor:
    kept = torch.ones(count, dtype=torch.bool)
    kept[units] = False
    return kept.nonzero().view(-1)


def _kept_outputs(
    module: nn.Module, groups: Sequence[Group], removed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Path of each layer to the output channels that stay; of a recurrent layer, the units."""
    outputs: dict[str, Tensor] = {}
    for group in groups:
        slices = {(part.parameter, part.dim): part for part in group.slices}
        for path in group.layers:
            layer = module.get_submodule(path)
            if isinstance(layer, nn.RNNBase):
                outputs[path] = _others(removed[group.name], group.num_units)
                continue
            transposed = isinstance(layer, _ConvTransposeNd) and layer.groups == 1
            part = slices[f"{path}.weight", 1 if transposed else 0]
            size = layer.get_parameter("weight").shape[part.dim]
            gone = part.indices[removed[group.name]].flatten()
            still = outputs.get(path, torch.arange(size))
            outputs[path] = still[~torch.isin(still, gone)]
    return outputs
