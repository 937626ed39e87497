"""Loading a model from a sample, a file, an upload or the user's own code."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.errors import LoadError
from workbench.loading import limits
from workbench.loading.factory import call_factory, names_factory
from workbench.loading.families import find_family
from workbench.loading.files import check_kind, check_size, read_file
from workbench.loading.kinds import Kind
from workbench.loading.samples import (
    sample_card,
    sample_data_names,
    sample_names,
    sample_weights,
)
from workbench.loading.tensors import OPENABLE, read_record, read_tensors
from workbench.loading.trial import check_runs
from workbench.loading.weights import fill
from workbench.loading.wording import shown
from workbench.model import Model

_ADVICE = "Give a sample's name, a .safetensors, .pt or .pth file, or package.module:factory."


def load_model(
    source: str | os.PathLike[str], *, architecture: str = "",
    input_shape: Sequence[int] | None = None, name: str = "", allow_factory: bool = False,
) -> Model:  # fmt: skip
    """Load a trained network. Nothing inside a file is executed; weights become float32.

    Args:
        source: A sample's name; a path to a ``.safetensors`` file or a ``.pt``/``.pth`` state
            dict, bare or inside a checkpoint; or ``package.module:factory``.
        architecture: A name in ``workbench.architectures``; guessed from the tensors if empty.
        input_shape: ``(channels, height, width)`` of the images; needed for factories whose
            network has no attribute ``input_shape``, otherwise told by the architecture.
        name: What pages show; the file's name without suffix if empty.
        allow_factory: Whether ``package.module:factory``, which runs code, is accepted.

    Returns:
        The model; ``card["notes"]`` says what was assumed or converted, ``card["trained_on"]``
        which data a file that an export wrote was made with, by ``name`` and ``digest``.

    Raises:
        LoadError: If it cannot be loaded, with the reason.
    """
    text = os.fspath(source)
    shape = _check_shape(input_shape)
    if text in sample_names():
        return _sample(text, shape, name)
    if names_factory(text) and not _exists(text):
        if not allow_factory:
            raise LoadError(
                f"{shown(text)} names Python code, which is not run from here.",
                "Use it on the command line or in Python, or upload the weights as a state dict.",
            )
        return _from_factory(text, shape, name)
    if not text.strip():
        raise LoadError("No model was named.", _ADVICE)
    if not _is_path(text):
        sample_weights(text)
    path = Path(text)
    data, kind = read_file(path, OPENABLE, limits.MAX_MODEL_BYTES, LoadError)
    return _from_bytes(shown(path.name), data, kind, architecture, shape, name or path.stem)


def load_uploaded_model(
    filename: str, data: bytes, architecture: str = "", *,
    input_shape: Sequence[int] | None = None,
) -> Model:  # fmt: skip
    """Load a network from a file that a browser sent; it stays in memory and runs no code.

    Args:
        filename: The file's name, for messages and as the model's name only.
        data: The whole file.
        architecture: A name in ``workbench.architectures``; guessed from the tensors if empty.
        input_shape: ``(channels, height, width)`` of the images, where known.

    Raises:
        LoadError: If it cannot be loaded, with the reason.
    """
    shape = _check_shape(input_shape)
    plain = filename.replace("\\", "/").rpartition("/")[2]
    name = shown(plain) or "The file"
    check_size(name, len(data), limits.MAX_MODEL_BYTES, LoadError)
    kind = check_kind(name, data, OPENABLE, LoadError)
    return _from_bytes(name, data, kind, architecture, shape, Path(name).stem)


def _sample(sample: str, input_shape: tuple[int, int, int] | None, name: str) -> Model:
    path = sample_weights(sample)
    data, kind = read_file(path, ("safetensors",), limits.MAX_MODEL_BYTES, LoadError)
    return _from_bytes(path.name, data, kind, "", input_shape, name or sample, sample_card(sample))


def _from_bytes(
    file: str, data: bytes, kind: Kind, architecture: str,
    input_shape: tuple[int, int, int] | None, name: str,
    card: Mapping[str, object] | None = None,
) -> Model:  # fmt: skip
    record = read_record(data, kind)
    tensors, notes = read_tensors(file, data, kind)
    fitted, assumed = find_family(file, tensors, architecture, record, input_shape)
    module, conversions = fill(file, tensors, fitted)
    shape = input_shape or fitted.images or fitted.family.input_shape(fitted.arguments)
    num_classes = check_runs(file, module, shape)
    notes += assumed + conversions
    trained_on = recorded_data(record)
    told: dict[str, object] = {"notes": notes} if notes else {}
    if card is None and trained_on:
        told["trained_on"] = trained_on
    return Model(
        name=name, module=module, input_shape=shape, num_classes=num_classes,
        architecture=fitted.family.name, arguments=fitted.arguments,
        data_name=trained_on["name"] if trained_on.get("name") in sample_data_names() else "",
        card=dict(card or {}) | told,
    )  # fmt: skip


def recorded_data(record: Mapping[str, object]) -> dict[str, str]:
    """``name`` and perhaps ``digest`` of the data that a file's record tells of; else empty."""
    name, digest = record.get("data"), record.get("data_digest")
    if not isinstance(name, str) or not name:
        return {}
    return {"name": name} | ({"digest": digest} if isinstance(digest, str) and digest else {})


def _from_factory(source: str, input_shape: tuple[int, int, int] | None, name: str) -> Model:
    module = call_factory(source)
    if input_shape is None:
        own = getattr(module, "input_shape", None)
        if own is None:
            raise LoadError(
                f"{source} does not say what images its network takes.",
                "Give the input shape, such as 1,28,28 for channels, height, width, or set the "
                "attribute input_shape on the network.",
            )
        input_shape = _check_shape(own)
        assert input_shape is not None
    return Model(name or source, module, input_shape, check_runs(source, module, input_shape))


def _check_shape(shape: object) -> tuple[int, int, int] | None:
    """Channels, height and width as given, or a refusal.

    Raises:
        LoadError: If it is not three whole numbers from 1.
    """
    if shape is None:
        return None
    values = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values)
    if len(values) != 3 or not whole:
        raise LoadError(
            f"The input shape is {shown(shape)}.",
            "Give channels, height and width, such as 1,28,28.",
        )
    channels, height, width = values
    return (channels, height, width)


def _is_path(text: str) -> bool:
    return bool(Path(text).suffix) or "/" in text or os.sep in text or _exists(text)


def _exists(text: str) -> bool:
    """Whether there is such a file; a text that can be no path is none."""
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
