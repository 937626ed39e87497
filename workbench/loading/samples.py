"""The trained networks and data sets that come with the workbench."""

import json
from pathlib import Path

from workbench.errors import DataError, LoadError
from workbench.loading.wording import nearest, shown


def sample_folder() -> Path:
    """Where the samples lie: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_sample_models"
    return installed if installed.is_dir() else package.parent / "sample_models"


def sample_names() -> tuple[str, ...]:
    """Names of the sample models, in alphabetical order."""
    return _stems("weights", ".safetensors")


def sample_data_names() -> tuple[str, ...]:
    """Names of the sample data sets, in alphabetical order."""
    return _stems("data", ".npz")


def sample_card(name: str) -> dict[str, object]:
    """What is recorded about a sample model: training, licence, measured accuracy.

    Raises:
        LoadError: If there is no sample model of that name.
    """
    sample_weights(name)
    path = sample_folder() / "cards" / f"{name}.json"
    card: dict[str, object] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return card


def sample_weights(name: str) -> Path:
    """The weights file of a sample model.

    Raises:
        LoadError: If there is no sample model of that name.
    """
    names = sample_names()
    if name not in names:
        raise LoadError(f"There is no sample model {shown(name)!r}.", _choices(name, names))
    return sample_folder() / "weights" / f"{name}.safetensors"


def sample_arrays(name: str) -> Path:
    """The file of a sample data set.

    Raises:
        DataError: If there is no sample data set of that name.
    """
    names = sample_data_names()
    if name not in names:
        raise DataError(f"There is no sample data set {shown(name)!r}.", _choices(name, names))
    return sample_folder() / "data" / f"{name}.npz"


def _stems(folder: str, suffix: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (sample_folder() / folder).glob(f"*{suffix}")))


def _choices(name: str, names: tuple[str, ...]) -> str:
    close = nearest(name, names)
    if close:
        return f"Did you mean {close}? What is not the name of a sample is a path to a file."
    return f"Choose one of: {', '.join(names)}; or give a path to a file."
