"""Putting a file's tensors into a network, as finite float32 numbers."""

import torch
from torch import Tensor, nn

from workbench.errors import LoadError
from workbench.loading.families import Fitted
from workbench.loading.wording import listed, shown
from workbench.shared import second_names, share_


def fill(name: str, tensors: dict[str, Tensor], fitted: Fitted) -> tuple[nn.Module, list[str]]:
    """Put the tensors into the network as float32, in eval mode; ``tensors`` is used up.

    Returns:
        The network, which shares no memory with ``tensors``, and notes on conversions.

    Raises:
        LoadError: If a tensor holds another kind of number or one that is not finite, or two
            names of one tensor of the network hold different numbers.
    """
    converted: dict[str, Tensor] = {}
    kinds: set[str] = set()
    module = fitted.skeleton
    seconds = second_names(module)
    for key, expected in fitted.expected.items():
        if key in tensors:
            tensor = tensors.pop(key)
            if tensor.dtype not in (torch.float32, expected.dtype):
                kinds.add(str(tensor.dtype).removeprefix("torch."))
            converted[key] = _as_expected(name, key, tensor, expected)
        elif key not in seconds:
            converted[key] = torch.zeros(expected.shape, dtype=expected.dtype)
    for key, first in seconds.items():
        if not torch.equal(converted.setdefault(key, converted[first]), converted[first]):
            raise LoadError(
                f"{shown(first)} and {shown(key)} in {name} differ; in architecture "
                f"{fitted.family.name} they are one and the same tensor.",
                "Save the weights of a network whose layers share it.",
            )
    module.load_state_dict(converted, assign=True)
    share_(module, seconds)
    notes = [f"Converted {listed(sorted(kinds))} to float32."] if kinds else []
    return module.eval(), notes


def _as_expected(name: str, key: str, tensor: Tensor, expected: Tensor) -> Tensor:
    """A fresh copy of one tensor in the kind of number that the network has."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise LoadError(
            f"{shown(key)} in {name} is not stored as a plain array of numbers.",
            "Save it dense and unquantised, for instance with tensor.dequantize().",
        )
    if not expected.is_floating_point():
        if tensor.is_floating_point() or tensor.is_complex():
            raise LoadError(
                f"{shown(key)} in {name} holds {kind} values; whole numbers were expected.",
                "Save the weights of the trained network again.",
            )
        return tensor.to(expected.dtype, copy=True)
    check_numbers(name, key, tensor)
    wanted = tensor.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    if not bool(torch.isfinite(wanted).all()):
        raise LoadError(
            f"{shown(key)} in {name} holds {kind} values beyond the range of float32.",
            "Scale the weights or check how they were saved.",
        )
    return wanted


def check_numbers(name: str, key: str, tensor: Tensor) -> None:
    """Refuse weights that are no floating-point numbers, or not finite.

    Raises:
        LoadError: Naming the tensor and counting what is not finite.
    """
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise LoadError(
            f"{shown(key)} in {name} holds {kind} values; "
            "float32, float64, float16 or bfloat16 were expected.",
            "Save the weights before quantisation, as floating-point numbers.",
        )
    for words, bad in (("NaN", torch.isnan), ("infinite", torch.isinf)):
        count = int(bad(tensor).sum())
        if count:
            raise LoadError(
                f"{shown(key)} in {name} holds {count:,} {words} "
                f"{'value' if count == 1 else 'values'} among {tensor.numel():,}.",
                "The training diverged or the file is damaged: take an earlier checkpoint.",
            )
