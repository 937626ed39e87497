"""Data sets that are refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tests.golden.refusals.models import Payload, repeat_member, written, zipped
from tests.golden.refusals.table import Makers
from workbench.data import Data
from workbench.loading import load_data, load_model, load_uploaded_data
from workbench.model import check_fit

MAKERS = Makers()


def arrays(**changes):
    """Twenty training and eight test images of 6 x 6 pixels in three classes, with changes."""
    generator = np.random.default_rng(0)
    right = {
        "x_train": generator.integers(0, 256, (20, 6, 6), dtype=np.uint8),
        "y_train": np.arange(20) % 3,
        "x_test": generator.integers(0, 256, (8, 6, 6), dtype=np.uint8),
        "y_test": np.arange(8) % 3,
    }
    changed = right | {key: change for key, change in changes.items() if not callable(change)}
    changed |= {key: change(right[key]) for key, change in changes.items() if callable(change)}
    return {key: value for key, value in changed.items() if value is not None}


def saved(folder, **changes):
    path = Path(folder) / "images.npz"
    np.savez_compressed(path, **arrays(**changes))
    return path


# What a file really is


@MAKERS
def data_no_name(folder):
    """An empty name."""
    load_data("")


@MAKERS
def data_empty_file(folder):
    """A file of 0 bytes."""
    load_data(written(folder, "images.npz", b""))


@MAKERS
def data_cut(folder):
    """An .npz file without its last 100 bytes."""
    whole = saved(folder).read_bytes()
    load_data(written(folder, "images.npz", whole[:-100]))


@MAKERS
def data_damaged(folder):
    """An .npz file with a wrong byte inside an array."""
    path = folder / "images.npz"
    np.savez(path, **arrays())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x03\x04", 4) - 30] ^= 255
    path.write_bytes(content)
    load_data(path)


@MAKERS
def data_text(folder):
    """A table of numbers as text."""
    load_data(written(folder, "images.csv", b"label,pixel1,pixel2\n3,0,128\n"))


@MAKERS
def data_picture(folder):
    """A single picture."""
    load_data(written(folder, "shoe.png", b"\x89PNG\r\n\x1a\n" + b"x" * 99))


@MAKERS
def data_model_file(folder):
    """A .pt file as the data."""
    import torch

    torch.save({"weight": torch.ones(2)}, folder / "weights.pt")
    load_data(folder / "weights.pt")


@MAKERS
def data_numpy_array(folder):
    """An .npy file with the images alone."""
    np.save(folder / "images.npy", arrays()["x_train"])
    load_data(folder / "images.npy")


@MAKERS
def data_pickle(folder):
    """A pickle, as CIFAR-10 is distributed."""
    import pickle

    load_data(written(folder, "data_batch_1", pickle.dumps({b"data": [1, 2]})))


@MAKERS
def data_folder(folder):
    """A folder of images."""
    (folder / "shoes").mkdir()
    load_data(folder / "shoes")


@MAKERS
def data_unknown_sample(folder):
    """A sample's name without its hyphen."""
    load_data("fashionmnist")


@MAKERS
def data_missing_file(folder):
    """A path with a letter missing."""
    saved(folder)
    load_data(folder / "image.npz")


@MAKERS
def data_pickled_objects(folder):
    """Labels saved as Python objects that would run code."""
    labels = np.array([Payload(folder / "marker")] * 20, dtype=object)
    load_data(saved(folder, y_train=labels))


@MAKERS
def data_pickled_objects_uploaded(folder):
    """The same as an upload from a browser."""
    labels = np.array([Payload(folder / "marker")] * 20, dtype=object)
    load_uploaded_data("images.npz", saved(folder, y_train=labels).read_bytes())


@MAKERS
def data_zip_bomb(folder):
    """An .npz file of 100 kB that unpacks to 6 GB of zeros."""
    path = folder / "images.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", bytes(100_000_000))
    repeat_member(path, 60, ".npy")
    load_data(path)


@MAKERS
def data_false_header(folder):
    """An array of 2 kB whose header claims ten million million bytes."""
    content = io.BytesIO()
    npy.write_array_header_1_0(
        content, {"descr": "|u1", "fortran_order": False, "shape": (10**13,)}
    )
    members = {"x_train.npy": content.getvalue() + bytes(2_000)}
    load_data(zipped(folder, "images.npz", members))


@MAKERS
def data_packed_otherwise(folder):
    """An .npz file packed with bzip2."""
    load_data(zipped(folder, "images.npz", {"x_train.npy": b"x"}, zipfile.ZIP_BZIP2))


# Arrays


@MAKERS
def data_missing_array(folder):
    """An .npz file without a test part."""
    load_data(saved(folder, x_test=None, y_test=None))


@MAKERS
def data_unknown_array(folder):
    """An .npz file with a name nobody knows."""
    load_data(saved(folder, weights=np.ones(3)))


@MAKERS
def data_float64(folder):
    """Images as float64."""
    load_data(saved(folder, x_train=lambda x: x / 255))


@MAKERS
def data_rank_2(folder):
    """Images flattened to rows."""
    load_data(saved(folder, x_train=lambda x: x.reshape(20, 36)))


@MAKERS
def data_ambiguous_channels(folder):
    """Images of 3 x 3 pixels with three channels."""
    load_data(saved(folder, x_train=np.zeros((20, 3, 3, 3), np.uint8)))


