"""Data sets and their splits."""

import numpy as np
import pytest
import torch

from tests.guards import no_files
from workbench.data import Data
from workbench.errors import DataError
from workbench.loading import load_data, load_uploaded_data, sample_data_names


def numbered(count=40, num_validation=0, **changes):
    """Images whose every pixel is their own number; three classes."""
    images = np.arange(count, dtype=np.uint8).repeat(6).reshape(count, 1, 2, 3)
    labels = np.arange(count) % 3
    values = {"mean": (0.0,), "std": (1.0,), "num_validation": num_validation} | changes
    return Data("numbered", images, labels, images[:9], labels[:9], **values)


def numbers(split):
    return (split.images[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize("num_validation", [0, 7])
@pytest.mark.parametrize("other", ["train", "calibration"])
@pytest.mark.parametrize("seeds", [(0, 0), (3, 3), (0, 7), (7, 0)])
def test_training_and_validation_share_no_image_whatever_the_seeds(num_validation, other, seeds):
    data = numbered(num_validation=num_validation)
    rest, validation = data.split(other, seed=seeds[0]), data.split("validation", seed=seeds[1])
    assert sorted(numbers(rest) + numbers(validation)) == list(range(40))
    assert len(validation) == (num_validation or 8)


def test_validation_images_that_the_data_name_come_first():
    validation = numbered(num_validation=7).split("validation", seed=2)
    assert sorted(numbers(validation)) == list(range(7))


@pytest.mark.parametrize("num_validation", [0, 7])
def test_calibration_is_training_in_another_order(num_validation):
    data = numbered(num_validation=num_validation)
    train, calibration = numbers(data.split("train")), numbers(data.split("calibration"))
    assert sorted(train) == sorted(calibration)
    assert train != calibration


@pytest.mark.parametrize("name", ["train", "calibration", "validation"])
def test_splits_are_the_same_for_the_same_seed_and_begin_the_same(name):
    data = numbered()
    whole, again, head = data.split(name, seed=5), data.split(name, seed=5), data.split(name, 4, 5)
    assert torch.equal(whole.images, again.images)
    assert torch.equal(whole.labels, again.labels)
    assert torch.equal(whole.images[:4], head.images)
    assert len(head) == 4


@pytest.mark.parametrize("name", ["train", "calibration", "validation"])
def test_seeds_order_differently(name):
    data = numbered()
    assert numbers(data.split(name, seed=0)) != numbers(data.split(name, seed=1))


@pytest.mark.parametrize("num_validation", [0, 10])
def test_fewer_training_images_leave_the_other_splits_alone(num_validation):
    data = numbered(num_validation=num_validation)
    fewer = data.with_fewer_images(7, seed=2)
    assert len(fewer.split("train")) == 7
    assert set(numbers(fewer.split("train"))) <= set(numbers(data.split("train")))
    for name in ("validation", "test"):
        assert set(numbers(fewer.split(name))) == set(numbers(data.split(name)))
    assert numbers(fewer.split("train")) != numbers(data.with_fewer_images(7).split("train"))
    many = data.with_fewer_images(1_000)
    assert set(numbers(many.split("train"))) == set(numbers(data.split("train")))
    with pytest.raises(DataError, match="Number of training images is 0"):
        data.with_fewer_images(0)


def test_all_test_images_keep_their_order_and_a_part_is_drawn_from_all_classes():
    images = np.arange(100, dtype=np.uint8).repeat(4).reshape(100, 1, 2, 2)
    labels = np.arange(100) // 25  # sorted by class, as folders of images are
    data = Data("sorted", images, labels, images, labels)
    assert numbers(data.split("test")) == numbers(data.split("test", 100)) == list(range(100))
    part = data.split("test", 40)
    assert len(set(numbers(part))) == 40
    assert set(part.labels.tolist()) == {0, 1, 2, 3}
    assert torch.equal(part.images[:20], data.split("test", 20).images)


def test_labels_stay_with_their_images():
    for name in ("train", "calibration", "validation", "test"):
        split = numbered().split(name)
        assert split.labels.tolist() == [number % 3 for number in numbers(split)]
        assert split.labels.dtype == torch.int64


def test_images_are_scaled_and_normalised_by_channel():
    images = np.array([[[[0]], [[255]]]] * 6, np.uint8)
    labels = np.arange(6) % 2
    data = Data("two", images, labels, images, labels, (0.5, 0.0), (0.25, 2.0))
    assert data.split("test").images[0].flatten().tolist() == [-2.0, 0.5]


def test_float32_images_are_taken_as_they_are():
    images = np.linspace(-3, 3, 24, dtype=np.float32).reshape(6, 1, 2, 2)
    labels = np.arange(6) % 2
    split = Data("raw", images, labels, images, labels).split("test")
    assert np.array_equal(split.images.numpy(), images)
    split.images.zero_()
    assert images.any()


def test_classes_are_numbered_where_they_have_no_names():
    assert numbered().class_names == ("0", "1", "2")
    assert numbered(class_names=("a", "b", "c")).num_classes == 3


def test_digest_names_what_a_result_depends_on():
    same = {numbered().digest, numbered().digest, numbered(notice="MIT").digest}
    others = {
        numbered(41).digest, numbered(num_validation=3).digest, numbered(mean=(0.5,)).digest,
        numbered(std=(0.5,)).digest,
    }  # fmt: skip
    assert len(same) == 1
    assert len(others | same) == 5


def test_description_is_plain():
    description = numbered(class_names=("a", "b", "c"), notice="MIT").describe()
    assert description["input_shape"] == [1, 2, 3]
    assert (description["num_train"], description["num_test"]) == (40, 9)
    assert (description["num_classes"], description["notice"]) == (3, "MIT")


@pytest.mark.parametrize("name", sample_data_names())
def test_samples_have_their_notice_and_a_validation_part(name):
    data = load_data(name)
    assert data.num_validation > 0
    assert data.notice
    assert data.num_classes == 10
    pixels = data.split("train").images
    assert abs(pixels.mean()) < 0.02
    assert abs(pixels.std() - 1) < 0.02


# Files


def arrays(shape=(6, 5), channels=()):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, *shape, *channels), dtype=np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 4
    return {"x_train": images, "y_train": labels, "x_test": images[:8], "y_test": labels[:8]}


def test_all_three_layouts_are_the_same_images(tmp_path):
    last = arrays(channels=(3,))
    first = last | {key: last[key].transpose(0, 3, 1, 2) for key in ("x_train", "x_test")}
    np.savez(tmp_path / "last.npz", **last)
    np.savez_compressed(tmp_path / "first.npz", **first)
    one, other = load_data(tmp_path / "last.npz"), load_data(tmp_path / "first.npz")
    assert one.input_shape == other.input_shape == (3, 6, 5)
    assert one.digest == other.digest
    np.savez(tmp_path / "grey.npz", **arrays())
    grey = load_data(tmp_path / "grey.npz")
    assert np.array_equal(grey.x_train[:, 0], arrays()["x_train"])


def test_optional_arrays_are_read(tmp_path):
    extra = {
        "mean": np.float32(0.5), "std": np.array([0.25]), "num_validation": np.int64(4),
        "class_names": np.array(["ä", "b", "c", "d", "never seen"]), "notice": np.array("MIT"),
    }  # fmt: skip
    np.savez(tmp_path / "mine.npz", **arrays(), **extra)
    data = load_data(str(tmp_path / "mine.npz"))
    assert (data.name, data.mean, data.std, data.num_validation) == ("mine", (0.5,), (0.25,), 4)
    assert (data.class_names[0], data.num_classes, data.notice) == ("ä", 5, "MIT")


def test_upload_is_what_the_path_gives_and_never_touches_the_disk(tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays())
    content = (tmp_path / "mine.npz").read_bytes()
    expected = load_data(tmp_path / "mine.npz")
    with no_files():
        data = load_uploaded_data("C:\\Users\\me\\mine.npz", content)
    assert (data.name, data.digest) == ("mine", expected.digest)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.uint64])
def test_every_kind_of_whole_number_is_a_label(tmp_path, kind):
    right = arrays()
    np.savez(tmp_path / "mine.npz", **right | {"y_train": right["y_train"].astype(kind)})
    assert load_data(tmp_path / "mine.npz").y_train.tolist() == right["y_train"].tolist()


def test_labels_beyond_64_bits_are_refused(tmp_path):
    huge = np.array([2**63 + 1] * 20, np.uint64)
    np.savez(tmp_path / "mine.npz", **arrays() | {"y_train": huge})
    with pytest.raises(DataError, match="9223372036854775809"):
        load_data(tmp_path / "mine.npz")
