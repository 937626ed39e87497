"""Points measured the plain way: cut, repair, evaluate the whole network, put everything back.

For full repair, which rebuilds the network behind every cut, and for networks that cannot be
replayed (see ``workbench.sweep``).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from workbench.curves import SensitivityPoint, SensitivitySettings
from workbench.data import Data, Split
from workbench.groups import Groups
from workbench.metrics import Score, score
from workbench.model import Model
from workbench.plan import PruningPlan
from workbench.progress import ShouldStop, raise_if_stopped
from workbench.prune import Masks, apply_masks_, build_masks, prune
from workbench.repair import reestimate_batch_norm_, repair
from workbench.sweep import REPAIR_SAMPLES

BATCH = 100
"""Images in a pass; so few that the activations of a small network stay in the cache."""
FULL_REPAIR_SAMPLES = 500
"""Calibration images of a full repair, which is done anew for every point."""


def plain_points(
    model: Model, data: Data, settings: SensitivitySettings, places: Iterable[tuple[str, float]],
    groups: Groups, device: torch.device | str, should_stop: ShouldStop,
) -> Iterator[SensitivityPoint]:  # fmt: skip
    """Measure points one by one.

    Args:
        model: The dense model; it stays as it is.
        data: As for ``measure_sensitivity``.
        settings: As for ``measure_sensitivity``; its levels are not looked at.
        places: Group and level of each point; ``("", 0.0)`` is the baseline.
        groups: What ``find_groups(model, settings.granularity)`` returned.
        device: Where to run.
        should_stop: Asked before every pass.

    Raises:
        StoppedError: Where it should stop.
    """
    bench = _Bench(model, data, settings, groups, device, should_stop)
    for place in places:
        yield bench.point(*place)


class _Bench:
    """A copy of the model on the device, with the images that every point sees."""

    def __init__(
        self, model: Model, data: Data, settings: SensitivitySettings, groups: Groups,
        device: torch.device | str, should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._model, self._data, self._settings = model, data, settings
        self._groups, self._device, self._should_stop = groups, device, should_stop
        self._module = self._placed(model.copy_module())
        images = data.split("validation", settings.num_samples, settings.seed)
        self._split = Split(images.name, _channels_last(images.images, device), images.labels)
        self._repair_ = _repairing(self._module, data, settings, device)

    def point(self, group: str, level: float) -> SensitivityPoint:
        """Measure with one group cut to a level; the baseline has no name."""
        if group and self._settings.repair == "full":
            s = self._score(self._placed(self._fully_repaired(self._plan(group, level))))
        else:
            masks = (
                build_masks(self._model, self._plan(group, level), self._groups) if group else {}
            )
            module = self._module
            with tensors_restored_(module.buffers()), weights_masked_(module, masks):
                self._repair_()
                s = self._score(module)
        return SensitivityPoint(group, level, s.accuracy, s.loss, s.ci_low, s.ci_high, s.samples)

    def _plan(self, group: str, level: float) -> PruningPlan:
        settings = self._settings
        return PruningPlan(
            {group: level}, settings.granularity, settings.criterion, seed=settings.seed
        )

    def _fully_repaired(self, plan: PruningPlan) -> nn.Module:
        repaired = repair(
            prune(self._model, plan, self._groups), self._data, "full",
            num_samples=FULL_REPAIR_SAMPLES, seed=self._settings.seed, device=self._device,
            should_stop=self._should_stop,
        )  # fmt: skip
        raise_if_stopped(self._should_stop)  # it may have ended early
        return repaired.pruned.model.module

    def _placed(self, module: nn.Module) -> nn.Module:
        """The module on the device, ready to be stopped before every pass."""
        module.to(self._device).eval()
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.register_forward_pre_hook(lambda *_: raise_if_stopped(self._should_stop))
        return module

    def _score(self, module: nn.Module) -> Score:
        return score(module, self._split, batch_size=BATCH, device=self._device)


@contextmanager
def weights_masked_(module: nn.Module, masks: Masks) -> Iterator[None]:
    """Set the masked entries of parameters to zero for a while, then put back every bit.

    Args:
        module: Changed in place.
        masks: Parameter name to a boolean tensor of its shape; True marks a kept weight.
    """
    parameters = {key: module.get_parameter(key) for key in masks}
    with tensors_restored_(parameters.values()):
        apply_masks_(module, masks)
        yield


@contextmanager
def tensors_restored_(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Put back every bit of some tensors at the end, such as BatchNorm's statistics."""
    saved = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, value in saved:
            tensor.detach().copy_(value)


def _repairing(
    module: nn.Module, data: Data, settings: SensitivitySettings, device: torch.device | str
) -> Callable[[], object]:
    """What is done in place before a measurement, bound to the module and calibration images."""
    if settings.repair != "bn":
        return lambda: None
    images = data.split("calibration", REPAIR_SAMPLES, settings.seed).images
    placed = _channels_last(images, device)
    return lambda: reestimate_batch_norm_(module, placed)


def _channels_last(images: Tensor, device: torch.device | str) -> Tensor:
    return images.to(device).to(memory_format=torch.channels_last)
