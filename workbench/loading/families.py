"""From named tensors to a network: which family, with which arguments, and whether all fits."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from workbench.architectures import ARCHITECTURES, Architecture
from workbench.errors import LoadError
from workbench.loading.skeleton import (
    Images,
    build_empty,
    check_depth,
    narrowed,
    recorded_arguments,
    recorded_images,
    widened,
)
from workbench.loading.wording import by, counted, listed, shown
from workbench.names import suggest
from workbench.shared import named_fully, second_names

_CLOSE = 0.5
_UNTOLD = ("heads", "input_shape", "image_size")
_HEAD = 16


@dataclass(frozen=True)
class Fitted:
    """A family with the arguments that a state dict was saved from, and its empty network.

    Channels may be missing from the network. ``images`` is the shape that the file's record tells.
    """

    family: Architecture
    arguments: dict[str, object]
    skeleton: nn.Module
    images: Images = None

    @property
    def expected(self) -> dict[str, Tensor]:
        """The tensors that the network has, without data."""
        return self.skeleton.state_dict()


def find_family(
    name: str, tensors: Mapping[str, Tensor], architecture: str, record: Mapping[str, object],
    input_shape: tuple[int, int, int] | None,
) -> tuple[Fitted, list[str]]:  # fmt: skip
    """Find the family that the tensors belong to and check names and shapes against it.

    Args:
        name: The file's name as messages show it.
        tensors: The state dict.
        architecture: A name in ``ARCHITECTURES``; guessed from the tensors' names if empty.
        record: Training record that came with the file; tells what weights do not, such as the
            number of attention heads.
        input_shape: Shape of the images where the caller knows it.

    Returns:
        The family, its arguments and its skeleton, and notes on what was assumed.

    Raises:
        LoadError: If the architecture is unknown, cannot be guessed or does not fit.
    """
    notes: list[str] = []
    recorded = record.get("architecture")
    if not architecture and isinstance(recorded, str) and recorded in ARCHITECTURES:
        architecture = recorded
    if not architecture:
        architecture = _guess(name, tensors)
        notes.append(f"Took the architecture to be {architecture}, by the names of the tensors.")
    if architecture not in ARCHITECTURES:
        raise LoadError(
            f"There is no architecture {shown(architecture)!r}.",
            suggest(architecture, ARCHITECTURES),
        )
    family = ARCHITECTURES[architecture]
    tensors = _with_all_names(tensors, family, record)
    _check_ranks(name, tensors, family)
    fitted, fault = _as_recorded(tensors, family, record, input_shape)
    if fitted is None:
        arguments = _arguments(name, tensors, family, record, input_shape)
        fitted = Fitted(family, arguments, _skeleton(name, family, arguments))
        heads = _check_heads(name, arguments, record)
        _check_names(name, tensors, fitted)
        if wider := _widened(tensors, fitted, record, input_shape):
            fitted, heads = wider, _check_heads(name, wider.arguments, record)
        _check_shapes(name, tensors, fitted, input_shape, fault)
        notes += heads + _note_shortcut(fitted.arguments)
    _check_channels(name, fitted.arguments, input_shape)
    return fitted, notes + _removed(fitted)


def _with_all_names(
    tensors: Mapping[str, Tensor], family: Architecture, record: Mapping[str, object]
) -> Mapping[str, Tensor]:
    """The tensors, those that the network shares also under the names they are not stored by."""
    try:
        arguments = recorded_arguments(record, len(tensors)) or family.infer(tensors)
        check_depth(arguments)
        seconds = second_names(build_empty(family, arguments))
    except Exception:  # what does not fit is told by the checks that follow
        return tensors
    return named_fully(tensors, seconds)


def _as_recorded(
    tensors: Mapping[str, Tensor], family: Architecture, record: Mapping[str, object],
    input_shape: Images,
) -> tuple[Fitted | None, str]:  # fmt: skip
    """The network that the file's record tells of, narrowed where channels were removed.

    Returns:
        None and the reason where the tensors do not fit the record.
    """
    arguments = recorded_arguments(record, len(tensors))
    if arguments is None or record.get("architecture") != family.name:
        return None, ""
    arguments = _with_images(arguments, input_shape)
    images = input_shape or recorded_images(record)
    try:
        skeleton = narrowed(family, arguments, tensors, images)
    except ValueError as fault:
        return None, str(fault)
    return Fitted(family, arguments, skeleton, images), ""


def _widened(
    tensors: Mapping[str, Tensor], fitted: Fitted, record: Mapping[str, object],
    input_shape: Images,
) -> Fitted | None:  # fmt: skip
    """The network that channels were removed from, where inferred arguments do not say it all."""
    if not _of_other_shape(tensors, fitted):
        return None
    family = fitted.family
    arguments = widened(family, fitted.arguments, tensors)
    if arguments is None:
        return None
    if "heads" in arguments and not record:
        width = int(str(arguments["width"]))
        arguments |= {"width": width + -width % _HEAD, "heads": -(-width // _HEAD)}
    try:
        return Fitted(family, arguments, narrowed(family, arguments, tensors, input_shape))
    except ValueError:
        return None


def _removed(fitted: Fitted) -> list[str]:
    """Note how much of the network is left where channels were removed from it."""
    before, now = (
        sum(p.numel() for p in module.parameters())
        for module in (build_empty(fitted.family, fitted.arguments), fitted.skeleton)
    )
    if before == now:
        return []
    return [f"Channels were removed from it: {now:,} of {before:,} parameters are left."]


def _guess(name: str, tensors: Mapping[str, Tensor]) -> str:
    """The one family whose tensor names are these, or nearly these."""
    overlap = {key: _overlap(tensors, family) for key, family in ARCHITECTURES.items()}
    best = max(overlap.values())
    nearest = [key for key, value in overlap.items() if value == best]
    if best >= _CLOSE and len(nearest) == 1:
        return nearest[0]
    raise LoadError(
        f"The tensors of {name} ({listed(tensors)}) belong to no architecture known here.",
        f"Known architectures are {', '.join(ARCHITECTURES)}; load any other network from the "
        "command line or Python as package.module:factory.",
    )


def _overlap(tensors: Mapping[str, Tensor], family: Architecture) -> float:
    """Shared names in proportion to all names, 0 to 1, for the family's best-fitting network."""
    expected = _expected_names(tensors, family)
    return len(expected & tensors.keys()) / len(expected | tensors.keys())


