"""Evidence: images that criteria may look at, and what was once gathered from them."""

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from workbench.data import Data
from workbench.plan import digest_of_json
from workbench.progress import ShouldStop, never, raise_if_stopped

VERSION = 1
"""Changes whenever a gatherer computes something else, so that old files are left alone."""
IN_MEMORY = 6
ON_DISK_BYTES = 2 * 1024**3


class Evidence:
    """The data of a model, opened when first needed, and a memory of what was gathered from them.

    Whatever is gathered is a function of weights, images and the way of gathering; it is kept in
    memory and, where there is a folder, on disk under the digest of all three. Safe with several
    threads.

    Args:
        load: Opens the data.
        folder: Keeps what was gathered; None keeps it in memory alone. Made if absent; the files
            longest not used go when there are more than 2 GiB.
        seed: Chooses which images are looked at.
    """

    def __init__(
        self, load: Callable[[], Data], folder: Path | None = None, seed: int = 0
    ) -> None:  # fmt: skip
        self._load = load
        self._seed = seed
        self._folder = folder
        self._lock = threading.RLock()
        self._turns: dict[str, threading.Lock] = {}
        self._memory: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()
        self._should_stop: ShouldStop = never

    @cached_property
    def data(self) -> Data:
        """The data."""
        return self._load()

    def asking(self, should_stop: ShouldStop) -> "Evidence":
        """The same with the same memory, for work that is to end when this says so."""
        same = copy.copy(self)
        if "data" not in self.__dict__:
            same._load = lambda: self.data
        same._should_stop = should_stop
        return same

    def check(self) -> None:
        """Ask whether the work that looks at this should end.

        Raises:
            StoppedError: If so.
        """
        raise_if_stopped(self._should_stop)

    def recall(
        self, model_digest: str, kind: str,
        gather: Callable[[Data, int, ShouldStop], Mapping[str, Tensor]],
    ) -> Mapping[str, Tensor]:  # fmt: skip
        """What was gathered before, or is gathered now. Treat it as read-only.

        Args:
            model_digest: Of the model it is gathered about.
            kind: Names the way of gathering and all its settings.
            gather: Gathers it from the data and a seed, unless it should stop; asked only where
                it is not kept.

        Raises:
            StoppedError: If it should stop; nothing is kept then.
        """
        key = self._key(model_digest, kind)
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:  # whoever asks for the same waits; others do not
            found = self._known(key)
            if found is None:
                gathered = gather(self.data, self._seed, self._should_stop)
                found = {name: value.contiguous() for name, value in gathered.items()}
                self._write(key, found)
                self._remember(key, found)
            return found

    def knows(self, model_digest: str, kind: str) -> bool:
        """Whether that is kept, so that recalling it takes no time."""
        return self._known(self._key(model_digest, kind)) is not None

    def _key(self, model_digest: str, kind: str) -> str:
        with self._lock:  # the data are opened once
            return digest_of_json([VERSION, model_digest, self.data.digest, self._seed, kind])

    def _known(self, key: str) -> Mapping[str, Tensor] | None:
        """What is in memory or on disk; it is the newest in memory then."""
        with self._lock:
            found = self._memory.get(key)
            if found is None:
                found = self._read(key)
            if found is not None:
                self._remember(key, found)
            return found

    def _remember(self, key: str, found: Mapping[str, Tensor]) -> None:
        with self._lock:
            self._memory[key] = found
            self._memory.move_to_end(key)
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)

    def _read(self, key: str) -> Mapping[str, Tensor] | None:
        if self._folder is None:
            return None
        path = self._folder / f"{key}.safetensors"
        try:
            tensors = safetensors.torch.load_file(path)
            os.utime(path)
        except (OSError, ValueError, SafetensorError):
            return None
        return tensors

    def _write(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep it on disk; where that fails it is gathered again another day."""
        if self._folder is None:
            return
        path = self._folder / f"{key}.safetensors"
        part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                own = {name: tensor.clone() for name, tensor in tensors.items()}
                part.write_bytes(safetensors.torch.save(own))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            self._tidy()

    def _tidy(self) -> None:
        assert self._folder is not None
        files = [(path.stat(), path) for path in self._folder.glob("*.safetensors")]
        files.sort(key=lambda entry: entry[0].st_mtime, reverse=True)
        total = 0
        for status, path in files:
            total += status.st_size
            if total > ON_DISK_BYTES:
                path.unlink(missing_ok=True)
