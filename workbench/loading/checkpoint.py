"""Finding the state dict inside whatever was saved, and freeing its names of wrappers."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from workbench.errors import LoadError
from workbench.loading.wording import counted, listed, shown

_PLACES = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module",
    "weights", "params", "ema", "ema_state_dict", "state_dict_ema", "model_ema",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.")
_COUNTERS = ("n_averaged",)
_DEEPEST = 3
_SAVE = "Save the weights with torch.save(model.state_dict(), 'weights.pt') and open that file."


def state_dict_in(name: str, content: object) -> tuple[dict[str, Tensor], list[str]]:
    """Find the state dict in what a file holds and strip ``module.`` and the like.

    Args:
        name: The file's name as messages show it.
        content: What was read: a state dict, or a checkpoint with one inside under a usual name.

    Returns:
        Tensors by name, and one note for each thing that was done.

    Raises:
        LoadError: If there is no state dict, or it is empty.
    """
    if not isinstance(content, Mapping):
        raise LoadError(f"{name} holds {_what(content)}, not a state dict.", _SAVE)
    if not content:
        raise LoadError(f"{name} holds an empty state dict.", _SAVE)
    places = list(_candidates(content, (), _DEEPEST))
    if not places:
        raise _nothing(name, content)
    path, found = places[0]
    notes = []
    if path:
        notes.append(f"Took the weights at {'.'.join(map(shown, path))!r} of the checkpoint.")
        others = [".".join(other) for other, _ in places[1:]]
        if others:
            notes.append(f"The checkpoint also holds {listed(others)}, which was left aside.")
    tensors = {key: value for key, value in found.items() if key not in _COUNTERS}
    return _strip(tensors, notes), notes


def _candidates(
    content: Mapping[object, object], path: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """State dicts in ``content``, the most likely one first."""
    if _is_state_dict(content):
        yield path, {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        return
    if not depth:
        return
    for key in _PLACES:
        inner = content.get(key)
        if isinstance(inner, Mapping):
            yield from _candidates(inner, (*path, key), depth - 1)


def _is_state_dict(content: Mapping[object, object]) -> bool:
    return bool(content) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )


def _strip(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Remove prefixes that every name has, one after the other."""
    while True:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in tensors)), None)
        if prefix is None or not tensors:
            return tensors
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
        notes.append(f"Removed the prefix {prefix!r} from all names.")


def _nothing(name: str, content: Mapping[object, object]) -> LoadError:
    """Say what is there where a state dict was looked for."""
    if "param_groups" in content:
        return LoadError(f"{name} holds the state of an optimizer, not of a network.", _SAVE)
    tensors = sum(isinstance(value, Tensor) for value in content.values())
    if tensors:
        others = [key for key, value in content.items() if not isinstance(value, Tensor)]
        odd = others or [key for key in content if not isinstance(key, str)]
        value = content[odd[0]]
        return LoadError(
            f"{name} holds {counted(tensors, 'tensor')}, and under {shown(odd[0])!r} "
            f"{_what(value)}; a state dict holds named tensors only.",
            _SAVE,
        )
    return LoadError(
        f"{name} is a checkpoint without weights; it holds {listed(content, 6)}.",
        f"The weights are looked for under {', '.join(_PLACES[:6])} and the like. {_SAVE}",
    )


def _what(value: object) -> str:
    """A value in words."""
    if isinstance(value, Tensor):
        return "a single tensor"
    if isinstance(value, torch.nn.Module):
        return "a module"
    if isinstance(value, bool | int | float | str):
        return f"{shown(repr(value), 30)}"
    kinds = {"list": "a list", "tuple": "a tuple", "dict": "a dict", "NoneType": "nothing"}
    return kinds.get(type(value).__name__, f"an object of class {type(value).__name__}")
