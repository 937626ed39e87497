"""Repair: recovery after pruning that needs no labels and takes seconds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from workbench.data import Data
from workbench.errors import SettingsError
from workbench.model import check_fit
from workbench.names import suggest
from workbench.prune import Pruned

NUM_SAMPLES = 2_000
BATCH = 250


@dataclass(frozen=True)
class Repair:
    """One way to repair.

    Attributes:
        name: The word used on the command line.
        title: What a page shows.
        summary: One sentence on what it does.
    """

    name: str
    title: str
    summary: str


REPAIRS: dict[str, Repair] = {
    repair.name: repair
    for repair in (
        Repair("none", "None", "Leaves the pruned model as it is."),
        Repair(
            "bn", "BatchNorm statistics",
            "Measures the mean and variance in every BatchNorm layer again on unlabelled images.",
        ),
    )
}  # fmt: skip


def get_repair(name: str) -> Repair:
    """The repair of that name.

    Raises:
        SettingsError: If there is none.
    """
    if name not in REPAIRS:
        raise SettingsError(f"There is no repair {name!r}.", suggest(name, REPAIRS))
    return REPAIRS[name]


def repair(
    pruned: Pruned, data: Data, method: str, *, num_samples: int = NUM_SAMPLES, seed: int = 0,
    device: torch.device | str = "cpu",
) -> Pruned:  # fmt: skip
    """Recover a pruned model on calibration images, without their labels.

    A model without BatchNorm comes back unchanged.

    Args:
        pruned: The pruned model; it stays as it is.
        data: Its calibration split is used.
        method: A name in ``REPAIRS``.
        num_samples: Calibration images, at least 2.
        seed: Chooses the images.
        device: Where to run.

    Raises:
        SettingsError: If the method is unknown or there are too few images.
        DataError: If the data do not fit the model.
    """
    if get_repair(method).name == "none" or not has_batch_norm(pruned.model.module):
        return pruned
    if num_samples < 2:
        raise SettingsError(f"Repair got {num_samples} images.", "Choose at least 2.")
    check_fit(pruned.model, data)
    module = pruned.model.copy_module().to(device)
    images = data.split("calibration", num_samples, seed).images
    reestimate_batch_norm_(module, images.to(device))
    return pruned.with_module(module.cpu())


def has_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps BatchNorm statistics."""
    return bool(_batch_norms(module))


@torch.no_grad()
def reestimate_batch_norm_(module: nn.Module, images: Tensor) -> None:
    """Measure the statistics of every BatchNorm again, in place; leaves the module in eval mode.

    Each statistic becomes the plain average over batches of equal size; everything but BatchNorm
    runs in eval mode.

    Args:
        module: The network, on the device of the images.
        images: ``(samples, channels, height, width)``, at least 2.

    Reference:
        Li et al. 2020, "EagleEye", section 3.3 (adaptive batch normalisation).
    """
    module.eval()
    norms = _batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the average of all batches
            norm.train()
        for batch in images.tensor_split(max(1, len(images) // BATCH)):
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.eval()


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
    ]
