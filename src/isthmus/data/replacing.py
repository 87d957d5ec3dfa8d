"""Replacing files and folders so that a name never holds half of one: written beside, swapped."""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from isthmus.errors import FileError

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


def set_aside(target: Path) -> Path:
    """Return where a folder lies while another takes its name: whoever looks for it looks there."""
    return target.with_name(f".{target.name}.before")


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


def _refusal(path: StrPath, error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return f"No space is left on the device to write {path}: free some and run it again"
    if error.errno == errno.ENAMETOOLONG:
        return f"{path} is too long a name for the system: give a shorter one"
    may_not = error.errno in _NO_PERMISSION
    verb = "may not" if may_not else "cannot"
    advice = "change the permissions or the path" if may_not else "check the path and the device"
    return f"{path} {verb} be written ({error.strerror or error}): {advice}"
