"""Repair after a replacement that pruned, and its file."""

import torch

from workbench.data import Data
from workbench.errors import ExportError
from workbench.export.formats import safetensors_bytes
from workbench.model import Model
from workbench.progress import Report, ShouldStop, raise_if_stopped
from workbench.prune import Masks, Pruned, apply_masks_
from workbench.repair import repair
from workbench.replacement.kind import Product, TensorProof
from workbench.replacement.settings import ReplacementSettings
from workbench.speedup import write_onnx


def refitted(
    pruned: Pruned, data: Data, settings: ReplacementSettings, file: str, notes: list[str],
    zeros: Masks, *, report: Report, should_stop: ShouldStop, device: torch.device | str,
) -> Product:  # fmt: skip
    """Repair a pruned model on calibration images and write its weights.

    Args:
        pruned: With masks for every zero that is to stay.
        data: Gives the images.
        settings: How many images, which seed.
        file: Name of the file.
        notes: What is told beside the numbers.
        zeros: Name of a weight to where it was zero before the replacement.
        report: Hears of the repair.
        should_stop: Ends the repair.
        device: Where to compute.

    Raises:
        StoppedError: If it was asked to stop.
    """
    repaired = repair(
        pruned, data, "full", num_samples=settings.samples, seed=settings.seed, device=device,
        report=report, should_stop=should_stop,
    )  # fmt: skip
    raise_if_stopped(should_stop)
    module = repaired.pruned.model.copy_module()
    apply_masks_(module, pruned.masks)
    model = pruned.model.with_module(module)
    return Product(
        file, safetensors_bytes(module, _record(model)), _onnx(model, should_stop), model,
        tuple(_proof(name, where, model) for name, where in zeros.items()), tuple(notes),
    )  # fmt: skip


def _proof(name: str, zeros: torch.Tensor, model: Model) -> TensorProof:
    after = model.module.get_parameter(name).detach() == 0
    return TensorProof(
        name, zeros.numel(), int(zeros.sum()), int((zeros & after).sum()), int(after.sum()),
        "float32",
    )  # fmt: skip


def _record(model: Model) -> dict[str, object]:
    return {
        "name": model.name, "architecture": model.architecture,
        "arguments": dict(model.arguments), "input_shape": list(model.input_shape),
        "data": model.data_name,
    }  # fmt: skip


def _onnx(model: Model, should_stop: ShouldStop) -> bytes:
    try:
        return write_onnx(model, should_stop)
    except ExportError:
        return b""


def zeros_of(model: Model) -> dict[str, torch.Tensor]:
    """Name of each weight of two and more axes to where it is exactly zero."""
    return {
        name: tensor.detach().cpu() == 0
        for name, tensor in model.module.named_parameters()
        if tensor.ndim >= 2
    }
