import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from isthmus.datasets import digits, mnist
from isthmus.errors import DataError, FileError, ParameterError

MNIST = Path(__file__).parents[1].parent / "shared/data/mnist"
IMAGES = np.arange(2 * 4 * 3, dtype="u1").reshape(2, 4, 3) * 10
LABELS = np.array([7, 1], "u1")

needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST is not at {MNIST}")


def whole(text):
    return f"^{re.escape(text)}$"


def write_idx(path, array, zipped=False):
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype("u1").tobytes()
    path.write_bytes(gzip.compress(content) if zipped else content)


def write_split(folder, stem, images=IMAGES, labels=LABELS, ending=""):
    write_idx(folder / f"{stem}-images-idx3-ubyte{ending}", images, bool(ending))
    write_idx(folder / f"{stem}-labels-idx1-ubyte{ending}", labels, bool(ending))


def test_digits_are_scikit_learns_in_units_of_full_light():
    theirs = sklearn.datasets.load_digits()
    images, labels = digits()
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    assert (images.min(), images.max()) == (0, 1)
    np.testing.assert_array_equal(images * 16, theirs.data)
    np.testing.assert_array_equal(labels, theirs.target)


@pytest.mark.parametrize(("split", "stem"), [("train", "train"), ("test", "t10k")])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_mnist_reads_the_idx_files_of_the_split(tmp_path, split, stem, ending):
    write_split(tmp_path, stem, ending=ending)
    images, labels = mnist(tmp_path, split)
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(images, IMAGES.reshape(2, 12) / np.float32(255))
    np.testing.assert_array_equal(labels, LABELS)


def test_mnist_names_the_file_that_is_missing(tmp_path):
    write_split(tmp_path, "train")
    text = (
        f"{tmp_path} holds no t10k-images-idx3-ubyte, gzipped or not: "
        "give the folder of MNIST's four idx files, or leave the path out to download them."
    )
    with pytest.raises(FileError, match=whole(text)):
        mnist(tmp_path, "test")


@pytest.mark.parametrize(
    ("images", "labels"), [(IMAGES, LABELS[:1]), (IMAGES[0], LABELS), (IMAGES, IMAGES)]
)
def test_mnist_refuses_files_that_do_not_belong_together(tmp_path, images, labels):
    write_split(tmp_path, "train", images, labels)
    text = (
        f"The train files of {tmp_path} hold images of shape {images.shape} and labels of shape "
        f"{labels.shape}: both must be bytes, (n, height, width) and (n,), so copy them again."
    )
    with pytest.raises(DataError, match=whole(text)):
        mnist(tmp_path)


def test_mnist_guesses_the_split():
    text = "split='tets' is unknown (did you mean 'test'?): it must be 'train' or 'test'."
    with pytest.raises(ParameterError, match=whole(text)):
        mnist(split="tets")


@pytest.mark.parametrize(
    ("split", "rows"), [("train", range(60_000)), ("test", range(60_000, 70_000))]
)
def test_mnist_of_openml_is_cut_after_60000_rows(monkeypatch, split, rows):
    pixels = np.arange(70_000)[:, None] % [256, 100]
    labels = (np.arange(70_000) % 10).astype(str).astype(object)
    asked = {}

    def fetch(name, **options):
        asked.update(options, name=name)
        return pixels, labels

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    images, digit = mnist(split=split)
    np.testing.assert_array_equal(images, pixels[list(rows)].astype(np.float32) / 255)
    np.testing.assert_array_equal(digit, np.array(rows) % 10)
    assert (images.dtype, digit.dtype) == (np.float32, np.int64)
    assert (asked["name"], asked["version"], asked["as_frame"]) == ("mnist_784", 1, False)


def test_mnist_says_what_to_do_without_a_network(monkeypatch):
    def fail(*args, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    text = (
        "MNIST cannot be downloaded from OpenML (no route to host): check the connection, "
        "or give the folder of MNIST's four idx files as path."
    )
    with pytest.raises(FileError, match=whole(text)):
        mnist()


@needs_mnist
def test_mnist_has_the_known_counts_and_mean():
    # The counts per digit are those of LeCun's files; 0.1307 is the mean everybody normalises by.
    train, test = mnist(MNIST), mnist(MNIST, "test")
    assert (train.images.shape, test.images.shape) == ((60_000, 784), (10_000, 784))
    assert train.images.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert np.bincount(train.labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]
    assert np.bincount(test.labels).tolist() == [
        *(980, 1135, 1032, 1010, 982),
        *(892, 958, 1028, 974, 1009),
    ]
