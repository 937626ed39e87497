"""A data set and its splits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from workbench.data_checks import (
    check_classes,
    check_normalisation,
    check_pair,
    check_part,
    check_validation,
    number_classes,
)
from workbench.errors import DataError
from workbench.names import suggest

SplitName = Literal["train", "calibration", "validation", "test"]
MAX_VALIDATION = 5_000


@dataclass(frozen=True)
class Split:
    """Images and labels of one split, normalised and ready for the network.

    Attributes:
        name: Which split.
        images: float32 ``(samples, channels, height, width)``.
        labels: int64 ``(samples,)``.
    """

    name: str
    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Data:
    """Images with labels in a training and a test part.

    The validation and calibration splits are cut from the training part; the test part is for
    final numbers only. Arrays are treated as read-only.

    Attributes:
        name: What a page shows.
        x_train: uint8 or float32 images ``(samples, channels, height, width)``; so is ``x_test``.
        y_train: int64 labels ``(samples,)``; so is ``y_test``.
        mean: Subtracted from images scaled to 0..1, one number or one per channel.
        std: Divides them after that.
        class_names: One name per class, in the order of the labels; numbers if empty.
        num_validation: How many images at the head of the training part were never trained on and
            so are the validation split; 0 sets a fifth of it aside, at most 5,000, at random.
        notice: Source and licence.

    Raises:
        DataError: If the arrays do not describe a classification task, naming the first fault.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    class_names: tuple[str, ...] = ()
    num_validation: int = 0
    notice: str = ""

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            check_part(part, getattr(self, f"x_{part}"), getattr(self, f"y_{part}"))
        check_pair(self.x_train, self.x_test)
        if not self.class_names:
            names = number_classes(self.y_train, self.y_test)
            object.__setattr__(self, "class_names", names)
        check_classes(self.y_train, self.y_test, self.class_names)
        check_normalisation(self.x_train, self.mean, self.std)
        check_validation(len(self.y_train), self.num_validation)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of one image."""
        channels, height, width = self.x_test.shape[1:]
        return (channels, height, width)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the content: images, labels, normalisation."""
        digest = hashlib.sha256(repr((self.mean, self.std, self.num_validation)).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(repr((array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def split(self, name: SplitName, num_samples: int | None = None, seed: int = 0) -> Split:
        """Images and labels of one split, the same for the same seed.

        Args:
            name: ``train`` (without the validation images), ``calibration`` (a seeded order of
                the same images; their labels are not for use), ``validation`` or ``test``.
            num_samples: At most so many; all of them if None. Part of the test images are a seeded
                choice among all of them, which often lie sorted by class.
            seed: Orders the images. Which of them are for validation is the same whatever the
                seed, so that no later step trains on what an earlier choice was made on.

        Raises:
            DataError: If the name is unknown, or a number is not a whole one from 1 (samples) or
                0 (seed).
        """
        if name not in get_args(SplitName):
            raise DataError(f"There is no split {name!r}.", suggest(name, get_args(SplitName)))
        if num_samples is not None:
            _check_whole("Number of samples", num_samples, 1)
        _check_whole("Seed", seed, 0)
        if name == "test":
            total = len(self.y_test)
            chosen = np.arange(total)
            if num_samples is not None and num_samples < total:
                chosen = np.random.default_rng([seed, 2]).permutation(total)[:num_samples]
            return self._take(name, self.x_test, self.y_test, chosen)
        held_out, rest = self._cut(seed)
        chosen = held_out if name == "validation" else rest
        if name == "calibration":
            chosen = np.random.default_rng([seed, 1]).permutation(chosen)
        return self._take(name, self.x_train, self.y_train, chosen[:num_samples])

    def with_fewer_images(self, num_train: int, seed: int = 0) -> "Data":
        """The same data with a seeded choice of the training images.

        Validation and test splits hold the same images as before.

        Args:
            num_train: At most so many training images, the validation images not counted.
            seed: Chooses them.

        Raises:
            DataError: If a number is not a whole one from 1 (images) or 0 (seed).
        """
        _check_whole("Number of training images", num_train, 1)
        _check_whole("Seed", seed, 0)
        held_out, rest = self._cut(seed)
        chosen = np.concatenate([held_out, rest[:num_train]])
        return replace(
            self, x_train=self.x_train[chosen], y_train=self.y_train[chosen],
            num_validation=len(held_out),
        )  # fmt: skip

    def _cut(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of validation and of the other training images, each in a seeded order."""
        total, count = len(self.y_train), self.num_validation
        held_out, rest = np.arange(count), np.arange(count, total)
        if not count:
            order = np.random.default_rng(0).permutation(total)
            count = min(MAX_VALIDATION, max(1, total // 5))
            held_out, rest = order[:count], order[count:]
        generator = np.random.default_rng([seed, 0])
        return generator.permutation(held_out), generator.permutation(rest)

    def _take(self, name: str, x: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> Split:
        images = torch.from_numpy(x[chosen])
        if images.dtype == torch.uint8:
            images = images.float().div_(255)
            shape = (1, -1, 1, 1)
            images.sub_(torch.tensor(self.mean, dtype=torch.float32).view(shape))
            images.div_(torch.tensor(self.std, dtype=torch.float32).view(shape))
        return Split(name, images, torch.from_numpy(y[chosen].astype(np.int64)))

    def describe(self) -> Mapping[str, object]:
        """Name, sizes and notice, as plain values."""
        return {
            "name": self.name,
            "digest": self.digest,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "num_train": len(self.y_train),
            "num_test": len(self.y_test),
            "notice": self.notice,
        }


def _check_whole(words: str, value: object, least: int) -> None:
    """Refuse anything but a whole number from ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{words} is {value!r}.", f"Give a whole number from {least}.")