@MAKERS
def data_no_channels(folder):
    """Images with 12 channels."""
    load_data(saved(folder, x_train=np.zeros((20, 12, 6, 6), np.uint8)))


@MAKERS
def data_lengths_differ(folder):
    """One label fewer than images."""
    load_data(saved(folder, y_train=lambda y: y[:-1]))


@MAKERS
def data_shapes_differ(folder):
    """Test images larger than training images."""
    load_data(saved(folder, x_test=np.zeros((8, 7, 7), np.uint8)))


@MAKERS
def data_kinds_differ(folder):
    """Test images as float32, training images as uint8."""
    load_data(saved(folder, x_test=lambda x: np.float32(x)))


@MAKERS
def data_empty(folder):
    """No images at all."""
    load_data(saved(folder, x_train=lambda x: x[:0], y_train=lambda y: y[:0]))


@MAKERS
def data_empty_test(folder):
    """No test images."""
    load_data(saved(folder, x_test=lambda x: x[:0], y_test=lambda y: y[:0]))


@MAKERS
def data_too_few(folder):
    """Four training images."""
    load_data(saved(folder, x_train=lambda x: x[:4], y_train=lambda y: y[:4]))


@MAKERS
def data_nan(folder):
    """A pixel is NaN."""

    def spoil(images):
        images = np.float32(images)
        images[3, 2, 2] = np.nan
        return images

    load_data(saved(folder, x_train=spoil, x_test=lambda x: np.float32(x)))


# Labels


@MAKERS
def data_label_too_large(folder):
    """A label beyond the class names."""
    load_data(saved(folder, y_test=np.full(8, 3), class_names=np.array(["cat", "dog", "cow"])))


@MAKERS
def data_label_negative(folder):
    """A label of -1."""
    load_data(saved(folder, y_train=lambda y: y - 1))


@MAKERS
def data_label_huge(folder):
    """A label of 100,000."""
    load_data(saved(folder, y_train=lambda y: y * 50_000))


@MAKERS
def data_labels_from_one(folder):
    """Labels that count from 1."""
    load_data(saved(folder, y_train=lambda y: y + 1, y_test=lambda y: y + 1))


@MAKERS
def data_labels_fractional(folder):
    """Labels as floating-point numbers."""
    load_data(saved(folder, y_train=lambda y: y * 1.0))


@MAKERS
def data_labels_one_hot(folder):
    """One column per class."""
    load_data(saved(folder, y_train=lambda y: np.eye(3, dtype=np.int64)[y]))


@MAKERS
def data_labels_column(folder):
    """Labels as a column."""
    load_data(saved(folder, y_train=lambda y: y[:, None]))


@MAKERS
def data_labels_words(folder):
    """Labels as words."""
    load_data(saved(folder, y_train=lambda y: np.array(["cat", "dog", "cow"])[y]))


@MAKERS
def data_one_class(folder):
    """All images have the same label."""
    load_data(saved(folder, y_train=lambda y: y * 0, y_test=lambda y: y * 0))


@MAKERS
def data_class_names_twice(folder):
    """The same class name twice."""
    load_data(saved(folder, class_names=np.array(["cat", "dog", "cat"])))


@MAKERS
def data_class_names_numbers(folder):
    """Class names that are numbers."""
    load_data(saved(folder, class_names=np.arange(3)))


# Normalisation and splits


@MAKERS
def data_mean_too_long(folder):
    """A mean for each of three channels, for images of one."""
    load_data(saved(folder, mean=np.ones(3)))


@MAKERS
def data_mean_words(folder):
    """A mean that is a word."""
    load_data(saved(folder, mean=np.array("half")))


@MAKERS
def data_std_zero(folder):
    """A spread of zero."""
    load_data(saved(folder, std=np.zeros(1)))


@MAKERS
def data_float32_normalised(folder):
    """A mean for float32 images."""
    both = {"x_train": lambda x: np.float32(x), "x_test": lambda x: np.float32(x)}
    load_data(saved(folder, **both, mean=np.array([0.5])))


@MAKERS
def data_validation_too_large(folder):
    """As many validation images as training images."""
    load_data(saved(folder, num_validation=np.int64(20)))


@MAKERS
def data_validation_fractional(folder):
    """Half an image for validation."""
    load_data(saved(folder, num_validation=np.float64(0.5)))


@MAKERS
def data_unknown_split(folder):
    """A split nobody knows."""
    load_data(saved(folder)).split("validate")


@MAKERS
def data_no_samples(folder):
    """A split of no images."""
    load_data(saved(folder)).split("test", 0)


@MAKERS
def data_negative_seed(folder):
    """A negative seed."""
    load_data(saved(folder)).split("train", seed=-1)


@MAKERS
def data_in_python(folder):
    """Arrays from Python with the channels left out."""
    Data("mine", *arrays().values())


# Data and model


@MAKERS
def data_other_image_shape(folder):
    """Images of another shape than the model's."""
    check_fit(load_model("digits-mlp"), load_data(saved(folder)))


@MAKERS
def data_other_class_count(folder):
    """Three classes for a model of ten."""
    images = {"x_train": np.zeros((20, 8, 8), np.uint8), "x_test": np.zeros((8, 8, 8), np.uint8)}
    check_fit(load_model("digits-mlp"), load_data(saved(folder, **images)))
