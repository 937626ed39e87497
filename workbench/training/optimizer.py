"""An optimiser during whose steps masked weights stay exactly zero."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.finetune_settings import FineTuneSettings
from workbench.prune import Masks, apply_masks_


class MaskedOptimizer:
    """An optimiser that leaves masked weights, and all it remembers of them, at exactly zero.

    Masked weights start at zero and their gradients are set to zero before every step. Then
    nothing can move them: weight decay adds a multiple of a zero weight, momentum and Adam's two
    averages stay sums of zeros, and zero over ``sqrt(0) + eps`` is zero.

    Args:
        module: What to train; its masked weights are set to zero.
        masks: Parameter name to mask, True = kept.
        settings: Which optimiser and how.
        groups: More parameter groups; see ``Addition.parameter_groups``.

    Attributes:
        masks: The masks that hold.
    """

    def __init__(
        self, module: nn.Module, masks: Masks, settings: FineTuneSettings,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        self._module = module
        self._hold_(masks)
        self.optimizer = _build_optimizer(module, settings, groups)

    def _hold_(self, masks: Masks) -> None:
        apply_masks_(self._module, masks)
        self.masks = masks
        masked = [(self._module.get_parameter(k), m) for k, m in masks.items() if not bool(m.all())]
        self._masked = [weight for weight, _ in masked]
        self._masks = [torch.empty_like(weight).copy_(mask) for weight, mask in masked]

    @torch.no_grad()
    def set_masks_(self, masks: Masks) -> None:
        """Hold other masks from now on, in place of all before them.

        What the optimiser remembers of a weight that is masked now is forgotten; a weight that is
        no longer masked starts again from zero.
        """
        self._hold_(masks)
        for weight, mask in zip(self._masked, self._masks, strict=True):
            for value in self.optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.mul_(mask)

    def step(self, lr: float) -> None:
        """Take one step along the gradients, then forget them."""
        pairs = [
            (weight.grad, mask)
            for weight, mask in zip(self._masked, self._masks, strict=True)
            if weight.grad is not None
        ]
        if pairs:
            torch._foreach_mul_([grad for grad, _ in pairs], [mask for _, mask in pairs])
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _build_optimizer(
    module: nn.Module, settings: FineTuneSettings, more: Sequence[Mapping[str, Any]]
) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"lr_factor": 1.0} | dict(group) for group in more]
    for group in groups:
        group["params"] = [parameter.requires_grad_() for parameter in group["params"]]
    taken = {id(parameter) for group in groups for parameter in group["params"]}
    own = [p.requires_grad_() for p in module.parameters() if p.is_floating_point()]
    rest = [parameter for parameter in own if id(parameter) not in taken]
    groups.insert(0, {"params": rest, "lr_factor": 1.0})
    lr, decay = settings.highest_lr, settings.weight_decay
    everything = (parameter for group in groups for parameter in group["params"])
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in everything)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr, settings.momentum, weight_decay=decay,
            nesterov=settings.momentum > 0, fused=fused,
        )  # fmt: skip
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    return kind(groups, lr, weight_decay=decay, fused=fused)
