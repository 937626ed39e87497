"""Shared tensors: one parameter or buffer that a network holds under several names.

Such a tensor is one thing: it is counted once, pruned once, stored once and trained by the
gradients of all its uses. A state dict knows it under every name; the first one, in the order of
the modules, stands for all.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, groupby

from torch import Tensor, nn


def all_names(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Every name of every parameter and buffer, by the first one."""
    by_id: dict[int, list[str]] = {}
    for name, tensor in chain(
        module.named_parameters(remove_duplicate=False),
        module.named_buffers(remove_duplicate=False),
    ):
        by_id.setdefault(id(tensor), []).append(name)
    return {names[0]: tuple(names) for names in by_id.values()}


def second_names(module: nn.Module) -> dict[str, str]:
    """Further names of shared tensors, each with the first name; empty where nothing is shared."""
    return {name: names[0] for names in all_names(module).values() for name in names[1:]}


def stored_once(tensors: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """A state dict with every shared tensor under its first name alone.

    Args:
        tensors: State dict of the network.
        module: The network, which says what is shared.
    """
    others = second_names(module)
    return {name: tensor for name, tensor in tensors.items() if name not in others}


def named_fully(tensors: Mapping[str, Tensor], seconds: Mapping[str, str]) -> dict[str, Tensor]:
    """Stored tensors under all names again; the reverse of ``stored_once``.

    Args:
        tensors: As read from a file; names that are there stay as they are.
        seconds: Further name to first name.
    """
    more = {name: tensors[first] for name, first in seconds.items() if first in tensors}
    return more | dict(tensors)


def share_(module: nn.Module, seconds: Mapping[str, str]) -> None:
    """Make parameters and buffers one tensor again, in place.

    Args:
        module: A network whose tensors of one row have one shape.
        seconds: Further name to first name.
    """
    for name, first in seconds.items():
        (path, _, key), (path_of_first, _, key_of_first) = (
            name.rpartition("."),
            first.rpartition("."),
        )
        shared = getattr(module.get_submodule(path_of_first), key_of_first)
        setattr(module.get_submodule(path), key, shared)


def describe_uses(uses: Iterable[str]) -> str:
    """Where a weight is used, in words: ``block.first x 3`` or ``near, far``.

    Args:
        uses: Path of the module at every use, in order.
    """
    runs = [(path, len([*group])) for path, group in groupby(uses)]
    return ", ".join(f"{path} x {count}" if count > 1 else path for path, count in runs)
