# ruff: noqa: ARG002  subclasses and the loop know these arguments
"""What all penalties and growing cuts do in a training: count zeros, reach a target, hold it."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.finetune_settings import FineTuneSettings
from workbench.sparse_training.ground import Ground
from workbench.sparse_training.settings import SparseTrainingSettings
from workbench.training import Addition
from workbench.training.course import RETRACED, learning_rate
from workbench.training.method import Course

COUNT_EVERY = 10
HELD_FROM = 0.8
"""Part of the training after which zeros are held and the penalty is over: what is left of the
learning rate then serves the survivors, which the penalty has shrunk."""


class SparseAddition(Addition):
    """Takes part in a training and makes zeros; what is left at the end is told by ``alive``.

    Subclasses say how by ``act_`` and, where zeros are more than weights of zero, ``alive_now``.

    Args:
        ground: What may become zero.
        settings: How.

    Attributes:
        cut_afterwards: Sparsity that the penalty left to be cut at its end, as a fraction of what
            may be cut; 0 where it made all the zeros itself.
        held: Whether the zeros are held by now.
    """

    def __init__(self, ground: Ground, settings: SparseTrainingSettings) -> None:
        self.ground, self.settings = ground, settings
        self.cut_afterwards = 0.0
        self.held = False
        self._steps = 0
        self._part = self._strength = 0.0
        self._sparsity = self._penalty = 0.0
        self._alive: dict[str, Tensor] = {}
        self._changed: Mapping[str, Tensor] | None = None

    def act_(self, module: nn.Module, part: float) -> None:
        """Make zeros after a step; not called any more once they are held."""

    def penalty(self, module: nn.Module) -> float:
        """The penalty at the weights as they are, for people to see; not what the loss gets."""
        return 0.0

    def step_size(self) -> float:
        """How long a proximal step is now: as long as that of the optimiser before it."""
        return step_size(self.settings.training, self._part)

    def strength(self, part: float) -> float:
        """The strength of the penalty at a point of the training."""
        return self.settings.used_strength

    def alive_now(self, module: nn.Module) -> dict[str, Tensor]:
        """What is not zero: by parameter its entries, or by group its units."""
        if not self.ground.structured:
            return {name: module.get_parameter(name).detach() != 0 for name in self.ground.weights}
        return {one.group.name: one.norms(module) > 0 for one in self.ground.units}

    def scores(self, module: nn.Module) -> dict[str, Tensor]:
        """Where training ends short of its target, the lowest of these go; as ``alive_now``."""
        return magnitudes(self.ground, module)

    def alive(self, module: nn.Module) -> dict[str, Tensor]:
        """What is left, at least one entry or unit of everything."""
        found = self._alive or self.alive_now(module)
        return {name: at_least_one(alive) for name, alive in found.items()}

    def prepare_(self, module: nn.Module, steps: int) -> None:
        """Begin to count."""
        self._sparsity = sparsity_of(self.alive_now(module))

    def masks(self) -> Mapping[str, Tensor] | None:
        """New masks, once."""
        changed, self._changed = self._changed, None
        return changed

    def values(self) -> dict[str, float]:
        """Sparsity, strength and penalty."""
        return {
            "sparsity": self._sparsity,
            "strength": 0.0 if self.held else self._strength,
            "penalty": self._penalty,
        }

    def loss(self, module: nn.Module, part: float) -> Tensor | None:
        """Nothing to add; the penalty acts after the step, which is taken at this part."""
        self._part = part
        return None

    @torch.no_grad()
    def after_step_(self, module: nn.Module, part: float) -> None:
        """Let the method act, count now and then, and hold the zeros at the target."""
        if self.held:
            return
        self._strength = self.strength(part)
        self.act_(module, part)
        self._steps += 1
        if self._steps % COUNT_EVERY == 0 or part >= HELD_FROM:
            alive = self.alive_now(module)
            self._sparsity = sparsity_of(alive)
            self._penalty = self.penalty(module)
            if self.is_over(part, alive):
                self.hold_(module, self.cut_to_target(module, alive))

    def is_over(self, part: float, alive: Mapping[str, Tensor]) -> bool:
        """Whether no more zeros are to be made: at the target, or late in the training."""
        target = self.settings.used_target
        return part >= HELD_FROM or (target is not None and sparsity_of(alive) >= target)

    def cut_to_target(self, module: nn.Module, alive: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Let the lowest go where the zeros made so far fall short of the target."""
        target, before = self.settings.used_target, sparsity_of(alive)
        if target is None or before >= target:
            return alive
        cut = lowest_gone(self.scores(module), alive, target)
        self.cut_afterwards = sparsity_of(cut) - before
        return cut

    def hold_(self, module: nn.Module, alive: Mapping[str, Tensor]) -> None:
        """From now on what is zero stays zero, and there is no penalty any more."""
        self._alive = {name: at_least_one(kept) for name, kept in alive.items()}
        self.held = True
        self._sparsity = sparsity_of(self._alive)
        self.mask_(module, self._alive)

    def mask_(self, module: nn.Module, alive: Mapping[str, Tensor]) -> None:
        """Mask what is not alive, here and in the optimiser."""
        self._changed = masks_of(self.ground, module, alive)
        for name, mask in self._changed.items():
            module.get_parameter(name).masked_fill_(~mask, 0)

    @torch.no_grad()
    def finish_(self, module: nn.Module) -> None:
        """Reach the target if training did not, and leave what is to go at exactly zero."""
        alive: Mapping[str, Tensor] = self._alive
        if not self.held:
            alive = self.cut_to_target(module, self.alive_now(module))
        self._alive = {name: at_least_one(kept) for name, kept in alive.items()}
        for name, mask in masks_of(self.ground, module, self._alive).items():
            module.get_parameter(name).masked_fill_(~mask, 0)


