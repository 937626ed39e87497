"""Write the embedded data sets: ``python sample_models/make_data.py``.

Fashion-MNIST is read from the folder of Debian's ``dataset-fashion-mnist``; digits from
scikit-learn. Both become an ``.npz`` as the workbench reads it, with two keys more:
``num_validation`` (that many images at the head of the training part were kept out of training,
so that choices made on them are not flattered) and ``notice`` (source and licence).
"""

import argparse
import gzip
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = [
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
FASHION_NOTICE = (
    "Fashion-MNIST, copyright 2017 Zalando SE, MIT licence, "
    "https://github.com/zalandoresearch/fashion-mnist"
)
DIGITS_NOTICE = (
    "Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, UCI Machine Learning "
    "Repository, CC BY 4.0), the copy in scikit-learn (BSD 3-Clause)"
)
FASHION_EMBEDDED, FASHION_VALIDATION = 20_000, 2_000
DIGITS_TEST, DIGITS_VALIDATION = 360, 240


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes; two axes more than labels mean images."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_fashion(folder: Path) -> dict[str, np.ndarray]:
    """All 70,000 images, the training part in a seeded order with the validation images first."""
    parts = {
        f"{kind}_{split}": read_idx(folder / f"{prefix}-{name}-ubyte.gz")
        for split, prefix in (("train", "train"), ("test", "t10k"))
        for kind, name in (("x", "images-idx3"), ("y", "labels-idx1"))
    }
    order = np.random.default_rng(0).permutation(len(parts["x_train"]))
    return parts | {"x_train": parts["x_train"][order], "y_train": parts["y_train"][order]}


def read_digits() -> dict[str, np.ndarray]:
    """The 1,797 digits in a seeded order, scaled from 0..16 to 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.images))
    images = np.rint(bunch.images[order] * 255 / 16).astype(np.uint8)
    labels = bunch.target[order].astype(np.uint8)
    split = len(images) - DIGITS_TEST
    return {
        "x_train": images[:split], "y_train": labels[:split],
        "x_test": images[split:], "y_test": labels[split:],
    }  # fmt: skip


def write(name: str, parts: dict[str, np.ndarray], keep: int, validation: int,
          classes: list[str], notice: str) -> None:  # fmt: skip
    """Save one data set; mean and spread are those of the whole training part."""
    pixels = parts["x_train"][validation:] / np.float32(255)
    path = HERE / "data" / f"{name}.npz"
    np.savez_compressed(
        path, x_train=parts["x_train"][:keep], y_train=parts["y_train"][:keep],
        x_test=parts["x_test"], y_test=parts["y_test"],
        mean=np.float32([round(float(pixels.mean(dtype=np.float64)), 4)]),
        std=np.float32([round(float(pixels.std(dtype=np.float64)), 4)]),
        class_names=np.array(classes), num_validation=np.int64(validation),
        notice=np.array(notice),
    )  # fmt: skip
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fashion-folder", type=Path, default=FASHION_FOLDER)
    folder = parser.parse_args().fashion_folder
    write("fashion-mnist", read_fashion(folder), FASHION_EMBEDDED, FASHION_VALIDATION,
          FASHION_CLASSES, FASHION_NOTICE)  # fmt: skip
    digits = read_digits()
    write("digits", digits, len(digits["x_train"]), DIGITS_VALIDATION,
          [str(i) for i in range(10)], DIGITS_NOTICE)  # fmt: skip


if __name__ == "__main__":
    main()
