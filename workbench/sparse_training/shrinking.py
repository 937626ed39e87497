# ruff: noqa: ARG002  the loop gives these arguments
"""Penalties that shrink weights, units or scales by a proximal step after each training step."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.errors import PlanError
from workbench.sparse_training.addition import (
    SparseAddition,
    lowest_gone,
    magnitudes,
)
from workbench.sparse_training.ground import Ground
from workbench.sparse_training.growth import growing_strength
from workbench.sparse_training.proximal import elastic_step, group_factors, shrink
from workbench.sparse_training.settings import SparseTrainingSettings


class Shrinking(SparseAddition):
    """L1 and L2 penalties on single weights.

    Args:
        ground: Weights of layers.
        settings: How.
        l1: Part of the strength that is L1.
        l2: Part of it that is L2.
    """

    def __init__(
        self, ground: Ground, settings: SparseTrainingSettings, *, l1: float, l2: float
    ) -> None:  # fmt: skip
        super().__init__(ground, settings)
        self._l1, self._l2 = l1, l2

    def act_(self, module: nn.Module, part: float) -> None:
        """The proximal step of the mixture."""
        step = self.step_size() * self.strength(part)
        for name in self.ground.weights:
            weight = module.get_parameter(name)
            weight.copy_(elastic_step(weight, step * self._l1, step * self._l2))

    def penalty(self, module: nn.Module) -> float:
        """The strength times the mixture of norms."""
        total = 0.0
        for name in self.ground.weights:
            weight = module.get_parameter(name).detach()
            total += self._l1 * float(weight.abs().sum())
            total += self._l2 * float(weight.square().sum()) / 2
        return self.settings.used_strength * total


class GroupShrinking(SparseAddition):
    """Group lasso: one length for each unit, with all that makes it."""

    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Weigh every unit by the root of its size."""
        super().prepare_(module, steps)
        self._weights = [one.sizes(module).sqrt() for one in self.ground.units]

    def act_(self, module: nn.Module, part: float) -> None:
        """The proximal step of the sum of lengths."""
        step = self.step_size() * self.strength(part)
        for one, weights in zip(self.ground.units, self._weights, strict=True):
            factors = group_factors(one.norms(module), step * weights)
            for place in one.places:
                weight = module.get_parameter(place.parameter)
                weight.mul_(place.spread(factors, weight, 1.0))

    def penalty(self, module: nn.Module) -> float:
        """The strength times the weighted sum of lengths."""
        lengths = [
            float((weights * one.norms(module)).sum())
            for one, weights in zip(self.ground.units, self._weights, strict=True)
        ]
        return self.settings.used_strength * sum(lengths)


class ScaleShrinking(SparseAddition):
    """L1 on the scales of normalisations; scales of one unit are pulled together."""

    def __init__(self, ground: Ground, settings: SparseTrainingSettings) -> None:
        units = tuple(one for one in ground.units if one.norm_places)
        if not units:
            raise PlanError(
                "No channel of this model passes through a normalisation with a scale.",
                "Choose group lasso or L0 for its channels.",
            )
        super().__init__(Ground(ground.groups, ground.weights, units), settings)
        self._scales = [
            tuple(place for place in one.norm_places if place.parameter.endswith("weight"))
            for one in units
        ]

    def act_(self, module: nn.Module, part: float) -> None:
        """The proximal step of the scales; what has no scale gets no shift."""
        step = self.step_size() * self.strength(part)
        for one, scales in zip(self.ground.units, self._scales, strict=True):
            norms = one.norms(module, scales)
            factors = group_factors(norms, torch.full_like(norms, step))
            silent = (factors > 0).to(factors.dtype)
            for place in one.norm_places:
                weight = module.get_parameter(place.parameter)
                by = factors if place in scales else silent
                weight.mul_(place.spread(by, weight, 1.0))

    def penalty(self, module: nn.Module) -> float:
        """The strength times the sum of the scales' lengths."""
        return self.settings.used_strength * sum(
            float(one.norms(module, scales).sum())
            for one, scales in zip(self.ground.units, self._scales, strict=True)
        )

    def alive_now(self, module: nn.Module) -> dict[str, Tensor]:
        """Units that have a scale."""
        return {name: scores > 0 for name, scores in self.scores(module).items()}

    def scores(self, module: nn.Module) -> dict[str, Tensor]:
        """The scales themselves."""
        return {
            one.group.name: one.norms(module, scales)
            for one, scales in zip(self.ground.units, self._scales, strict=True)
        }


class Growing(SparseAddition):
    """An L2 penalty that rises on what was chosen to go (GReg-1), which then is held at zero."""

    @torch.no_grad()
    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Choose the smallest."""
        super().prepare_(module, steps)
        target = self.settings.used_target
        assert target is not None
        self._chosen = lowest_gone(magnitudes(self.ground, module), self.alive_now(module), target)

    def is_over(self, part: float, alive: Mapping[str, Tensor]) -> bool:
        """The ramp ends by itself."""
        return False

    def strength(self, part: float) -> float:
        """Rises in stairs along the ramp."""
        return growing_strength(part, self.settings.used_strength, self.settings.ramp)

    def act_(self, module: nn.Module, part: float) -> None:
        """Shrink the chosen ones; at the end of the ramp they are gone."""
        if part >= self.settings.ramp:
            self.hold_(module, self._chosen)
            return
        step = self.step_size() * self.strength(part)
        factor = float(shrink(torch.ones(1, dtype=torch.float64), step))
        for name, by in self._multipliers(module, factor):
            module.get_parameter(name).mul_(by)

    def penalty(self, module: nn.Module) -> float:
        """The strength times half the squares of the chosen ones."""
        total = 0.0
        for name, by in self._multipliers(module, 0.0):
            weight = module.get_parameter(name).detach()
            total += float((weight * (1 - by)).square().sum()) / 2
        return self._strength * total

    def scores(self, module: nn.Module) -> dict[str, Tensor]:
        """What was chosen goes, also where the training was stopped before."""
        found = magnitudes(self.ground, module)
        return {
            name: scores + self._chosen[name].to(scores.dtype) * (1 + float(scores.max()))
            for name, scores in found.items()
        }

    def _multipliers(self, module: nn.Module, chosen: float) -> list[tuple[str, Tensor]]:
        """Parameter name and a tensor that is 1 but for what was chosen."""
        if not self.ground.structured:
            return [
                (name, torch.where(self._chosen[name], 1.0, chosen)) for name in self.ground.weights
            ]
        found = []
        for one in self.ground.units:
            by = torch.where(self._chosen[one.group.name], 1.0, chosen)
            for place in one.places:
                weight = module.get_parameter(place.parameter)
                found.append((place.parameter, place.spread(by, weight, 1.0)))
        return found
