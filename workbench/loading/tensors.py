"""From a file's bytes to named tensors on the CPU."""

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

from workbench.errors import LoadError
from workbench.loading import limits
from workbench.loading.checkpoint import state_dict_in
from workbench.loading.files import AGAIN
from workbench.loading.kinds import Kind
from workbench.loading.pickles import read_archive, read_legacy, refuse_pickle
from workbench.loading.wording import counted, shown, sized

OPENABLE = ("safetensors", "zip", "legacy", "pickle")
"""Kinds of file that ``read_tensors`` looks into."""


def read_tensors(name: str, data: bytes, kind: Kind) -> tuple[dict[str, Tensor], list[str]]:
    """Read the state dict in a file.

    Args:
        name: The file's name as messages show it.
        data: The whole file.
        kind: What the file is; one of ``OPENABLE``.

    Returns:
        Tensors by name, and notes on what was taken out of the file and how.

    Raises:
        LoadError: If there is no readable state dict in it.
    """
    if kind.name == "pickle":
        raise refuse_pickle(name, data, kind)
    if kind.name == "safetensors":
        tensors, notes = state_dict_in(name, _read_safetensors(name, data))
    else:
        read = read_archive if kind.name == "zip" else read_legacy
        tensors, notes = state_dict_in(name, read(name, data))
    _check_bounds(name, tensors)
    return tensors, notes


def read_record(data: bytes, kind: Kind) -> Mapping[str, object]:
    """The training record in the header of a .safetensors file; empty where there is none."""
    if kind.name != "safetensors":
        return {}
    length = int.from_bytes(data[:8], "little")
    try:
        record = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["training"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _read_safetensors(name: str, data: bytes) -> dict[str, Tensor]:
    length = int.from_bytes(data[:8], "little")
    if length > min(len(data) - 8, limits.MAX_HEADER_BYTES):
        raise LoadError(
            f"{name} is cut short or damaged: its header should have {sized(length)}, "
            f"the file has {sized(len(data))}.",
            AGAIN,
        )
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except Exception as fault:
        raise LoadError(
            f"{name} is cut short or damaged: {shown(_reason(fault), 100)}.", AGAIN
        ) from None
    return tensors


def _reason(fault: Exception) -> str:
    """The parser's own words, without its class names."""
    text = str(fault).strip("'\"").rstrip(".")
    return text.rpartition("deserializing header: ")[2] or type(fault).__name__


def _check_bounds(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuse more tensors, or larger ones, than any network that fits here has."""
    if len(tensors) > limits.MAX_TENSORS:
        raise LoadError(
            f"{name} holds {counted(len(tensors), 'tensor')}; "
            f"up to {limits.MAX_TENSORS:,} are read.",
            "Choose a smaller network.",
        )
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > limits.MAX_MODEL_BYTES:
        raise LoadError(
            f"The tensors of {name} claim {sized(total)}; "
            f"up to {sized(limits.MAX_MODEL_BYTES)} are read.",
            "Choose a smaller network.",
        )
