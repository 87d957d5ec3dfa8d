"""Writing arrays, tables and pictures, whole or not at all.

n rows, d columns, h x w pixels, c colours (1 or 3).
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.pictures import levels_of, png_names
from isthmus.data.replacing import StrPath, replacing, replacing_folder
from isthmus.errors import DataError, FileError, guess, missing

if TYPE_CHECKING:
    import polars as pl


def check_ending(path: StrPath, besides: str = "") -> str:
    """Return the ending of a file that `write` can write, in lower case.

    Parameters
    ----------
    path : str or path-like
    besides : str
        What the caller writes, too, as the refusal is to go on.

    Raises
    ------
    FileError
        If it is none of ``.npy``, ``.npz``, ``.csv`` and ``.parquet``.
    """
    ending = Path(path).suffix.lower()
    if ending not in _SAVE:
        raise FileError(
            f"{path} has an ending that cannot be written{guess(ending, _SAVE)}: "
            f"use {', '.join(_SAVE)}{besides}."
        )
    return ending


def write(
    path: StrPath,
    values: npt.ArrayLike,
    columns: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    whole: Sequence[str] = (),
) -> None:
    """Write an array to one file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Its ending is the form: ``.npy``, ``.npz`` (under the name X), ``.csv`` or ``.parquet``.
    values : array-like
        Numbers; for ``.csv`` and ``.parquet`` of shape (n, d) or (n,).
    columns : sequence of str, optional
        The d names of the columns, ``x0, x1, ...`` by default; ``.npy`` and ``.npz`` hold none.
    labels : mapping of str to sequence, optional
        Columns of n cells each that go before the others in a table, such as names of the rows;
        ``.npy`` and ``.npz`` hold none.
    whole : sequence of str
        Columns that hold whole numbers, as which a table has them.

    Raises
    ------
    FileError
        If the ending is unknown, or the system refuses to write.
    DataError
        If the values are not numbers or have more axes than the form has, or if the columns are
        not d different names.
    MissingDependencyError
        If polars is needed (``.csv``, ``.parquet``) and not installed.
    """
    ending, array = check_ending(path), np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"Values of type {array.dtype} cannot be written to {path}: give numbers.")
    content: Any = array
    if ending in (".csv", ".parquet"):
        frame = _frame(path, array, columns, labels or {})
        content = frame.cast(dict.fromkeys(whole, int))
    with replacing(path) as beside, beside.open("wb") as stream:
        _SAVE[ending](content, stream)


def write_pictures(
    folder: StrPath, values: npt.ArrayLike, names: Sequence[str], *, deep: bool = False
) -> None:
    """Write pictures as PNG files into a folder of their own, all or none.

    Parameters
    ----------
    folder : str or path-like
        One that holds anything but files of these names is not replaced.
    values : array-like of shape (n, h, w) or (n, h, w, c)
        Light from 0 to 1, clipped to that; c is 1 or 3.
    names : sequence of str
        The n file names; their endings become ``.png``.
    deep : bool
        Whether grey ones get 16 bits; else all have 8.

    Raises
    ------
    DataError
        If the shape is another, a value is NaN, or the names are not n different file names.
    FileError
        If the folder holds something else, or the system refuses to write.
    MissingDependencyError
        If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", "Writing pictures", "pictures") from None
    pictures = levels_of(np.asarray(values, np.float32), deep=deep)
    files = png_names(names, len(pictures))
    _refuse_strangers(Path(folder), files)
    with replacing_folder(folder) as beside:
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(beside / file)


# Arrays and tables

_SAVE: dict[str, Callable[[Any, IO[bytes]], Any]] = {
    ".npy": lambda array, stream: np.save(stream, array, allow_pickle=False),
    ".npz": lambda array, stream: np.savez(stream, X=array),
    ".csv": lambda frame, stream: _save_frame(frame.write_csv, stream),
    ".parquet": lambda frame, stream: _save_frame(frame.write_parquet, stream),
}


def _save_frame(save: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
    """Let polars write; what the system says is lost in its errors but for ``(os error 28)``."""
    try:
        save(stream)
    except Exception as error:
        if said := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(number := int(said[1]), os.strerror(number)) from error
        raise


def _frame(
    path: object,
    array: npt.NDArray[Any],
    columns: Sequence[str] | None,
    labels: Mapping[str, Sequence[Any]],
) -> "pl.DataFrame":
    try:
        import polars as pl
    except ImportError:
        raise missing("polars", f"Writing {path}", "tables") from None
    if array.ndim not in (1, 2):
        raise DataError(
            f"Values of shape {array.shape} cannot be written to {path}: "
            "reshape them to (rows, columns), or write .npy."
        )
    table = array[:, None] if array.ndim == 1 else array
    names = [f"x{i}" for i in range(table.shape[1])] if columns is None else list(columns)
    if len(set(names)) != len(names) or len(names) != table.shape[1]:
        held = f"{len(names)} names, {len(set(names))} of them different"
        raise DataError(
            f"{path} needs {table.shape[1]} different column names, and got {held}: name each once."
        )
    frame = pl.DataFrame(table, schema=names, orient="row")
    return frame.select(*(pl.Series(name, list(labels[name])) for name in labels), pl.all())


# Pictures


def _refuse_strangers(folder: Path, files: list[str]) -> None:
    """Keep a typo from wiping a folder: only pictures of the same names are replaced."""
    strangers = sorted({file.name for file in folder.glob("*")} - set(files))
    if strangers:
        raise FileError(
            f"{folder} holds {strangers[0]!r}, which is none of the pictures to write, so it is "
            "not replaced: give the path of a new or an empty folder."
        )