def step_size(training: FineTuneSettings, part: float) -> float:
    """How far a weight of constant gradient goes in a step: the learning rate, momentum included.

    Proximal steps are as long, so that a strength means the same at every learning rate.
    """
    momentum = training.momentum if training.optimizer == "sgd" else 0.0
    course = Course(training.highest_lr, training.cycles, training.rewind or RETRACED)
    return learning_rate(training, course, part) / (1 - momentum)


def magnitudes(ground: Ground, module: nn.Module) -> dict[str, Tensor]:
    """Absolute weights, or norms of units relative to the mean of their group."""
    if not ground.structured:
        return {name: module.get_parameter(name).detach().abs() for name in ground.weights}
    found = {}
    for one in ground.units:
        norms = one.norms(module)
        found[one.group.name] = norms / norms.mean().clamp_min(torch.finfo(norms.dtype).tiny)
    return found


def sparsity_of(alive: Mapping[str, Tensor]) -> float:
    """Fraction that is gone."""
    total = sum(one.numel() for one in alive.values())
    left = sum(int(torch.count_nonzero(one)) for one in alive.values())
    return 1 - left / max(1, total)


def at_least_one(alive: Tensor) -> Tensor:
    """The same, with the first entry left where all would be gone."""
    if bool(alive.any()):
        return alive
    kept = alive.clone()
    kept.view(-1)[0] = True
    return kept


def lowest_gone(
    scores: Mapping[str, Tensor], alive: Mapping[str, Tensor], sparsity: float
) -> dict[str, Tensor]:
    """What is alive without the lowest, ranked over everything, ties by position.

    Args:
        scores: Higher is kept; the shapes of ``alive``.
        alive: What may still go.
        sparsity: Fraction of everything that is gone afterwards, at least what is gone already.

    Returns:
        Masks; of everything at least the highest entry is alive.
    """
    names = list(alive)
    flat = torch.cat([scores[name].reshape(-1).double() for name in names])
    here = torch.cat([alive[name].reshape(-1) for name in names])
    flat = torch.where(here, flat, flat.new_tensor(-math.inf))
    gone = min(len(flat), math.floor(sparsity * len(flat) + 0.5))
    kept = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    kept[flat.argsort(stable=True)[:gone]] = False
    kept &= here
    found, start = {}, 0
    for name in names:
        count = alive[name].numel()
        mask = kept[start : start + count]
        if not bool(mask.any()):
            mask = mask.clone()
            mask[int(flat[start : start + count].argmax())] = True
        found[name] = mask.view(alive[name].shape)
        start += count
    return found


def masks_of(
    ground: Ground, module: nn.Module, alive: Mapping[str, Tensor]
) -> dict[str, Tensor]:  # fmt: skip
    """Parameter name to mask: of weights the same, of units all of their places."""
    if not ground.structured:
        return dict(alive)
    masks: dict[str, Tensor] = {}
    for one in ground.units:
        kept = alive[one.group.name].double()
        for place in one.places:
            weight = module.get_parameter(place.parameter)
            mask = (place.spread(kept, weight, 1.0) > 0).expand(weight.shape).contiguous()
            masks[place.parameter] = masks.get(place.parameter, mask) & mask
    return masks
