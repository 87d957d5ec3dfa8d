"""One picture of any size, and all that its file needs to be written back as it was.

h x w pixels.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.damage import damage_as_file_error, quietly
from isthmus.data.picture_forms import (
    Encode,
    Form,
    most_pixels,
    read_bmp,
    read_jpeg,
    read_png,
    read_webp,
    too_large,
)
from isthmus.data.replacing import StrPath, replacing
from isthmus.data.tiff_pictures import TiffPicture
from isthmus.errors import DataError, FileError, missing

Array = npt.NDArray[Any]

_FAR = 0.5  # beyond black or white, where floats are no light any more


class Picture(NamedTuple):
    """A picture as its file holds it: not turned, in its own depth."""

    pixels: Array  # (h, w) or RGB (h, w, 3); uint8, uint16, or float32 with black 0 and white 1
    alpha: Array | None  # (h, w) of the same dtype: how opaque
    encode: Encode  # what writes pixels with their alpha, and all else that the file held


def read_picture(path: StrPath) -> Picture:
    """Read one picture: PNG, JPEG, BMP, TIFF or WEBP, whatever its ending says.

    Pixels keep their depth, 8 or 16 bits or floats; fewer bits become 8, and a palette RGB.

    Raises
    ------
    FileError
        If it is no such file, is damaged or animated, or has so many pixels that they would fill
        the memory, which is found out before any is taken.
    DataError
        If it has several pages, colours that are neither grey nor RGB, pixels of another depth,
        or floats that are no light.
    MissingDependencyError
        If Pillow, imagecodecs or tifffile is not installed.
    """
    file = Path(path)
    with damage_as_file_error(file), quietly():
        _check_file(file)
        _check_extra(file)
        pixels, encode = _form(file)(file)
        if pixels.dtype.kind == "f":
            _check_light(file, pixels)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        colours = pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]
        return Picture(colours.copy(), pixels[..., -1].copy(), encode)
    return Picture(pixels, None, encode)


def write_picture(
    path: StrPath, picture: Picture, whole: Callable[[Path], None] = lambda _: None
) -> None:
    """Write a picture in the form in which it was read, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file to write or to replace.
    picture : Picture
        As `read_picture` gave it; its pixels may be others of the same shape and dtype.
    whole : callable, optional
        What is called with the file that is whole and does not bear its name yet.

    Raises
    ------
    FileError
        If the system refuses: no space, no permission.
    """
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.dstack([pixels, picture.alpha])
    with replacing(path) as beside:
        with beside.open("wb") as stream:
            picture.encode(pixels, stream)
        whole(beside)


def _check_file(file: Path) -> None:
    """Refuse what is no file, before a pipe is waited for."""
    if file.is_dir():
        raise FileError(f"{file} is a folder: give the path of one picture.")
    if not file.is_file():
        if file.is_symlink():
            raise FileError(f"{file} is a link that leads to no file: mend it or take it away.")
        raise FileError(f"{file} is no file: give the path of a picture.")


def _check_extra(file: Path) -> None:
    """Refuse at the first picture what would fail at the first deep one, or after all the work."""
    for module, package in (("PIL", "pillow"), ("imagecodecs",) * 2, ("tifffile",) * 2):
        try:
            import_module(module)
        except ImportError:
            raise missing(package, f"Reading {file.name}", "pictures") from None


def _form(file: Path) -> Callable[[Path], Form]:
    """Return the reader of what a file's first bytes say that it is."""
    with file.open("rb") as stream:
        start = stream.read(12)
    if not start:
        raise FileError(f"{file} is empty (0 bytes): copy or write it again.")
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return read_webp
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            return reader
    raise FileError(
        f"{file} is no picture that can be read (it begins with {start[:6]!r}): "
        "save it as PNG, JPEG, BMP, TIFF or WEBP."
    )


def _read_tiff(file: Path) -> Form:
    picture = TiffPicture.of(file)
    width, height = picture.size
    if width * height > most_pixels():
        raise too_large(file)
    return picture.pixels(), picture.write


_READERS = {
    b"\x89PNG\r\n\x1a\n": read_png,
    b"\xff\xd8\xff": read_jpeg,
    b"BM": read_bmp,
    b"II*\0": _read_tiff,
    b"MM\0*": _read_tiff,
    b"II+\0": _read_tiff,
    b"MM\0+": _read_tiff,
}


def _check_light(file: Path, pixels: Array) -> None:
    """Refuse floats whose white is unknown."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(low + high):
        raise DataError(
            f"{file} has pixels that are NaN or infinite: replace them by light from 0 to 1."
        )
    if low < -_FAR or high > 1 + _FAR:
        raise DataError(
            f"{file} runs from {low:.3g} to {high:.3g}, and floats are light from 0 (black) to 1 "
            "(white): divide it by what is white."
        )
