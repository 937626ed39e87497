"""A recorded computation: calls in order, each reading slots and named tensors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor

IMAGES = 0
"""The slot that holds the images."""


class Slot(NamedTuple):
    """A tensor that a call made, by its number."""

    number: int


class Named(NamedTuple):
    """A parameter or buffer of the network, by its name in the state dict."""

    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """One torch function with its arguments.

    Attributes:
        function: Gives tensors, changes none.
        args: Positional arguments, with ``Slot`` and ``Named`` in place of tensors.
        kwargs: Named arguments, likewise.
        makes: Numbers of the slots that it fills.
        picks: For each of them the way to it in what the function returns, e.g. ``(0,)`` for the
            first of a tuple and ``()`` for the whole.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    makes: tuple[int, ...]
    picks: tuple[tuple[int | str, ...], ...] = ((),)

    @cached_property
    def reads(self) -> frozenset[int]:
        """Numbers of the slots that it reads."""
        found = (*leaves(self.args), *leaves(self.kwargs))
        return frozenset(leaf.number for leaf in found if isinstance(leaf, Slot))

    @cached_property
    def named(self) -> frozenset[str]:
        """Names of the parameters and buffers that it reads."""
        found = (*leaves(self.args), *leaves(self.kwargs))
        return frozenset(leaf.name for leaf in found if isinstance(leaf, Named))

    def perform(self, values: dict[int, Tensor], tensors: Mapping[str, Tensor]) -> None:
        """Fill its slots.

        Args:
            values: Slot number to tensor.
            tensors: Name to parameter or buffer.
        """
        args = [fill(value, values, tensors) for value in self.args]
        kwargs = {key: fill(value, values, tensors) for key, value in self.kwargs.items()}
        result = self.function(*args, **kwargs)
        for number, way in zip(self.makes, self.picks, strict=True):
            found = result
            for step in way:
                found = found[step]
            values[number] = found


def leaves(value: Any) -> Iterator[Any]:
    """Everything inside nested tuples, lists and dicts."""
    if isinstance(value, Slot | Named):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def fill(value: Any, values: Mapping[int, Tensor], tensors: Mapping[str, Tensor]) -> Any:
    """The same with tensors in place of ``Slot`` and ``Named``."""
    if isinstance(value, Slot):
        return values[value.number]
    if isinstance(value, Named):
        return tensors[value.name]
    if isinstance(value, dict):
        return {key: fill(part, values, tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [fill(part, values, tensors) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


@dataclass(frozen=True, eq=False)
class Stretch:
    """The part of a tape that some changed tensors can change.

    Attributes:
        calls: In order.
        needs: Slots that it reads and does not fill.
        drops: For each call the slots that nothing reads after it.
    """

    calls: tuple[Call, ...]
    needs: frozenset[int]
    drops: tuple[tuple[int, ...], ...] = field(repr=False)


def stretch_of(calls: tuple[Call, ...], keep: frozenset[int]) -> Stretch:
    """Put calls together.

    Args:
        calls: In order.
        keep: Slots that are wanted afterwards.
    """
    made = frozenset(number for call in calls for number in call.makes)
    needs = frozenset(number for call in calls for number in call.reads) - made
    seen, drops = set(keep), []
    for call in reversed(calls):
        last = (call.reads | set(call.makes)) - seen - needs
        seen |= last
        drops.append(tuple(last))
    return Stretch(calls, needs, tuple(reversed(drops)))
