"""Tensors and uploaded data as files named by their content."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from workbench.data import Data
from workbench.errors import StorageError
from workbench.model import digest_of_tensors
from workbench.plan import digest_of_json
from workbench.store.files import write_file

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def save_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as ``DIGEST.safetensors``, unless that file is there already and whole.

    Returns:
        The digest, sixteen hexadecimal digits.

    Raises:
        StorageError: If the disk is full or the folder cannot be written; nothing is left behind.
    """
    digest = digest_of_tensors(tensors)
    path = tensor_path(folder, digest)
    if not _is_whole(lambda: load_tensors(folder, digest)):
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        owners: dict[int, str] = {}
        for name, tensor in plain.items():  # tied weights are stored twice: the format shares none
            if tensor.numel() and owners.setdefault(tensor.data_ptr(), name) != name:
                plain[name] = tensor.clone()
        write_file(path, lambda file: file.write(safetensors.torch.save(plain)))
    return digest


def load_tensors(folder: Path, digest: str) -> dict[str, Tensor]:
    """Read tensors back and check that they are what their name says.

    Raises:
        StorageError: If the file is missing, unreadable or not what was saved.
    """
    path = tensor_path(folder, digest)
    try:
        tensors = safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if digest_of_tensors(tensors) != digest:
        raise _damaged(path, "its content does not match its name")
    return tensors


def save_data(folder: Path, data: Data) -> str:
    """Write a data set as ``DIGEST.npz``, unless that file is there already and whole.

    Returns:
        The digest of images, labels, normalisation and class names; sixteen hexadecimal digits.

    Raises:
        StorageError: If the disk is full or the folder cannot be written; nothing is left behind.
    """
    digest = _data_digest(data)
    path = data_path(folder, digest)
    if not _is_whole(lambda: load_data(folder, digest, data.name)):
        arrays = {name: getattr(data, name) for name in _ARRAYS}
        arrays |= {
            "mean": np.asarray(data.mean, dtype=np.float64),
            "std": np.asarray(data.std, dtype=np.float64),
            "class_names": np.asarray(data.class_names, dtype=np.str_),
            "num_validation": np.asarray(data.num_validation),
            "notice": np.asarray(data.notice, dtype=np.str_),
        }
        write_file(path, lambda file: np.savez(file, **arrays))
    return digest


def load_data(folder: Path, digest: str, name: str) -> Data:
    """Read a data set back and check that it is what its file's name says.

    Raises:
        StorageError: If the file is missing, unreadable or not what was saved.
    """
    path = data_path(folder, digest)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            data = Data(
                name=name,
                **{key: file[key] for key in _ARRAYS},
                mean=tuple(file["mean"].tolist()),
                std=tuple(file["std"].tolist()),
                class_names=tuple(file["class_names"].tolist()),
                num_validation=int(file["num_validation"]),
                notice=str(file["notice"]),
            )
    except FileNotFoundError as error:
        raise _missing(path) from error
    except Exception as error:  # a damaged archive raises whatever its decoder stumbles on
        raise _damaged(path, str(error)) from error
    if _data_digest(data) != digest:
        raise _damaged(path, "its content does not match its name")
    return data


def tensor_path(folder: Path, digest: str) -> Path:
    """Where tensors of this digest lie."""
    return folder / f"{digest}.safetensors"


def data_path(folder: Path, digest: str) -> Path:
    """Where data of this digest lies."""
    return folder / f"{digest}.npz"


def _is_whole(load: Callable[[], object]) -> bool:
    """Whether a file is there and holds what its name says; a damaged one is to be replaced."""
    try:
        load()
    except StorageError:
        return False
    return True


def _data_digest(data: Data) -> str:
    return digest_of_json([data.digest, list(data.class_names), data.notice])


def _missing(path: Path) -> StorageError:
    return StorageError(
        f"{path.name} is missing from {path.parent}.",
        "Put the file back from a copy, or delete what needs it and make it again.",
    )


def _damaged(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"{path.name} in {path.parent} is damaged: {reason}.",
        "Put the file back from a copy, or delete what needs it and make it again.",
    )
