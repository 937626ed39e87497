"""What the arrays of a data set must be, and how each fault is named.

Every function raises ``DataError`` at the first fault that it finds.
"""

import math
from collections import Counter

import numpy as np

from workbench.errors import DataError

MIN_TRAIN = 5
"""Fewest training images: a fifth of them is set aside for validation."""

MAX_CLASSES = 10_000


def check_part(part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Refuse images or labels of one part that are not what they must be."""
    if images.dtype not in (np.uint8, np.float32):
        raise DataError(
            f"x_{part} holds {kind_of(images)}.",
            "Save images as uint8 from 0 to 255, or as float32 ready for the network.",
        )
    if images.ndim != 4:
        raise DataError(
            f"x_{part} has shape {_shape(images.shape)}.",
            "Give images as samples x channels x height x width.",
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"y_{part} holds {kind_of(labels)}, not whole numbers.",
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
            f"Save at least {MIN_TRAIN} training images and 1 test image.",
        )
    bad = 0 if images.dtype == np.uint8 else int(images.size - np.isfinite(images).sum())
    if bad:
        raise DataError(
            f"x_{part} holds values that are NaN or infinite: {bad:,} of {images.size:,}.",
            "Remove or replace them before saving.",
        )


def check_pair(x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Refuse training and test images of different shapes or kinds."""
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"Training images have shape {_shape(x_train.shape[1:])}, "
            f"test images {_shape(x_test.shape[1:])}.",
            "Bring both to the same channels x height x width.",
        )
    if x_train.dtype != x_test.dtype:
        raise DataError(
            f"x_train holds {kind_of(x_train)}, x_test {kind_of(x_test)}.",
            "Save both in the same way.",
        )


def number_classes(*parts: np.ndarray) -> tuple[str, ...]:
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


def check_classes(y_train: np.ndarray, y_test: np.ndarray, class_names: tuple[str, ...]) -> None:
    """Refuse labels outside the classes, and a single class."""
    count = len(class_names)
    if count > MAX_CLASSES:
        raise DataError(
            f"class_names has {count:,} names; up to {MAX_CLASSES:,} classes are handled.",
            "Give one name per class.",
        )
    for part, labels in (("train", y_train), ("test", y_test)):
        outside = labels[(labels < 0) | (labels >= count)]
        if len(outside):
            raise DataError(
                f"y_{part} holds the label {outside[0]} ({len(outside):,} of {len(labels):,} "
                f"labels are outside); with {count} classes labels go from 0 to {count - 1}.",
                "Number the classes from 0, and give class_names one name per class.",
            )
    if int(y_train.min()) == int(y_train.max()):
        raise DataError(
            f"All {len(y_train):,} training images have label {y_train[0]}.",
            "Save images of at least two classes.",
        )
    name, times = Counter(class_names).most_common(1)[0]
    if times > 1:
        raise DataError(
            f"class_names holds {name!r} {times} times.", "Give every class its own name."
        )


def check_normalisation(
    x_train: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """Refuse means and spreads that do not fit the images."""
    channels = x_train.shape[1]
    for key, values, use, wanted in (
        ("mean", mean, "shifted by", "finite numbers"),
        ("std", std, "divided by", "finite numbers above 0"),
    ):
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
                f"{key} holds {bad[0]:g}; images are {use} it.",
                f"Give {wanted}.",
            )
    if x_train.dtype == np.float32 and (set(mean), set(std)) != ({0.0}, {1.0}):
        raise DataError(
            "The images are float32, which are taken as they are, and mean and std are given too.",
            "Leave out mean and std, or save the images as uint8.",
        )


def check_validation(num_train: int, num_validation: int) -> None:
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


def kind_of(array: np.ndarray) -> str:
    """What an array holds, in words: ``uint8 values`` or ``text``."""
    return "text" if array.dtype.kind in "US" else f"{array.dtype} values"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "of a single number"
