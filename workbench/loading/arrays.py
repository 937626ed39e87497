"""Loading a data set from a sample, an ``.npz`` file or an upload."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from workbench.data import Data
from workbench.data_checks import kind_of
from workbench.errors import DataError
from workbench.loading import limits
from workbench.loading.files import AGAIN, check_kind, check_size, open_zip, read_file
from workbench.loading.kinds import recognise_archive
from workbench.loading.samples import sample_arrays, sample_data_names
from workbench.loading.wording import by, counted, listed, shown, sized

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("mean", "std", "class_names", "num_validation", "notice")
_SAVE = (
    "Save it with np.savez_compressed('data.npz', x_train=..., y_train=..., x_test=..., "
    "y_test=...)."
)
_CHANNELS = (1, 2, 3, 4)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def load_data(source: str | os.PathLike[str]) -> Data:
    """Load a data set; pickled objects in it are refused, never opened.

    Args:
        source: A sample's name, or a path to an ``.npz`` with ``x_train``, ``y_train``, ``x_test``
            and ``y_test``: uint8 images ``(N, H, W)``, ``(N, H, W, C)`` or ``(N, C, H, W)``,
            scaled to 0..1 and normalised by optional ``mean`` and ``std``, or float32 images
            taken as they are; whole-number labels from 0; optional ``class_names``.

    Raises:
        DataError: If it cannot be loaded, with the reason.
    """
    text = os.fspath(source)
    if text in sample_data_names():
        return _from_bytes(text, _read(sample_arrays(text)), text)
    path = Path(text)
    if not text.strip():
        raise DataError("No data set was named.", "Give a sample's name or an .npz file.")
    if not (path.suffix or "/" in text or os.sep in text or path.exists()):
        sample_arrays(text)
    if path.is_dir():
        raise DataError(
            f"{shown(path.name)} is a folder.", f"Folders of images are not read yet. {_SAVE}"
        )
    return _from_bytes(shown(path.name), _read(path), path.stem)


def load_uploaded_data(filename: str, data: bytes) -> Data:
    """Load a data set from an ``.npz`` file that a browser sent; it stays in memory.

    Args:
        filename: The file's name, for messages and as the data set's name only.
        data: The whole file.

    Raises:
        DataError: If it cannot be loaded, with the reason.
    """
    name = shown(filename.replace("\\", "/").rpartition("/")[2]) or "The file"
    check_size(name, len(data), limits.MAX_DATA_BYTES, DataError)
    check_kind(name, data, ("zip",), DataError, _SAVE)
    return _from_bytes(name, data, Path(name).stem)


def _read(path: Path) -> bytes:
    return read_file(path, ("zip",), limits.MAX_DATA_BYTES, DataError, _SAVE)[0]


def _from_bytes(file: str, data: bytes, name: str) -> Data:
    arrays = read_arrays(file, data)
    _check_keys(file, arrays)
    for part in ("train", "test"):
        arrays[f"y_{part}"] = _labels(arrays[f"y_{part}"])
        arrays[f"x_{part}"] = _images(f"x_{part}", arrays[f"x_{part}"])
    return Data(
        name,
        **{key: arrays[key] for key in _REQUIRED},
        mean=_numbers("mean", arrays, (0.0,)),
        std=_numbers("std", arrays, (1.0,)),
        class_names=_words("class_names", arrays),
        num_validation=_count("num_validation", arrays),
        notice=" ".join(_words("notice", arrays)),
    )


def read_arrays(file: str, data: bytes) -> dict[str, np.ndarray]:
    """Read every array of an ``.npz`` after checking what each one claims to be.

    Args:
        file: The file's name as messages show it.
        data: The whole file.

    Raises:
        DataError: If the archive is damaged, unpacks to too much, or holds Python objects.
    """
    archive = open_zip(file, data, limits.MAX_ARRAYS, limits.MAX_UNPACKED_BYTES, DataError)
    with archive:
        members = archive.infolist()
        kind = recognise_archive([member.filename for member in members])
        if kind.name != "npz":
            raise DataError(f"{file} is {kind.words}, not a set of NumPy arrays (.npz).", _SAVE)
        return {
            member.filename.removesuffix(".npy"): _read_array(file, archive, member)
            for member in members
        }


def _read_array(file: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    key = shown(member.filename.removesuffix(".npy"))
    if member.compress_type not in _PACKINGS:
        raise DataError(f"{key} in {file} is packed in a way that NumPy does not write.", _SAVE)
    try:
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = header(stream)
            length = member.file_size - stream.tell()
    except Exception:
        raise DataError(f"{key} in {file} is damaged: it cannot be read.", AGAIN) from None
    if dtype.hasobject:
        raise DataError(
            f"{key} in {file} holds pickled Python objects, which are never opened.",
            "Save plain numbers: convert the array with .astype(np.uint8) or .astype(np.float32).",
        )
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize if shape else dtype.itemsize
    if claimed != length:
        raise DataError(
            f"{key} in {file} claims {sized(claimed)} and holds {sized(length)}.", AGAIN
        )
    try:
        with archive.open(member) as stream:
            return np.asarray(npy.read_array(stream, allow_pickle=False))
    except Exception:
        raise DataError(
            f"{key} in {file} is damaged: it cannot be read to its end.", AGAIN
        ) from None


def _check_keys(file: str, arrays: Mapping[str, np.ndarray]) -> None:
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise DataError(
            f"{file} lacks {listed(missing, 4)}; it holds {listed(arrays, 6) or 'nothing'}.", _SAVE
        )
    extra = [key for key in arrays if key not in _REQUIRED + _OPTIONAL]
    if extra:
        raise DataError(
            f"{file} holds {counted(len(extra), 'array')} of unknown meaning: {listed(extra)}.",
            f"Known are {', '.join(_REQUIRED + _OPTIONAL)}.",
        )


def _images(key: str, array: np.ndarray) -> np.ndarray:
    """Images as ``(N, C, H, W)``, whichever of the three layouts they came in."""
    shape = array.shape
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"{key} has shape {by(shape)}.",
            "Save images as N x H x W, N x H x W x C or N x C x H x W.",
        )
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first and last:
        raise DataError(
            f"{key} has shape {by(shape)}: either axis could be the channels.",
            "Save the images larger than 4 x 4 pixels, or as N x H x W where there is one channel.",
        )
    if not first and not last:
        raise DataError(
            f"{key} has shape {by(shape)}: neither the second nor the last axis has 1 to 4 "
            "channels.",
            "Save images as N x H x W x C or N x C x H x W with 1 to 4 channels.",
        )
    return array if first else np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _labels(array: np.ndarray) -> np.ndarray:
    """Labels as int64; whatever is no label stays as it is, for ``Data`` to refuse."""
    if array.dtype.kind not in "iu" or int(array.max(initial=0)) > np.iinfo(np.int64).max:
        return array
    return array.astype(np.int64)


def _numbers(
    key: str, arrays: Mapping[str, np.ndarray], default: tuple[float, ...]
) -> tuple[float, ...]:
    if key not in arrays:
        return default
    array = arrays[key]
    if array.dtype.kind not in "fiu" or array.ndim > 1:
        raise DataError(
            f"{key} holds {kind_of(array)} of shape {by(array.shape)}."
            if array.ndim
            else f"{key} holds {kind_of(array)}.",
            "Give one number, or one per channel.",
        )
    return tuple(float(value) for value in array.reshape(-1))


def _words(key: str, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    if key not in arrays:
        return ()
    array = arrays[key]
    if array.dtype.kind != "U" or array.ndim > 1:
        raise DataError(f"{key} holds {kind_of(array)}, not words.", "Save an array of strings.")
    return tuple(str(value) for value in array.reshape(-1))


def _count(key: str, arrays: Mapping[str, np.ndarray]) -> int:
    if key not in arrays:
        return 0
    array = arrays[key]
    if array.dtype.kind not in "iu" or array.size != 1:
        raise DataError(f"{key} is no single whole number.", "Save np.int64(number of images).")
    return int(array.reshape(-1)[0])
