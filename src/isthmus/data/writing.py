"""Writing files and folders so that a name never holds half of one: written beside, then swapped.

n rows, d columns, h x w pixels, c colours (1 or 3).
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.pictures import levels_of, png_names
from isthmus.errors import DataError, FileError, guess, missing

if TYPE_CHECKING:
    import polars as pl

StrPath = str | os.PathLike[str]

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
_HALF = re.compile(r"\..*\.[0-9a-f]{12}\.\w+")


@contextlib.contextmanager
def replacing(path: StrPath) -> Iterator[Path]:
    """Yield a hidden path beside `path`, with its ending, that takes its place on success.

    Until the body has ended and the bytes are on the device, `path` keeps what it held; if it
    fails, what was written is removed. Missing parent folders are created, a link is followed.

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
    with refusal_as_file_error(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise FileError(f"{path} is not a file: give the path of one, to write or to replace.")
        beside = _beside(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            if target.exists():
                shutil.copymode(target, beside)
            _to_device(beside)
            beside.replace(target)
            _names_to_device(target.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: StrPath, *, marker: str | None = None) -> Iterator[Path]:
    """Yield a new hidden folder beside `path` that takes its place on success.

    What `path` held is moved aside whole before, and deleted after, the new folder gets the name:
    it never stands for half a folder. If anything fails, `path` keeps what it held.

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
    with refusal_as_file_error(path):
        target = Path(os.path.realpath(path))
        check_replaceable(path, marker)
        beside = _beside(target)
        beside.mkdir(parents=True)
        try:
            yield beside
            for file in beside.rglob("*"):
                _to_device(file)
            _swap(beside, target)
            _names_to_device(target.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def remove_halves(folder: Path) -> None:
    """Remove what `replacing` was writing in a folder, and those within it, when it was killed."""
    for file in folder.rglob(".*"):
        if _HALF.fullmatch(file.name) and file.is_file():
            file.unlink(missing_ok=True)


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
        content = _frame(path, array, columns, labels or {})
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


# Replacing


def _beside(target: Path) -> Path:
    """Return a hidden name that nobody else uses, with the target's ending."""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(6)}{target.suffix}")


def _to_device(path: Path) -> None:
    """Wait until a file is on the device: a full one may say so only now."""
    if path.is_file():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())


def _names_to_device(folder: Path) -> None:
    """Wait until the new names in a folder are on the device, where the system can tell."""
    with contextlib.suppress(OSError):  # Windows opens no folders, some file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _swap(new: Path, target: Path) -> None:
    """Give `new` the name `target`, whose folder is put back if that fails."""
    old = set_aside(target)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
        try:
            new.replace(target)
        except BaseException:
            old.replace(target)
            raise
    else:
        new.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def set_aside(target: Path) -> Path:
    """Return where a folder lies while another takes its name: whoever looks for it looks there."""
    return target.with_name(f".{target.name}.before")


def check_replaceable(path: StrPath, marker: str | None = None) -> None:
    """Raise the FileError with which `replacing_folder` would refuse, before any work is done."""
    with refusal_as_file_error(path):
        target = Path(os.path.realpath(path))
        if not target.exists():
            return
    if not target.is_dir():
        raise FileError(f"{path} is a file: give the path of a folder, to write or to replace.")
    if marker and any(target.iterdir()) and not (target / marker).is_file():
        raise FileError(
            f"{path} is a folder that holds something and no {marker}, so it is not replaced: "
            "give the path of a new or an empty folder."
        )


@contextlib.contextmanager
def refusal_as_file_error(path: StrPath) -> Iterator[None]:
    """Turn what the system says into what the user can do."""
    try:
        yield
    except FileError:
        raise
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise FileError(null_in(path)) from None
    except OSError as error:
        raise FileError(f"{_refusal(path, error)}; nothing was changed.") from error


def null_in(path: StrPath) -> str:
    """Say that a path holds a null character, which no system takes."""
    return f"{os.fspath(path)!r} holds a null character: give a path without."


def _refusal(path: StrPath, error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return f"No space is left on the device to write {path}: free some and run it again"
    if error.errno == errno.ENAMETOOLONG:
        return f"{path} is too long a name for the system: give a shorter one"
    may_not = error.errno in _NO_PERMISSION
    verb = "may not" if may_not else "cannot"
    advice = "change the permissions or the path" if may_not else "check the path and the device"
    return f"{path} {verb} be written ({error.strerror or error}): {advice}"


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
