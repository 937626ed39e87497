"""Scores: what a criterion sees of a model, and how it ranks weights and coupled units."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.criteria import Criterion
from workbench.errors import PlanError
from workbench.gathering import gather
from workbench.gathering.reads import Read, find_reads
from workbench.groups import Group
from workbench.model import Model
from workbench.shared import second_names


@dataclass(frozen=True, eq=False)
class Look:
    """What a criterion may see.

    Attributes:
        criterion: Who looks.
        model: The dense model, perhaps with evidence: images to look at.
        seed: Seed of the plan.
        name: The layer or group that is ranked; makes its randomness its own.
    """

    criterion: Criterion
    model: Model
    seed: int
    name: str

    def tensor(self, name: str) -> Tensor:
        """A parameter or buffer of the dense model by its name in the state dict, detached."""
        module, _, own = name.rpartition(".")
        tensor: Tensor = getattr(self.model.module.get_submodule(module), own)
        return tensor.detach()

    def check(self) -> None:
        """Ask whether the work should end, in the middle of what takes long.

        Raises:
            StoppedError: If so.
        """
        if self.model.evidence is not None:
            self.model.evidence.check()

    def generator(self) -> torch.Generator:
        """Randomness of this layer or group, the same whatever the order of the layers."""
        digest = hashlib.sha256(f"{self.seed} {self.name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def gathered(self, kind: str) -> Mapping[str, Tensor]:
        """What was gathered from images about the whole model, once for each model and data set.

        Args:
            kind: A name in ``workbench.gathering.GATHERERS``.

        Raises:
            PlanError: If the model comes without images.
        """
        if self.model.evidence is None:
            raise PlanError(
                f"Criterion {self.criterion.name!r} looks at images, and there are none for "
                f"{self.model.name}.",
                "Choose data for the model, or a criterion that needs the weights alone, such as "
                "'l1'.",
            )
        return gather(kind, self.model, self.model.evidence)

    def about(self, kind: str, what: str, parameter: str) -> Tensor:
        """One thing that was gathered about a parameter, known by any of its names.

        Args:
            kind: A name in ``workbench.gathering.GATHERERS``.
            what: What the gatherer calls it, such as ``square``.
            parameter: Name of the parameter.

        Raises:
            PlanError: If the model comes without images, or the parameter is not used in a way
                that could be watched.
        """
        found = self.gathered(kind)
        name = second_names(self.model.module).get(parameter, parameter)
        key = f"{what}/{name}" if what else name
        if key not in found:
            raise PlanError(
                f"Criterion {self.criterion.name!r} has to see what {parameter} is multiplied "
                "with, and this network uses it in a way that is not followed.",
                "Leave that layer dense, or choose a criterion that needs the weights alone, such "
                "as 'l1'.",
            )
        return found[key]

    def reads(self, group: Group) -> Sequence[Read]:
        """The weights that read the units of a group, at least one.

        Raises:
            PlanError: If none is known.
        """
        found = find_reads(self.model, group)
        if not found:
            raise PlanError(
                f"Criterion {self.criterion.name!r} has to see what reads the units of "
                f"{group.name}, and no layer is known that does.",
                "Leave that group whole, or choose a criterion such as 'l1'.",
            )
        return found


def score_layer(
    criterion: Criterion, model: Model, parameter: str, seed: int = 0, layer_name: str = ""
) -> Tensor:
    """Score the weights of one layer.

    Args:
        criterion: How to rank.
        model: The dense model.
        parameter: Name of the layer's weight.
        seed: Seed of the plan.
        layer_name: Makes the randomness of every layer its own; the parameter's name if empty.

    Returns:
        Scores of the shape of the weight, all of them finite.

    Raises:
        PlanError: If the criterion ranks no single weights, needs images that are not there, or a
            score is NaN or infinite.
    """
    if criterion.weights is None:
        raise PlanError(
            f"Criterion {criterion.name!r} ranks whole channels, not single weights.",
            "Choose granularity 'channel', or a criterion such as 'l1'.",
        )
    look = Look(criterion, model, seed, layer_name or parameter)
    look.check()
    with torch.no_grad():
        scores = criterion.weights(look, parameter)
    return _finite(scores, look)


def score_units(criterion: Criterion, model: Model, group: Group, seed: int = 0) -> Tensor:
    """Score the units of a coupled group.

    A criterion may have a way of its own. Otherwise a unit is judged by everything that would go
    with it: its rows in the layers of the group and its columns in those that read from them. Each
    of these contributes the norm of the scores of the unit's weights, divided by the mean norm of
    all units there, so that large layers do not drown small ones; the score is the average. Its
    mean over the group is therefore 1, and the scores of different groups can be ranked together.
    Biases and normalisations do not count, and a weight that layers share counts once.

    Args:
        criterion: How to rank.
        model: The dense model.
        group: Coupled channels.
        seed: Seed of the plan.

    Returns:
        ``(num_units,)`` in double precision, on the CPU; higher is kept.

    Raises:
        PlanError: If the group cannot be ranked by this criterion.

    References:
        Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1 (norms of filters).
        Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3.3 (norms over a
        group, normalised by their mean).
    """
    look = Look(criterion, model, seed, group.name)
    look.check()
    if criterion.units is not None:
        with torch.no_grad():
            return _finite(criterion.units(look, group).double().cpu(), look)
    norms = [*_member_norms(criterion, model, group, seed)]
    if not norms:
        return torch.ones(group.num_units, dtype=torch.float64)
    means = [norm.mean() for norm in norms]
    shares = [norm / mean if mean else norm for norm, mean in zip(norms, means, strict=True)]
    return torch.stack(shares).mean(0)


def _member_norms(criterion: Criterion, model: Model, group: Group, seed: int) -> list[Tensor]:
    """The norm of each unit, ``(num_units,)``, in every weight that it has a part of."""
    members = tuple(f"{path}." for path in (*group.layers, *group.consumers))
    others = second_names(model.module)
    norms = []
    for part in group.slices:
        if part.parameter in others or not part.parameter.startswith(members):
            continue
        if _dim(model, part.parameter) < 2:
            continue
        scores = score_layer(criterion, model, part.parameter, seed).double().cpu()
        along = scores.movedim(part.dim, 0).flatten(1).sum(1)
        summed = along[part.indices].sum(1)
        norms.append(summed.sqrt() if criterion.squares else summed)
    return norms


def _dim(model: Model, name: str) -> int:
    module, _, own = name.rpartition(".")
    return int(getattr(model.module.get_submodule(module), own).dim())


def _finite(scores: Tensor, look: Look) -> Tensor:
    bad = scores.numel() - int(torch.isfinite(scores).sum())
    if bad:
        raise PlanError(
            f"{look.name} has {bad} of {scores.numel()} scores that are NaN or infinite "
            f"under criterion {look.criterion.name!r}.",
            "Look at the layer's weights: they cannot be ranked.",
        )
    return scores
