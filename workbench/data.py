"""A data set and its splits."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from workbench.errors import DataError
from workbench.names import suggest

SplitName = Literal["train", "calibration", "validation", "test"]
MAX_VALIDATION = 5_000
MIN_TRAIN = 5
MAX_CLASSES = 10_000


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

    The validation and calibration splits are cut from the training part by seed; the test part is
    for final numbers only. Arrays are treated as read-only.

    Attributes:
        name: What a page shows.
        x_train: uint8 or float32 images ``(samples, channels, height, width)``; so is ``x_test``.
        y_train: int64 labels ``(samples,)``; so is ``y_test``.
        mean: Subtracted from images scaled to 0..1, one number or one per channel.
        std: Divides them after that.
        class_names: One name per class, in the order of the labels; numbers if empty.
        num_validation: How many images at the head of the training part were never trained on and
            so are the validation split, whatever the seed; 0 cuts one by seed.
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
            _check_part(part, getattr(self, f"x_{part}"), getattr(self, f"y_{part}"))
        _check_pair(self.x_train, self.x_test)
        if not self.class_names:
            names = _number_classes(self.y_train, self.y_test)
            object.__setattr__(self, "class_names", names)
        _check_classes(self)
        _check_normalisation(self)
        _check_validation(len(self.y_train), self.num_validation)

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
            num_samples: At most so many; all of them if None.
            seed: Cuts validation from training and orders both.

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
            return self._take(
                name, self.x_test, self.y_test, np.arange(len(self.y_test))[:num_samples]
            )
        held_out, rest = self._cut(seed)
        chosen = held_out if name == "validation" else rest
        if name == "calibration":
            chosen = np.random.default_rng([seed, 1]).permutation(chosen)
        return self._take(name, self.x_train, self.y_train, chosen[:num_samples])

    def _cut(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of validation and of the other training images, each in a seeded order."""
        generator = np.random.default_rng([seed, 0])
        total = len(self.y_train)
        if self.num_validation:
            head = generator.permutation(self.num_validation)
            rest = self.num_validation + generator.permutation(total - self.num_validation)
            return head, rest
        order = generator.permutation(total)
        count = min(MAX_VALIDATION, max(1, total // 5))
        return order[:count], order[count:]

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


def _check_part(part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse images or labels of one part that are not what they must be."""
    if images.dtype not in (np.uint8, np.float32):
        raise DataError(
            f"x_{part} holds {images.dtype} numbers.",
            "Save images as uint8 from 0 to 255, or as float32 ready for the network.",
        )
    if images.ndim != 4:
        raise DataError(
            f"x_{part} has shape {_shape(images.shape)}.",
            "Give images as samples x channels x height x width.",
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"y_{part} holds {labels.dtype} values, not whole numbers.",
            "Save labels as integers from 0, one per image.",
        )
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and labels.shape[1] > 1
        raise DataError(
            f"y_{part} has shape {_shape(labels.shape)}, not one label per image.",
            f"Save y_{part}.argmax(axis=1)." if one_hot else f"Save y_{part}.reshape(-1).",
        )
    if len(images) != len(labels):
        raise DataError(
            f"x_{part} has {len(images):,} images and y_{part} {len(labels):,} labels.",
            "Save one label per image, in the same order.",
        )
    if not images.size:
        raise DataError(
            f"x_{part} is empty: its shape is {_shape(images.shape)}.",
            f"Save at least {MIN_TRAIN if part == 'train' else 1} images there.",
        )
    bad = 0 if images.dtype == np.uint8 else int(images.size - np.isfinite(images).sum())
    if bad:
        raise DataError(
            f"x_{part} holds {bad:,} NaN or infinite values among {images.size:,}.",
            "Remove or replace them before saving.",
        )


def _check_pair(x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Refuse training and test images of different shapes or kinds."""
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"Training images have shape {_shape(x_train.shape[1:])}, "
            f"test images {_shape(x_test.shape[1:])}.",
            "Bring both to the same channels x height x width.",
        )
    if x_train.dtype != x_test.dtype:
        raise DataError(
            f"x_train holds {x_train.dtype} numbers and x_test {x_test.dtype}.",
            "Save both in the same way.",
        )


def _number_classes(*parts: np.ndarray) -> tuple[str, ...]:
    """Numbers from 0 to the largest label as class names."""
    count = max(int(labels.max()) for labels in parts) + 1
    if count > MAX_CLASSES:
        raise DataError(
            f"The largest label is {count - 1}; up to {MAX_CLASSES:,} classes are handled.",
            "Number the classes from 0 without gaps.",
        )
    if min(int(labels.min()) for labels in parts) > 0:
        raise DataError(
            "No image has label 0, so the labels do not count from 0.",
            "Subtract the smallest label, or save class_names with a name for every label from 0.",
        )
    return tuple(map(str, range(count)))


def _check_classes(data: Data) -> None:
    """Refuse labels outside the classes, and a single class."""
    count = data.num_classes
    for part, labels in (("train", data.y_train), ("test", data.y_test)):
        outside = labels[(labels < 0) | (labels >= count)]
        if len(outside):
            raise DataError(
                f"y_{part} holds the label {outside[0]} ({len(outside):,} of {len(labels):,} "
                f"labels are outside); with {count} classes labels go from 0 to {count - 1}.",
                "Number the classes from 0, and give class_names one name per class.",
            )
    if int(data.y_train.min()) == int(data.y_train.max()):
        raise DataError(
            f"All {len(data.y_train):,} training images have label {data.y_train[0]}.",
            "Save images of at least two classes.",
        )
    twice = sorted({name for name in data.class_names if data.class_names.count(name) > 1})
    if twice:
        raise DataError(f"class_names holds {twice[0]!r} twice.", "Give every class its own name.")


def _check_normalisation(data: Data) -> None:
    """Refuse means and spreads that do not fit the images."""
    channels = data.input_shape[0]
    for key, values in (("mean", data.mean), ("std", data.std)):
        if len(values) not in (1, channels):
            raise DataError(
                f"{key} has {len(values)} numbers for images of {channels} "
                f"{'channel' if channels == 1 else 'channels'}.",
                "Give one number, or one per channel.",
            )
        bad = [
            value for value in values if not math.isfinite(value) or (key == "std" and value <= 0)
        ]
        if bad:
            raise DataError(
                f"{key} holds {bad[0]:g}.",
                "Give finite numbers above 0." if key == "std" else "Give finite numbers.",
            )
    if data.x_train.dtype == np.float32 and (set(data.mean), set(data.std)) != ({0.0}, {1.0}):
        raise DataError(
            "The images are float32, which are taken as they are, and mean and std are given too.",
            "Leave out mean and std, or save the images as uint8.",
        )


def _check_validation(num_train: int, num_validation: int) -> None:
    """Refuse a training part too small to cut a validation split from."""
    if num_train < MIN_TRAIN:
        raise DataError(
            f"There are {num_train} training images; a fifth of them is set aside for validation.",
            f"Save at least {MIN_TRAIN} training images.",
        )
    if not 0 <= num_validation < num_train:
        raise DataError(
            f"num_validation is {num_validation} of {num_train:,} training images.",
            f"Choose a number from 0 to {num_train - 1:,}.",
        )


def _check_whole(words: str, value: object, least: int) -> None:
    """Refuse anything but a whole number from ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{words} is {value!r}.", f"Give a whole number from {least}.")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "of a single number"
