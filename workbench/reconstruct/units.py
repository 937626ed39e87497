"""A shared weight, solved for all of its uses at once."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.reconstruct.folding import Folded, same_length
from workbench.reconstruct.graph import Layer, Unit
from workbench.reconstruct.ridge import spread_of
from workbench.reconstruct.stack import Fit, Use, mean_error, solve_stack
from workbench.reconstruct.steps import SAME, RepairStep
from workbench.reconstruct.uses import Rehearsal, Seen, Work

REACHES = (1.0, 0.5, 0.25)
"""How far to go towards the solution: less where it moves what later uses have too much."""


def solve_unit_(work: Work, unit: Unit) -> RepairStep:
    """Solve a shared weight for all of its uses at once, and suit their BatchNorms to it.

    What every use has is seen in a rehearsal of the pass: later uses take the activations that the
    present weights lead to, not those that the solution leads to. The solution is rehearsed as
    well, and kept only where the errors that the uses then really have are smaller in sum; else a
    part of the way is tried.
    """
    state = [(tensor, tensor.clone()) for tensor in _tensors_of(work, unit)]
    factors = [_factor_of(work, use) for use in unit.uses]
    seen = Rehearsal(work, unit).run()
    live = [i for i, one in enumerate(seen) if _varies(one.use)]
    before = mean_error([seen[i].found for i in live]) if live else 0.0
    if before <= SAME or not all(one.use.inputs.sum().isfinite() for one in seen):
        _put_back_(state)
        return RepairStep(unit.name, "as it was", before, before, False)
    least, method = before, "as it was"
    now = mean_error([seen[i].error for i in live])
    if now < least:
        least, method = now, "statistics"
        state = [(tensor, tensor.clone()) for tensor in _tensors_of(work, unit)]
    uses = [
        replace(use, factor=factor.reshape(use.factor.shape))
        for use, factor in zip((_stacked(work, unit, one) for one in seen), factors, strict=True)
    ]
    weight, mask = _weight_of(work, unit, len(uses[0].inputs))
    fit = solve_stack([uses[i] for i in live], weight, mask, work.check)
    for reach in REACHES:
        part = fit.part_of_the_way([uses[i] for i in live], weight, reach)
        _write_(work, unit, [seen[i].folded for i in live], part)
        again = Rehearsal(work, unit).run()
        error = mean_error([again[i].error for i in live])
        if error < least:
            least, method = error, "ridge, clamped" if fit.clamps else "ridge"
            break
        _put_back_(state)
    if method != "as it was":
        method = f"{method}, {len(seen)} uses"
    return RepairStep(unit.name, method, before, least, least < before)


def _weight_of(work: Work, unit: Unit, groups: int) -> tuple[Tensor, Tensor | None]:
    """The weights of a unit side by side, ``(g, o, k)``, and their mask; None keeps all."""
    modules = [work.parts.modules[path] for path in unit.paths]
    weight = torch.cat([_in_groups(module.weight, groups) for module in modules], -1)
    masks = [work.masks.get(f"{path}.weight") for path in unit.paths]
    mask = torch.cat(
        [
            torch.ones_like(_in_groups(module.weight, groups), dtype=torch.bool)
            if mask is None else _in_groups(mask.to(weight.device), groups)
            for module, mask in zip(modules, masks, strict=True)
        ], -1,
    )  # fmt: skip
    return weight, None if mask.all() else mask


def _write_(work: Work, unit: Unit, folded: list[Folded], fit: Fit) -> None:
    start, weight, factors = 0, fit.weight, list(fit.factors)
    modules = [work.parts.modules[path] for path in unit.paths]
    if len(modules) == 1 and len(folded) == len(unit.uses) and all(x.layer.norm for x in folded):
        old = _in_groups(modules[0].weight, len(weight)).flatten(0, 1)
        length = same_length(old, weight.flatten(0, 1)).reshape(weight.shape[:2])
        weight = weight * length[..., None]
        factors = [factor / length for factor in factors]
    for module in modules:
        end = start + module.weight[0].numel()
        module.weight.copy_(weight[..., start:end].reshape(module.weight.shape))
        start = end
    for one, factor, bias in zip(folded, factors, fit.biases, strict=True):
        if one.layer.norm:
            one.set_norm_(factor, bias)
        elif one.layer.bias and one.layer.bias not in unit.fixed:
            work.parts.parameters[one.layer.bias].copy_(bias.flatten())
        one.hold_masks()


def _stacked(work: Work, unit: Unit, seen: Seen) -> Use:
    """A use with its inputs among those of all weights that are solved together."""
    widths = [work.parts.modules[path].weight[0].numel() for path in unit.paths]
    at = unit.paths.index(seen.layer.path)
    around = (sum(widths[:at]), sum(widths[at + 1 :]))
    if not any(around):
        return seen.use
    return replace(seen.use, inputs=nn.functional.pad(seen.use.inputs, around))


def _varies(use: Use) -> bool:
    """Whether there is anything to reproduce: an output that never varies weighs nothing."""
    size = use.wanted.square().sum()
    return bool(spread_of(use.wanted, use.bounds) > 1e-10 * size.clamp(min=1e-10))


def _in_groups(weight: Tensor, groups: int) -> Tensor:
    return weight.detach().reshape(groups, len(weight) // groups, -1)


def _factor_of(work: Work, use: Layer) -> Tensor:
    """``(outputs,)``, by which its BatchNorm multiplies."""
    if not use.norm:
        weight = work.parts.modules[use.path].weight
        return weight.new_ones(len(weight))
    norm: Any = work.parts.modules[use.norm]
    factor: Tensor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return factor.clone()


def _tensors_of(work: Work, unit: Unit) -> list[Tensor]:
    """All that solving a unit changes."""
    names = [f"{path}.weight" for path in unit.paths]
    names += [use.bias for use in unit.uses if use.bias]
    names += [f"{use.norm}.{key}" for use in unit.uses if use.norm for key in ("weight", "bias")]
    found = [work.parts.parameters[name] for name in dict.fromkeys(names)]
    norms: list[Any] = [work.parts.modules[use.norm] for use in unit.uses if use.norm]
    return [*found, *(tensor for norm in norms for tensor in (norm.running_mean, norm.running_var))]


def _put_back_(state: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, value in state:
        tensor.copy_(value)
