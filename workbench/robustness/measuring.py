"""Robustness: accuracy on corrupted test images, the same images for every model."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from workbench.corruptions import CORRUPTIONS
from workbench.curve_cache import PointCache
from workbench.data import Data
from workbench.device import on_device
from workbench.errors import SettingsError
from workbench.metrics import BATCH, is_right
from workbench.model import Model, check_fit
from workbench.plan import digest_of_json
from workbench.progress import Progress, Report, ShouldStop, ignore, never
from workbench.robustness.pixels import PixelScale, corrupted_batches
from workbench.robustness.values import (
    CLEAN,
    ModelRobustness,
    Robustness,
    RobustnessSettings,
    condition_name,
)

VERSION = 1
"""Changes whenever the same settings make other images, so that old results are left alone."""


def measure_robustness(
    models: Mapping[str, Model], data: Data, settings: RobustnessSettings, *,
    cache: PointCache | None = None, device: torch.device | str = "cpu",
    report: Report = ignore, should_stop: ShouldStop = never,
) -> Robustness:  # fmt: skip
    """Accuracy of models under every corruption and severity, on the same test images.

    Args:
        models: What a page shows to the model; others are compared with the first. They stay as
            they are.
        data: Images that fit them all.
        settings: Which corruptions, how strong, on how many images.
        cache: Remembers what was measured, by the digests of model and data and by settings.
        device: Where to compute.
        report: Hears of every batch; after every condition ``values`` names it, each model and
            its accuracy.
        should_stop: Asked before every batch; True ends with the conditions that are whole.

    Raises:
        DataError: If the data do not fit a model.
        SettingsError: If there is no model.
    """
    if not models:
        raise SettingsError("No model was given.", "Give at least one.")
    for model in models.values():
        check_fit(model, data)
    split = data.split("test", settings.num_samples, settings.seed)
    digests = {name: model.digest for name, model in models.items()}
    memory = _Memory(cache, data, settings)
    modules = {model.digest: on_device(model.module, device) for model in models.values()}
    wanted = [(CLEAN, 0), *settings.conditions]
    total, done = len(wanted) * len(modules) * len(split), 0
    scale = PixelScale(data)
    for name, level in wanted:
        condition = condition_name(name, level)
        missing = [d for d in modules if condition not in memory.hits(d)]
        done += (len(modules) - len(missing)) * len(split)
        batches = corrupted_batches(split, scale, name, level, settings.seed)
        rights: list[list[np.ndarray]] = [[] for _ in missing]
        for number, images in enumerate(batches if missing else ()):
            labels = split.labels[number * BATCH : (number + 1) * BATCH]
            for digest, right in zip(missing, rights, strict=True):
                if should_stop():
                    return read_robustness(digests, data, settings, memory=memory)
                right.append(_classify(modules[digest], images, labels, device))
            done += len(missing) * len(labels)
            report(Progress(done, total, _title(name, level)))
        for digest, right in zip(missing, rights, strict=True):
            found = np.concatenate(right)
            memory.add(digest, condition, found)
            values = {"condition": condition, "model": digest, "accuracy": float(found.mean())}
            report(Progress(done, total, _title(name, level), values))
    return read_robustness(digests, data, settings, memory=memory)


def read_robustness(
    digests: Mapping[str, str], data: Data, settings: RobustnessSettings, *,
    cache: PointCache | None = None, memory: "_Memory | None" = None,
) -> Robustness:  # fmt: skip
    """What is measured already of models that are known by their digests; asks no network.

    Args:
        digests: What a page shows to the digest of the model.
        data: The images.
        settings: What is asked.
        cache: Where it was kept.
        memory: What a measurement holds, in its stead.
    """
    held = memory or _Memory(cache, data, settings)
    samples = min(settings.num_samples, len(data.y_test))
    return Robustness(settings, data.digest, tuple(
        ModelRobustness(name, digest, samples, dict(held.hits(digest)))
        for name, digest in digests.items()
    ))  # fmt: skip


class _Memory:
    """What is measured so far, in memory and where there is a cache also there."""

    def __init__(self, cache: PointCache | None, data: Data, settings: RobustnessSettings) -> None:
        self._cache = cache
        samples = min(settings.num_samples, len(data.y_test))
        self._about = {
            "data": data.digest, "samples": samples, "seed": settings.seed, "version": VERSION
        }  # fmt: skip
        self._hits: dict[str, dict[str, str]] = {}

    def hits(self, digest: str) -> dict[str, str]:
        """Condition to hits of a model."""
        if digest not in self._hits:
            points = self._cache.load(self._key(digest)) if self._cache else []
            self._hits[digest] = {point["condition"]: point["hits"] for point in points}
        return self._hits[digest]

    def add(self, digest: str, condition: str, right: np.ndarray) -> None:
        """Remember which images a model recognises under a condition."""
        packed = np.packbits(right, bitorder="little").tobytes()
        hits = f"{int.from_bytes(packed, 'little'):x}"
        self.hits(digest)[condition] = hits
        if self._cache:
            self._cache.append(self._key(digest), {"condition": condition, "hits": hits})

    def _key(self, digest: str) -> str:
        return digest_of_json({"robustness": digest} | self._about)


def _classify(
    module: nn.Module, images: Tensor, labels: Tensor, device: torch.device | str
) -> np.ndarray:
    """Which images a network recognises, boolean ``(batch,)``."""
    with torch.inference_mode():
        outputs = module(images.to(device)).float().cpu()
    right: np.ndarray = is_right(outputs, labels).numpy()
    return right


def _title(corruption: str, severity: int) -> str:
    if corruption == CLEAN:
        return "Classifying clean images"
    return f"{CORRUPTIONS[corruption].title}, severity {severity}"
