"""Networks without data: built to compare shapes, and narrowed where channels were removed."""

from collections.abc import Callable, Iterator, Mapping
from math import prod

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from workbench.architectures import Architecture
from workbench.loading import limits
from workbench.loading.wording import first_line
from workbench.shared import second_names, share_
from workbench.thin import thin_

Arguments = dict[str, object]
Images = tuple[int, int, int] | None

_WIDTHS = ("stem", "widths", "hidden", "width", "mlp", "expansion", "head")
_MOST_BLOCKS = 1_000
_MOST_STEPS = 16
_MOST_TENSORS = 2_000
_FLOAT_BYTES = 4


class _NoInitialisation(TorchFunctionMode):
    """Leaves out random initialisation, which a network without data has no use for."""

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:  # fmt: skip
        """Return the tensor that a random initialiser was to fill; run everything else."""
        named = dict(kwargs or {})
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_"):
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


def build_empty(family: Architecture, arguments: Mapping[str, object]) -> nn.Module:
    """The family's network without data: shapes only, however large they claim to be."""
    with torch.device("meta"), _NoInitialisation():
        return family.build(**arguments)


def check_depth(arguments: Mapping[str, object]) -> None:
    """Refuse numbers of blocks that only a forged tensor name or record can ask for.

    Raises:
        ValueError: If there are too many.
    """
    counts = [arguments.get(key, 0) for key in ("depth", "layers")]
    blocks = arguments.get("blocks", ())
    counts += list(blocks) if isinstance(blocks, list | tuple) else []
    if sum(count for count in counts if isinstance(count, int)) > _MOST_BLOCKS:
        raise ValueError("It has too many blocks.")


def rebuild(
    family: Architecture, arguments: Mapping[str, object], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """The family's network with these weights, also where channels were removed from it.

    Args:
        family: Of the network.
        arguments: What it was built with before channels were removed.
        tensors: Its whole state dict; shared with the network, not copied.

    Raises:
        ValueError: Naming a tensor that is missing, not known or of a shape that does not fit.
    """
    module = build_empty(family, arguments)
    thin_(module, _shapes_of(tensors))
    seconds = second_names(module)
    module.load_state_dict(dict(tensors), assign=True)
    share_(module, seconds)
    return module


def narrowed(
    family: Architecture, arguments: Arguments, tensors: Mapping[str, Tensor], images: Images
) -> nn.Module:
    """The network without data that has the shapes of ``tensors``.

    Args:
        family: Of the network.
        arguments: What it was built with before channels were removed; not to be trusted.
        tensors: Its state dict; counters of batches may be missing.
        images: Shape of an image; None for the family's own.

    Raises:
        ValueError: With the reason where the tensors do not fit or would not run; without one
            where the arguments are those of no network.
    """
    check_depth(arguments)
    try:
        module = build_empty(family, arguments)
    except Exception as fault:
        raise ValueError from fault
    expected = module.state_dict()
    if sum(tensor.numel() for tensor in expected.values()) > _largest():
        raise ValueError("Before channels were removed it was larger than what is read.")
    counters = {key: value for key, value in expected.items() if not value.is_floating_point()}
    thin_(module, counters | _shapes_of(tensors))
    scores = _run(module.eval(), images or family.input_shape(arguments))
    if scores.shape != (2, arguments.get("num_classes")):
        raise ValueError(f"It gives {scores.shape[-1]} scores.")
    return module


def _run(module: nn.Module, images: tuple[int, int, int]) -> Tensor:
    """Run two images without data through a network; a failure names the layer."""
    entered: list[str] = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, path=path: entered.append(path))
        for path, layer in module.named_modules()
    ]
    try:
        with torch.no_grad():
            scores: Tensor = module(torch.zeros(2, *images, device="meta"))
    except Exception as fault:
        place = entered[-1] or "its input"
        raise ValueError(f"It does not run beyond {place} ({first_line(fault)}).") from fault
    finally:
        for hook in hooks:
            hook.remove()
    return scores


def recorded_arguments(record: Mapping[str, object], num_tensors: int) -> Arguments | None:
    """The arguments in a file's record; None unless they are numbers, flags and short lists."""
    arguments = record.get("arguments")
    if not isinstance(arguments, Mapping) or not arguments:
        return None
    for value in arguments.values():
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > num_tensors or any(type(n) not in (int, bool) for n in numbers):
            return None
    return dict(arguments)


def recorded_images(record: Mapping[str, object]) -> Images:
    """The shape of an image in a file's record; None unless it is one that could be."""
    shape = record.get("input_shape")
    if not isinstance(shape, list) or len(shape) != 3:
        return None
    if not all(type(n) is int and n > 0 for n in shape) or prod(shape) > limits.MAX_IMAGE_NUMBERS:
        return None
    return (shape[0], shape[1], shape[2])


def widened(
    family: Architecture, arguments: Arguments, tensors: Mapping[str, Tensor]
) -> Arguments | None:
    """Arguments whose network is in no place narrower than ``tensors``; None if there are none.

    Where channels were removed, each place that arguments are inferred from may have kept fewer
    than another. Widths grow one at a time, as far as the first tensor that is too wide asks.
    """
    widths = [arguments[name] for name in _WIDTHS if name in arguments]
    count = sum(len(value) if isinstance(value, list) else 1 for value in widths)
    if count > _MOST_STEPS or len(tensors) > _MOST_TENSORS:
        return None  # a forged file could ask for hours of work
    for _ in range(_MOST_STEPS):
        expected = build_empty(family, arguments).state_dict()
        place = next(_too_wide(tensors, expected), None)
        if place is None:
            return arguments
        grown = _grow(family, arguments, expected, *place)
        if grown is None:
            return None
        arguments = grown
    return None


def _too_wide(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> Iterator[tuple[str, int, int]]:
    """Name, axis and length of what does not fit into the network."""
    for key, tensor in tensors.items():
        for axis, (length, known) in enumerate(zip(tensor.shape, expected[key].shape, strict=True)):
            if length > known:
                yield key, axis, length


def _grow(
    family: Architecture, arguments: Arguments, expected: Mapping[str, Tensor],
    key: str, axis: int, length: int,
) -> Arguments | None:  # fmt: skip
    """Arguments with the one width grown that makes ``key`` as long as it has to be."""
    before = expected[key].shape[axis]
    for name in reversed([name for name in _WIDTHS if name in arguments]):
        value = arguments[name]
        for place in range(len(value)) if isinstance(value, list) else (None,):
            tried = build_empty(family, _add(arguments, name, place, 1)).state_dict()
            step = tried[key].shape[axis] - before if tried.keys() == expected.keys() else 0
            if step > 0:
                return _add(arguments, name, place, -(-(length - before) // step))
    return None


def _add(arguments: Arguments, name: str, place: int | None, count: int) -> Arguments:
    value = arguments[name]
    if place is None or not isinstance(value, list):
        return arguments | {name: value + count}  # type: ignore[operator]
    return arguments | {name: [v + count * (i == place) for i, v in enumerate(value)]}


def _shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of these shapes without data."""
    return {key: torch.empty(tensor.shape, device="meta") for key, tensor in tensors.items()}


def _largest() -> int:
    return limits.MAX_MODEL_BYTES // _FLOAT_BYTES