def _expected_names(tensors: Mapping[str, Tensor], family: Architecture) -> set[str]:
    try:
        arguments = family.infer(tensors)
        check_depth(arguments)
        return set(build_empty(family, arguments).state_dict())
    except Exception:
        return set(build_empty(family, {}).state_dict())


def _arguments(
    name: str, tensors: Mapping[str, Tensor], family: Architecture,
    record: Mapping[str, object], input_shape: tuple[int, int, int] | None,
) -> dict[str, object]:  # fmt: skip
    """Infer the arguments, and take from record and caller what weights do not tell."""
    try:
        arguments = family.infer(tensors)
        check_depth(arguments)
    except KeyError as fault:
        missing = str(fault.args[0])
        raise LoadError(
            f"{name} has no tensor {shown(missing)!r}, which {_titled(family)} needs.",
            _other(family),
        ) from None
    except Exception:
        raise LoadError(
            f"The tensors of {name} do not add up to a network of {_titled(family)}.",
            _other(family),
        ) from None
    recorded = record.get("arguments")
    if isinstance(recorded, Mapping):
        arguments |= {
            key: recorded[key]
            for key in _UNTOLD
            if key in arguments and _alike(recorded.get(key), arguments[key])
        }
    return _with_images(arguments, input_shape)


def _with_images(arguments: dict[str, object], input_shape: Images) -> dict[str, object]:
    """The arguments for images of the shape that the caller knows."""
    if input_shape is None:
        return arguments
    given = {"input_shape": list(input_shape), "image_size": input_shape[1]}
    return arguments | {key: value for key, value in given.items() if key in arguments}


def _alike(recorded: object, inferred: object) -> bool:
    """Whether a recorded value can stand for an inferred one: a number, or as many of them."""
    if isinstance(recorded, list) and isinstance(inferred, list):
        return len(recorded) == len(inferred) and all(map(_alike, recorded, inferred))
    return type(recorded) is int and type(inferred) is int


def _skeleton(name: str, family: Architecture, arguments: Mapping[str, object]) -> nn.Module:
    try:
        return build_empty(family, arguments)
    except Exception:
        raise LoadError(
            f"The tensors of {name} do not add up to a network of {_titled(family)}.",
            _other(family),
        ) from None


def _check_heads(
    name: str, arguments: Mapping[str, object], record: Mapping[str, object]
) -> list[str]:
    """Note a number of attention heads that was assumed, and refuse one that cannot be.

    Raises:
        LoadError: If the width of the tokens is no multiple of the heads.
    """
    heads, width = arguments.get("heads"), arguments.get("width")
    if not isinstance(heads, int) or not isinstance(width, int):
        return []
    if heads < 1 or width % heads:
        raise LoadError(
            f"The tokens in {name} have {width} numbers, which cannot be shared among {heads} "
            "attention heads, and weights do not tell how many there are.",
            "Load the network from the command line or Python as package.module:factory.",
        )
    if record:
        return []
    return [f"Assumed {heads} attention heads, which weights do not tell."]


