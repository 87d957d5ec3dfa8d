"""Example pictures: scikit-learn's embedded digits, and MNIST from files or from OpenML."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.files import read
from isthmus.errors import DataError, FileError, ParameterError, guess

_SPLITS = {"train": ("train", slice(60_000)), "test": ("t10k", slice(60_000, None))}


class Pictures(NamedTuple):
    """Flattened grey pictures and what each shows."""

    images: npt.NDArray[np.float32]  # (n, pixels), from 0 (background) to 1
    labels: npt.NDArray[np.int64]  # (n,)


def digits() -> Pictures:
    """Return the 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Returns
    -------
    Pictures
        Images of shape (1797, 64), labels from 0 to 9.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Pictures((images / 16).astype(np.float32), labels.astype(np.int64))


def mnist(path: str | os.PathLike[str] | None = None, split: str = "train") -> Pictures:
    """Return MNIST's handwritten digits of 28 x 28 pixels (LeCun et al., 1998).

    Parameters
    ----------
    path : str or path-like, optional
        A folder of MNIST's four idx files, gzipped or not. By default scikit-learn's
        ``fetch_openml`` downloads them once and keeps them in its cache.
    split : {"train", "test"}
        The first 60,000 or the last 10,000 pictures.

    Returns
    -------
    Pictures
        Images of shape (60000, 784) or (10000, 784), labels from 0 to 9.

    Raises
    ------
    ParameterError
        If there is no such split.
    FileError
        If a file is missing or damaged, or OpenML cannot be reached.
    DataError
        If the files hold something else than one label per picture.
    """
    if split not in _SPLITS:
        raise ParameterError(
            f"split={split!r} is unknown{guess(split, _SPLITS)}: it must be 'train' or 'test'."
        )
    stem, rows = _SPLITS[split]
    images, labels = _openml(rows) if path is None else _idx_files(Path(path), stem)
    light: npt.NDArray[np.float32] = np.divide(images, 255, dtype=np.float32)
    return Pictures(light, labels.astype(np.int64))


def _idx_files(folder: Path, stem: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the pictures of 0 to 255, flattened, and the labels of one split."""
    images = read(_idx_file(folder, f"{stem}-images-idx3-ubyte")).values
    labels = read(_idx_file(folder, f"{stem}-labels-idx1-ubyte")).values
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.dtype != np.uint8:
        raise DataError(
            f"The {stem} files of {folder} hold images of shape {images.shape} and labels of shape "
            f"{labels.shape}: both must be bytes, (n, height, width) and (n,), so copy them again."
        )
    return images.reshape(len(images), -1), labels


def _idx_file(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise FileError(
        f"{folder} holds no {name}, gzipped or not: "
        "give the folder of MNIST's four idx files, or leave the path out to download them."
    )


def _openml(rows: slice) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    from sklearn.datasets import fetch_openml

    parser = "pandas" if find_spec("pandas") else "liac-arff"  # slower, and needs nothing
    try:
        images, labels = fetch_openml(
            "mnist_784", version=1, as_frame=False, return_X_y=True, parser=parser
        )
    except OSError as error:
        raise FileError(
            f"MNIST cannot be downloaded from OpenML ({error}): check the connection, "
            "or give the folder of MNIST's four idx files as path."
        ) from error
    return images[rows], labels[rows]
