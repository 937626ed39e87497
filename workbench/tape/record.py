"""Recording: what a forward does to a batch of images, call by call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.tape.nodes import IMAGES, Call, Named, Slot, leaves

_PEEKS = frozenset(
    ("__bool__", "__int__", "__float__", "__index__", "__complex__", "item", "tolist", "numpy",
     "__array__", "__contains__", "equal", "allclose", "is_nonzero", "nonzero", "argwhere",
     "masked_select", "unique", "unique_consecutive")
)  # fmt: skip
"""Calls that take a value out of a tensor, or a shape that follows from values: what comes after
may depend on it."""
_UNSAFE = frozenset(("set_", "resize_", "share_memory_", "requires_grad_", "apply_", "map_"))
_IN_PLACE = {
    f"__i{name}__": f"__{name}__"
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
}


class UnrepeatableError(Exception):
    """A forward that cannot be replayed call by call; the text is the reason, a sentence."""


def record_calls(module: nn.Module, images: Tensor, names: Mapping[int, str]) -> "Recording":
    """Run a network once and write down every torch call.

    Args:
        module: In eval mode; it stays as it is.
        images: ``(samples, channels, height, width)``.
        names: Name of every parameter and buffer by the ``id`` of its tensor.

    Raises:
        UnrepeatableError: If the way through the network depends on the values of tensors, or it
            changes tensors in a way that cannot be followed.
    """
    recorder = _Recorder(images, names)
    with torch.no_grad(), recorder:
        scores = module(images)
    if not isinstance(scores, Tensor) or id(scores) not in recorder.slots:
        raise UnrepeatableError("The network does not return a tensor that it computed.")
    return Recording(recorder.calls, recorder.slots[id(scores)], scores, recorder.shapes)


@dataclass(frozen=True, eq=False)
class Recording:
    """What a forward did.

    Attributes:
        calls: In order.
        scores: Number of the slot with the class scores.
        values: These, ``(samples, classes)``.
        shapes: Slot number to the shape of its tensor.
    """

    calls: list[Call]
    scores: int
    values: Tensor
    shapes: dict[int, tuple[int, ...]]


class _Recorder(TorchFunctionMode):
    """Hears of every torch call with tensors, from modules and from Python code alike."""

    def __init__(self, images: Tensor, names: Mapping[int, str]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.slots: dict[int, int] = {id(images): IMAGES}
        self.shapes: dict[int, tuple[int, ...]] = {IMAGES: tuple(images.shape)}
        self._names = names
        self._alive: list[Any] = [images]  # an id must not be given out twice
        self._next = IMAGES + 1

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        written = self._written_to(name, args, kwargs)
        template = [self._template(value) for value in args]
        named = {key: self._template(value) for key, value in kwargs.items() if key != "inplace"}
        if (name in _PEEKS and _any_slot(template)) or _picks_by_mask(name, args):
            raise UnrepeatableError("The way through the network depends on the values in it.")
        result = func(*args, **kwargs)
        self._alive.append(result)
        if written is not None:
            self._write(_twin(func, name, kwargs), written, template, named, result)
        else:
            self._note(func, template, named, result)
        return result

    def _note(
        self, func: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], result: Any
    ) -> None:
        found = list(_tensors_in(result, ()))
        fresh = [(way, tensor) for way, tensor in found if id(tensor) not in self._names]
        if not fresh:
            return  # sizes and kinds of tensors are the same for every batch of this size
        for _way, tensor in fresh:
            self.slots[id(tensor)] = self._new(tensor)
        makes = tuple(self.slots[id(tensor)] for _way, tensor in fresh)
        self.calls.append(Call(func, tuple(args), kwargs, makes, tuple(w for w, _ in fresh)))

    def _written_to(self, name: str, args: Any, kwargs: Mapping[str, Any]) -> Tensor | None:
        """The tensor that a call changes in place; None where it makes a new one."""
        if kwargs.get("out") is not None or name in _UNSAFE:
            raise UnrepeatableError(f"The network calls {name} in a way that cannot be replayed.")
        in_place = (
            kwargs.get("inplace") is True
            or name == "__setitem__"
            or name in _IN_PLACE
            or (name.endswith("_") and not name.startswith("_"))
        )
        if not in_place:
            return None
        target = args[0]
        if not isinstance(target, Tensor) or id(target) not in self.slots or target._is_view():
            raise UnrepeatableError(f"The network changes a tensor by {name} that is shared.")
        return target

    def _write(
        self, twin: Callable[..., Any], target: Tensor, args: list[Any], kwargs: dict[str, Any],
        result: Any,
    ) -> None:  # fmt: skip
        """A change in place becomes a new tensor; the old object now stands for that."""
        number = self._new(target)
        self.slots[id(target)] = number
        if isinstance(result, Tensor):
            self.slots[id(result)] = number
        self.calls.append(Call(twin, tuple(args), kwargs, (number,)))

    def _template(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if id(value) in self._names:
                return Named(self._names[id(value)])
            number = self.slots.get(id(value))
            return value if number is None else Slot(number)
        if isinstance(value, dict):
            return {key: self._template(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            parts = [self._template(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        return value

    def _new(self, tensor: Tensor) -> int:
        self.shapes[self._next] = tuple(tensor.shape)
        self._next += 1
        return self._next - 1


def _any_slot(template: list[Any]) -> bool:
    return any(isinstance(leaf, Slot) for leaf in leaves(template))


def _picks_by_mask(name: str, args: Any) -> bool:
    """Whether a call gives as many values as a mask has ones: a shape that follows from values."""
    if name == "where":
        return len(args) == 1
    masks = (torch.bool, torch.uint8)
    return name == "__getitem__" and any(
        isinstance(leaf, Tensor) and leaf.dtype in masks for leaf in leaves(args[1:])
    )


def _tensors_in(value: Any, way: tuple[int | str, ...]) -> Any:
    """Every tensor in what a call returned, with the way to it."""
    if isinstance(value, Tensor):
        yield way, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors_in(part, (*way, key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _tensors_in(part, (*way, number))


def _set_item(target: Tensor, place: Any, value: Any) -> Tensor:
    copy = target.clone()
    copy[place] = value
    return copy


def _twin(func: Callable[..., Any], name: str, kwargs: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that gives what another one would write into its first argument."""
    if kwargs.get("inplace"):
        return func  # called without that argument
    if name == "__setitem__":
        return _set_item
    plain = getattr(Tensor, _IN_PLACE.get(name, name.removesuffix("_")), None)

    def on_a_copy(target: Tensor, *args: Any, **kwargs: Any) -> Any:
        return func(target.clone(), *args, **kwargs)

    return plain or on_a_copy
