"""What models answer, kept on disk by content, so that no network is asked twice."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.data import Data, Split, SplitName
from workbench.errors import StorageError
from workbench.metrics import score
from workbench.model import Model
from workbench.progress import Report, ShouldStop, ignore, never

MAX_BYTES = 500_000_000
_SUFFIX = ".npy"


class OutputCache:
    """Class scores of models on whole splits, a file each; the longest unused go first.

    Args:
        folder: Where the files lie, made when the first is written; None keeps nothing.
        max_bytes: Of all files together.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def outputs(
        self, model: Model, data: Data, split: SplitName, *, device: torch.device | str = "cpu",
        report: Report = ignore, should_stop: ShouldStop = never,
    ) -> Tensor | None:  # fmt: skip
        """Class scores of a model on a split, ``(samples, classes)``; None if stopped.

        Args:
            model: Whose answers.
            data: Images that fit it.
            split: Which of them, all of that split.
            device: Where to compute.
            report: Hears of every batch.
            should_stop: Gives up before the next batch.

        Raises:
            StorageError: If the folder cannot be written.
        """
        images = data.split(split)
        kind = torch.device(device).type
        path = self._path(f"{model.digest}-{data.digest}-{split}-{kind}")
        found = _read(path, len(images), model.num_classes) if path else None
        if found is None:
            found = _answer(model, images, device, report, should_stop)
            if found is not None and path is not None:
                self._keep(path, found)
        return found

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}{_SUFFIX}"

    def _keep(self, path: Path, found: Tensor) -> None:
        """Write a file whole or not at all, and make room."""
        part = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                part = file.name
                np.save(file, found.numpy())
            Path(part).replace(path)
        except OSError as error:
            if part:
                Path(part).unlink(missing_ok=True)
            raise StorageError(
                f"The answers of a model cannot be written to {path.parent}: {error.strerror}.",
                "Free some disk space or choose a folder you may write to.",
            ) from error
        self._make_room(path.parent)

    def _make_room(self, folder: Path) -> None:
        """Delete the files that were not used for longest, beyond what is allowed."""
        files = []
        for path in folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        held = 0
        for _, size, path in sorted(files, reverse=True):
            held += size
            if held > self._max_bytes:
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def _read(path: Path, samples: int, classes: int) -> Tensor | None:
    """A file of the right shape, marked as used now; None where it is missing or damaged."""
    try:
        array = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    fits = array.shape == (samples, classes) and array.dtype == np.float32
    return torch.from_numpy(array) if fits else None


def _answer(
    model: Model, images: Split, device: torch.device | str, report: Report, should_stop: ShouldStop
) -> Tensor | None:
    found: list[Tensor] = []
    scored = score(
        model.module, images, device=device, report=report, should_stop=should_stop, outputs=found
    )
    return torch.cat(found) if scored.samples == len(images) else None
