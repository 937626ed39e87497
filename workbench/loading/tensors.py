"""From a file's bytes to named tensors on the CPU."""

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
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
    return _apply_masks(tensors, notes), notes


def read_record(data: bytes, kind: Kind) -> Mapping[str, object]:
    """The training record in the header of a .safetensors file; empty where there is none."""
    if kind.name != "safetensors":
        return {}
    try:
        record = json.loads(_header(data)["__metadata__"]["training"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _header(data: bytes) -> Any:
    """The JSON header of a .safetensors file, unchecked."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + min(length, limits.MAX_HEADER_BYTES)])


def _read_safetensors(name: str, data: bytes) -> dict[str, Tensor]:
    """Read a .safetensors file after comparing its length with what its header says."""
    length = int.from_bytes(data[:8], "little")
    if length > limits.MAX_HEADER_BYTES:
        raise LoadError(
            f"The header of {name} claims {sized(length)}; "
            f"up to {sized(limits.MAX_HEADER_BYTES)} are read.",
            AGAIN,
        )
    _check_length(name, 8 + length, len(data))
    try:
        entries = [value for key, value in _header(data).items() if key != "__metadata__"]
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in entries), default=0)
    except Exception:
        raise LoadError(f"{name} is damaged: its header is not readable.", AGAIN) from None
    _check_length(name, end, len(data))
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except Exception:
        raise LoadError(
            f"{name} is damaged: its header does not describe its contents.", AGAIN
        ) from None
    return tensors


def _check_length(name: str, least: int, length: int) -> None:
    if least > length:
        raise LoadError(
            f"{name} is cut short: it should have at least {least:,} bytes and has {length:,}.",
            AGAIN,
        )


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


def _apply_masks(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Join the pairs ``weight_orig`` and ``weight_mask`` that torch.nn.utils.prune leaves."""
    for key in [key for key in tensors if key.endswith("_orig")]:
        stem = key.removesuffix("_orig")
        mask = tensors.get(f"{stem}_mask")
        if mask is None or stem in tensors or not _joinable(tensors[key], mask):
            continue
        tensors[stem] = torch.where(mask != 0, tensors.pop(key), 0.0)
        del tensors[f"{stem}_mask"]
        notes.append(f"Applied the pruning mask of {shown(stem)!r}.")
    return tensors


def _joinable(weight: Tensor, mask: Tensor) -> bool:
    plain = all(t.layout == torch.strided and t.device.type == "cpu" for t in (weight, mask))
    return plain and weight.is_floating_point() and weight.shape == mask.shape
