"""Ranking by the scale of BatchNorm: network slimming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.criteria.criterion import Criterion
from workbench.criteria.factors import rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.groups import Group
    from workbench.scoring import Look


def bn_scale_unit_scores(look: Look, group: Group) -> Tensor:
    """|gamma| of each unit, averaged over the BatchNorms of the group, ``(num_units,)``.

    A group without BatchNorm is ranked by the norm of the weights that make each unit, scaled to
    the mean |gamma| of the network.

    Reference:
        Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
        section 3.
    """
    import torch

    norms = _batch_norms(look)
    scales = [
        look.tensor(part.parameter).double().abs().cpu()[part.indices].mean(1)
        for part in group.slices
        if part.parameter in norms
    ]
    if scales:
        return torch.stack(scales).mean(0)
    every = [look.tensor(name).double().abs().mean().cpu() for name in norms]
    level = torch.stack(every).mean() if every else torch.tensor(1.0, dtype=torch.float64)
    lengths = [row.norm(dim=1) for row in rows_of(look, group)]
    if not lengths:
        return torch.ones(group.num_units, dtype=torch.float64)
    shares = [length / (length.mean() or 1) for length in lengths]
    return level * torch.stack(shares).mean(0)


def _batch_norms(look: Look) -> set[str]:
    """Names of the scales of all BatchNorms."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return {
        f"{path}.weight" if path else "weight"
        for path, module in look.model.module.named_modules()
        if isinstance(module, _BatchNorm) and module.affine
    }


METHOD = Criterion(
    name="bn_scale",
    title="BatchNorm scale (network slimming)",
    summary="Prunes the channels that their BatchNorm scales down most.",
    explanation=(
        "A BatchNorm layer first gives every channel the same spread and then multiplies it with a "
        "learnt factor, gamma. A channel with a small gamma can hardly be heard behind it, so the "
        "smallest go first; where several BatchNorms belong to a group, their factors are "
        "averaged. The factors are compared over the whole network, as in the paper. It works "
        "best after training with an L1 penalty on these factors, which drives many of them to "
        "zero. A group without BatchNorm has no gamma: there the length of the weights that make "
        "the unit takes its place, scaled to the network's mean gamma."
    ),
    formula=r"s_c = |\gamma_c|",
    paper=(
        'Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming", '
        "section 3"
    ),
    strengths="Free, and sharp after training with a penalty on the scales.",
    limits=(
        "Ranks whole channels only; without such training gamma says little, and a strong next "
        "layer can make a quiet channel loud again."
    ),
    units=bn_scale_unit_scores,
)
