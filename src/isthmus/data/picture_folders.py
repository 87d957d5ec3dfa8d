"""All pictures of a folder and of the folders within it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isthmus.data.damage import reason
from isthmus.data.pictures import PICTURE_ENDINGS, is_picture
from isthmus.errors import FileError


class Below(NamedTuple):
    """What a folder holds, and those within it; hidden files and folders are nothing."""

    files: list[Path]  # that have the ending of a picture
    refused: list[FileError]  # why a folder could not be looked into
    n_others: int  # files of other endings


def pictures_in(path: Path) -> Below:
    """Find the pictures of a folder, or the one that the path itself is."""
    return Below([path], [], 0) if is_picture(path) else pictures_below(path)


def pictures_below(folder: Path) -> Below:
    """Find the pictures, sorted by name in each folder; links are followed."""
    found = list(_found(folder, ()))
    files = [each for each in found if isinstance(each, Path)]
    pictures = [file for file in files if file.suffix.lower() in PICTURE_ENDINGS]
    refused = [each for each in found if isinstance(each, FileError)]
    return Below(pictures, refused, len(files) - len(pictures))


def _found(folder: Path, above: tuple[str, ...]) -> Iterator[Path | FileError]:
    """Walk down from the folders `above`, into which a link may lead back."""
    real = os.path.realpath(folder)
    if real in above:
        yield FileError(f"{folder} is a link to a folder that it lies in: take the link away.")
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        yield FileError(f"{folder} cannot be read ({reason(error)}): change its permissions.")
        return
    for name in names:
        path = folder / name
        if not name.startswith("."):
            yield from _found(path, (*above, real)) if path.is_dir() else (path,)
