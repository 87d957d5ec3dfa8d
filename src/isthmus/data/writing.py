"""Writing files and folders so that a name never holds half of one: written beside, then swapped.

n rows, d columns, h x w pixels, c colours (1 or 3).
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.files import PICTURE_ENDINGS
from isthmus.errors import DataError, FileError, did_you_mean, missing

if TYPE_CHECKING:
    import polars as pl

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a hidden path beside `path`, with its ending, that takes its place on success.

    Until the body has ended and the bytes are on the device, `path` keeps what it held; if
    anything fails, what was written is removed. Missing parent folders are created, and a link is
    followed.

    Parameters
    ----------
    path : str or path-like
        The file to write or to replace.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    FileError
        If `path` is a folder or a device, or the system refuses: no space, no permission.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileError(f"{path} is not a file: give the path of one, to write or to replace")
    beside = _beside(target)
    with _refusal_as_file_error(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            if target.exists():
                shutil.copymode(target, beside)
            _to_device(beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str], *, marker: str | None = None) -> Iterator[Path]:
    """Yield a new hidden folder beside `path` that takes its place on success.

    What `path` held is moved aside whole before, and deleted after, the new folder gets the name:
    the name never stands for half a folder. If anything fails, `path` keeps what it held.

    Parameters
    ----------
    path : str or path-like
        The folder to write or to replace.
    marker : str, optional
        A file name. A folder that holds something, but no such file, is not replaced, so that a
        typo never wipes a user's folder.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    FileError
        If `path` is a file, is a folder without the `marker`, or the system refuses.
    """
    target = Path(os.path.realpath(path))
    with _refusal_as_file_error(path):
        _check_replaceable(path, target, marker)
        beside = _beside(target)
        beside.mkdir(parents=True)
        try:
            yield beside
            for file in beside.rglob("*"):
                _to_device(file)
            _swap(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def write(
    path: str | os.PathLike[str], values: npt.ArrayLike, columns: Sequence[str] | None = None
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
    ending = Path(path).suffix.lower()
    if ending not in _SAVE:
        known = f"use {', '.join(_SAVE)}{did_you_mean(ending, _SAVE)}"
        raise FileError(f"{path} has an ending that cannot be written: {known}")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"values of type {array.dtype} cannot be written to {path}: give numbers")
    content: Any = _frame(path, array, columns) if ending in (".csv", ".parquet") else array
    with replacing(path) as beside, beside.open("wb") as stream:
        _SAVE[ending](content, stream)


def write_pictures(
    folder: str | os.PathLike[str], values: npt.ArrayLike, names: Sequence[str]
) -> None:
    """Write pictures as 8-bit PNG files into a folder of their own, all or none.

    Parameters
    ----------
    folder : str or path-like
        Written anew. One that holds anything but files of these names is not replaced.
    values : array-like of shape (n, h, w) or (n, h, w, c)
        Light from 0 to 1, clipped to that; c is 1 or 3.
    names : sequence of str
        The n file names; their endings become ``.png``.

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
        raise missing("pillow", "writing pictures", "pictures") from None
    pictures = _bytes_of(np.asarray(values, np.float32))
    files = _png_names(names, len(pictures))
    _refuse_strangers(Path(folder), files)
    with replacing_folder(folder) as beside:
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(beside / file)


# Replacing


def _beside(target: Path) -> Path:
    """Return a hidden name that nobody else uses, with the target's ending."""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(6)}{target.suffix}")


def _to_device(path: Path) -> None:
    """Wait until a file is on the device: a full one may say so only now."""
    if path.is_file():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())


def _swap(new: Path, target: Path) -> None:
    """Give `new` the name `target`, whose folder is put back if that fails."""
    if not target.exists():
        new.replace(target)
        return
    old = _beside(target)
    target.replace(old)
    try:
        new.replace(target)
    except BaseException:
        old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(path: str | os.PathLike[str], target: Path, marker: str | None) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileError(f"{path} is a file: give the path of a folder, to write or to replace")
    if marker and any(target.iterdir()) and not (target / marker).is_file():
        raise FileError(
            f"{path} is a folder that holds something and no {marker}, so it is not replaced: "
            "give the path of a new or an empty folder"
        )


@contextlib.contextmanager
def _refusal_as_file_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the system says into what the user can do."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{_refusal(path, error)}; nothing was changed") from error


def _refusal(path: str | os.PathLike[str], error: OSError) -> str:
    if error.errno in _NO_SPACE:
        advice = "free some and run the command again"
        return f"No space is left on the device to write {path}: {advice}"
    reason = error.strerror or str(error)
    if error.errno in _NO_PERMISSION:
        return f"{path} may not be written ({reason}): change the permissions or the path"
    return f"{path} cannot be written ({reason}): check the path and the device"


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
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise


def _frame(path: object, array: npt.NDArray[Any], columns: Sequence[str] | None) -> "pl.DataFrame":
    try:
        import polars as pl
    except ImportError:
        raise missing("polars", f"writing {path}", "tables") from None
    if array.ndim not in (1, 2):
        advice = "reshape them to (rows, columns), or write .npy"
        raise DataError(f"values of shape {array.shape} cannot be written to {path}: {advice}")
    table = array[:, None] if array.ndim == 1 else array
    names = [f"x{i}" for i in range(table.shape[1])] if columns is None else list(columns)
    if len(set(names)) != len(names) or len(names) != table.shape[1]:
        held = f"{len(names)} names, {len(set(names))} of them different"
        raise DataError(f"{path} needs {table.shape[1]} different column names, and got {held}")
    return pl.DataFrame(table, schema=names, orient="row")


# Pictures


def _bytes_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return light in [0, 1] as bytes, (n, h, w) or (n, h, w, 3)."""
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 and not (values.ndim == 4 and values.shape[-1] == 3):
        raise DataError(
            f"pictures of shape {values.shape} cannot be written: "
            "give (n, h, w), (n, h, w, 1) or (n, h, w, 3)"
        )
    if unknown := int(np.isnan(values).sum()):
        raise DataError(f"{unknown} pixels of the pictures are NaN: give values from 0 to 1")
    light: npt.NDArray[np.float32] = np.clip(values, 0, 1)
    return np.rint(light * 255).astype(np.uint8)


def _png_names(names: Sequence[str], n_pictures: int) -> list[str]:
    for name in names:
        if not name or name != Path(name).name:
            raise DataError(f"{name!r} is not the name of a file: leave folders out of it")
    files = [_without_ending(name) + ".png" for name in names]
    if len(set(files)) != len(files) or len(files) != n_pictures:
        held = f"{len(files)} names, {len(set(files))} of them different"
        raise DataError(f"{n_pictures} pictures need as many different names, and got {held}")
    return files


def _without_ending(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in PICTURE_ENDINGS else name


def _refuse_strangers(folder: Path, files: list[str]) -> None:
    """Keep a typo from wiping a folder: only pictures of the same names are replaced."""
    strangers = sorted({file.name for file in folder.glob("*")} - set(files))
    if strangers:
        raise FileError(
            f"{folder} holds {strangers[0]!r}, which is none of the pictures to write, so it is "
            "not replaced: give the path of a new or an empty folder"
        )
