"""What a sparse training may make zero: weights of layers, or units of coupled groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd

from workbench.errors import PlanError
from workbench.freezing import frozen_groups
from workbench.groups import Group, Groups, find_groups
from workbench.model import Model
from workbench.sparse_training.settings import SparseTrainingSettings


@dataclass(frozen=True, eq=False)
class Place:
    """A parameter that holds a part of every unit of a group.

    Attributes:
        parameter: Its name.
        dim: Along which the units lie.
        owner: ``(size of dim,)``, the number of the unit at each place, -1 for none.
        is_norm: Whether it is a scale or shift of a normalisation.
    """

    parameter: str
    dim: int
    owner: Tensor
    is_norm: bool

    def spread(self, values: Tensor, weight: Tensor, rest: float) -> Tensor:
        """Values of units, ``(num_units,)``, as a tensor that multiplies the weight.

        Args:
            values: One per unit.
            weight: The parameter.
            rest: For places that belong to no unit.
        """
        owner = self.owner.to(values.device)
        along = torch.where(owner >= 0, values[owner.clamp_min(0)], values.new_tensor(rest))
        shape = [1] * weight.dim()
        shape[self.dim] = -1
        return along.view(shape)

    def sums(self, values: Tensor, num_units: int) -> Tensor:
        """Sum a tensor of the weight's shape over what each unit has there, ``(num_units,)``."""
        along = values.movedim(self.dim, 0).flatten(1).sum(1) if values.dim() > 1 else values
        owner = self.owner.to(values.device)
        total = values.new_zeros(num_units + 1)
        total.index_add_(0, torch.where(owner >= 0, owner, num_units), along)
        return total[:num_units]


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a coupled group and where they lie.

    No parameter entry belongs to two groups: a unit is its rows in the layers that make it, with
    their biases and normalisations. Its columns in the layers that read it follow: what a unit
    of zeros gives them is zero.

    Attributes:
        group: The group.
        places: Where its units lie.
    """

    group: Group
    places: tuple[Place, ...]

    @property
    def norm_places(self) -> tuple[Place, ...]:
        """Scales and shifts of the normalisations that the units pass through."""
        return tuple(place for place in self.places if place.is_norm)

    @property
    def gate_places(self) -> tuple[Place, ...]:
        """Where a factor on a unit reaches its output: behind normalisations, if there are any."""
        return self.norm_places or self.places

    def norms(self, module: nn.Module, places: Sequence[Place] | None = None) -> Tensor:
        """Euclidean norm of each unit, ``(num_units,)``."""
        count = self.group.num_units
        squares = [
            place.sums(module.get_parameter(place.parameter).detach().square(), count)
            for place in (self.places if places is None else places)
        ]
        return torch.stack(squares).sum(0).sqrt()

    def sizes(self, module: nn.Module) -> Tensor:
        """How many parameters each unit has, ``(num_units,)``."""
        count = self.group.num_units
        ones = [
            place.sums(torch.ones_like(module.get_parameter(place.parameter)), count)
            for place in self.places
        ]
        return torch.stack(ones).sum(0)


@dataclass(frozen=True, eq=False)
class Ground:
    """All that a sparse training may make zero.

    Attributes:
        groups: What a plan of the granularity can move.
        weights: Parameter name to the name of its layer; for granularity ``weight``.
        units: For granularity ``channel``.
    """

    groups: Groups
    weights: Mapping[str, str]
    units: tuple[Units, ...]

    @property
    def structured(self) -> bool:
        """Whether whole channels go."""
        return self.groups.granularity.structured


def find_ground(model: Model, settings: SparseTrainingSettings) -> Ground:
    """What the settings allow to become zero.

    Raises:
        PlanError: If nothing can be cut, or a pattern freezes nothing.
    """
    groups = find_groups(model, settings.granularity)
    groups.require_prunable()
    if settings.freeze is None:
        frozen = {group.name for group in groups.prunable if group.protected}
    else:
        frozen = set(frozen_groups(groups, settings.freeze))
    chosen = [group for group in groups.prunable if group.name not in frozen]
    if not chosen:
        raise PlanError("Every layer or group that can be cut is frozen.", "Freeze fewer of them.")
    if not groups.granularity.structured:
        weights = {g.layer.parameter_name: g.name for g in chosen if g.layer is not None}
        return Ground(groups, weights, ())
    units = tuple(Units(group, _places(model.module, group)) for group in chosen)
    return Ground(groups, {}, tuple(one for one in units if one.places))


def _places(module: nn.Module, group: Group) -> tuple[Place, ...]:
    """Rows of the layers that make the units, and every bias and normalisation."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    seen: set[int] = set()
    places = []
    for part in group.slices:
        parameter = parameters.get(part.parameter)
        if parameter is None or id(parameter) in seen:
            continue
        path = part.parameter.rpartition(".")[0]
        layer = module.get_submodule(path)
        if parameter.dim() > 1:
            transposed = isinstance(layer, _ConvTransposeNd) and layer.groups == 1
            if path not in group.layers or part.dim != (1 if transposed else 0):
                continue
        seen.add(id(parameter))
        owner = torch.full((parameter.shape[part.dim],), -1)
        owner[part.indices.flatten()] = torch.arange(group.num_units).repeat_interleave(
            part.indices.shape[1]
        )
        is_norm = isinstance(layer, _NormBase | nn.GroupNorm | nn.LayerNorm)
        places.append(Place(part.parameter, part.dim, owner, is_norm))
    return tuple(places)