def _note_shortcut(arguments: Mapping[str, object]) -> list[str]:
    """Note a shortcut that was assumed: equal widths have one, also where cutting made them so."""
    stem, widths = arguments.get("stem"), arguments.get("widths")
    if not isinstance(widths, list) or stem != widths[0]:
        return []
    return [
        f"Assumed that the first block adds its input, as stem and first stage both have {stem} "
        "channels; where cutting made them equal, open the exported weights.safetensors, which "
        "tells."
    ]


def _check_ranks(name: str, tensors: Mapping[str, Tensor], family: Architecture) -> None:
    """Refuse empty tensors, and tensors with another number of axes than the family's.

    Raises:
        LoadError: Naming the first such tensor.
    """
    expected = build_empty(family, {}).state_dict()
    for key, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if 0 in shape:
            raise LoadError(
                f"{shown(key)} in {name} is empty: its shape is {by(shape)}.",
                "Save the weights of the trained network again.",
            )
        if key in expected and tensor.dim() != expected[key].dim():
            raise LoadError(
                f"{shown(key)} in {name} has shape {by(shape)}; in {_titled(family)} it has "
                f"{counted(expected[key].dim(), 'dimension')}.",
                _other(family),
            )


def _check_names(name: str, tensors: Mapping[str, Tensor], fitted: Fitted) -> None:
    """Refuse missing and extra tensors.

    Raises:
        LoadError: Naming the first few of each kind, with counts.
    """
    expected = fitted.expected
    missing = [key for key in expected if key not in tensors and not _counter(key)]
    extra = [key for key in tensors if key not in expected]
    total, title = len(expected), _titled(fitted.family)
    if missing:
        parts = f"lacks {len(missing)} of the {counted(total, 'tensor')} of {title}: "
        also = f"; it also holds {len(extra)} of another network: {listed(extra)}" if extra else ""
        first = missing[0]
        raise LoadError(
            f"{name} {parts}{listed(missing)}{also}.",
            f"{first} of shape {by(expected[first].shape)} was expected. {_other(fitted.family)}",
        )
    if extra:
        raise LoadError(
            f"{name} holds {counted(len(extra), 'tensor')} for which {title} has no place: "
            f"{listed(extra)}.",
            f"Remove what does not belong to the network. {_other(fitted.family)}",
        )


def _of_other_shape(tensors: Mapping[str, Tensor], fitted: Fitted) -> list[str]:
    expected = fitted.expected
    return [key for key in tensors if tensors[key].shape != expected[key].shape]


def _check_shapes(
    name: str, tensors: Mapping[str, Tensor], fitted: Fitted,
    input_shape: tuple[int, int, int] | None, fault: str,
) -> None:  # fmt: skip
    """Refuse tensors of another shape than the network's.

    Raises:
        LoadError: With the fault of the network that the record tells of; without one naming the
            first tensor, with both shapes, and how many there are.
    """
    wrong = _of_other_shape(tensors, fitted)
    if not wrong:
        return
    hint = "Check architecture and image shape, and save the weights of one network in one go."
    if fault:
        raise LoadError(
            f"The tensors of {name} do not fit the network that its record tells of. {fault}", hint
        )
    images = f" for images of shape {by(input_shape)}" if input_shape else ""
    first = wrong[0]
    more = f"; {len(wrong) - 1} more of other shapes" if wrong[1:] else ""
    raise LoadError(
        f"{first} in {name} has shape {by(tensors[first].shape)} where "
        f"{_titled(fitted.family)}{images} has {by(fitted.expected[first].shape)}{more}.",
        hint,
    )


def _check_channels(
    name: str, arguments: Mapping[str, object], input_shape: tuple[int, int, int] | None
) -> None:
    """Refuse images of another number of channels, or rows of another length, than the network's.

    Raises:
        LoadError: With both numbers.
    """
    if input_shape is None:
        return
    channels, _, width = input_shape
    for words, taken, given in (
        ("image channels", arguments.get("in_channels"), channels),
        ("numbers per image row", arguments.get("row"), channels * width),
    ):
        if taken not in (None, given):
            raise LoadError(
                f"The number of {words} of {name} is {taken}; "
                f"for images of shape {by(input_shape)} it is {given}.",
                "Choose images of the shape that the network was trained on.",
            )


def _counter(key: str) -> bool:
    """Whether a tensor only counts batches; files from before PyTorch 0.4.1 lack these."""
    return key.endswith("num_batches_tracked")


def _titled(family: Architecture) -> str:
    return f"architecture {family.name}"


def _other(family: Architecture) -> str:
    others = ", ".join(key for key in ARCHITECTURES if key != family.name)
    return f"If it was saved from another architecture, choose that: {others}."
