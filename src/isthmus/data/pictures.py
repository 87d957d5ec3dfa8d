"""Pictures and the light in them: from files to fractions of full light, and to bytes.

n pictures of h x w pixels, c colours (1 or 3).
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.damage import damage_as_file_error, quietly
from isthmus.data.picture_forms import too_large
from isthmus.errors import DataError, FileError, missing

if TYPE_CHECKING:
    from PIL import Image

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

Array = npt.NDArray[Any]

_GREY = ("1", "L", "LA")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey of 16 bits, as Pillow's versions call it
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # Pillow would hand others to Ghostscript


class SizesError(DataError):
    """The pictures of a folder differ in size.

    Parameters
    ----------
    held : which of them, and by how much.
    besides : what else may be done about it than to change the folder.
    """

    def __init__(self, held: str, besides: str = "") -> None:
        super().__init__(f"{held}: resize them, or take one of them out{besides}.")
        self.held = held


class Pictures(NamedTuple):
    """The pictures of a folder."""

    values: Array  # (n, h, w), or (n, h, w, 3) if any of them has colour, float32 from 0 to 1
    names: tuple[str, ...]  # n file names
    deep: bool  # whether any of them, all grey, has 16 bits


def is_picture(path: Path) -> bool:
    """Whether a path is a file with the ending of a picture."""
    return path.suffix.lower() in PICTURE_ENDINGS and path.is_file()


def read_pictures(folder: Path) -> Pictures:
    """Read the pictures of a folder, sorted by name.

    Raises
    ------
    FileError
        If there is none, or one cannot be read.
    DataError
        If they differ in size, or one has pixels of 32 bits.
    MissingDependencyError
        If Pillow is not installed.
    """
    visible = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = sorted(file for file in visible if file.suffix.lower() in PICTURE_ENDINGS)
    if not files:
        raise FileError(
            f"{folder} holds no picture: give a folder that itself, not one within it, "
            f"holds files that end in {', '.join(PICTURE_ENDINGS)}."
        )
    shape, deep = _shape_of_all(folder, files)
    values = np.empty(shape, np.float32)
    for value, file in zip(values, files, strict=True):
        with _opened(file) as picture:
            pixels = _pixels(file, picture)
        value[...] = pixels if pixels.ndim == value.ndim else pixels[..., None]
    return Pictures(values, tuple(file.name for file in files), deep)


class Header(NamedTuple):
    """What is known of a picture before its pixels are read."""

    size: tuple[int, int]  # width and height
    coloured: bool


def header_of(file: Path) -> Header:
    """Return what the header of a picture tells.

    Raises
    ------
    FileError
        If it cannot be read.
    MissingDependencyError
        If Pillow is not installed.
    """
    with _opened(file) as picture:
        return Header(picture.size, picture.mode not in {*_GREY, *_DEEP})


def levels_of(values: npt.NDArray[np.float32], *, deep: bool) -> Array:
    """Return light from 0 to 1, clipped to that, as 8 or 16 bits, (n, h, w) or (n, h, w, 3).

    Raises
    ------
    DataError
        If the shape is another or a value is NaN.
    """
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3 and not (values.ndim == 4 and values.shape[-1] == 3):
        raise DataError(
            f"Pictures of shape {values.shape} cannot be written: "
            "give (n, h, w), (n, h, w, 1) or (n, h, w, 3)."
        )
    if unknown := int(np.isnan(values).sum()):
        raise DataError(f"{unknown} pixels of the pictures are NaN: give values from 0 to 1.")
    light: npt.NDArray[np.float32] = np.clip(values, 0, 1)
    if deep and values.ndim == 3:
        return np.rint(light.astype(np.float64) * 65535).astype(np.uint16)
    return np.rint(light * 255).astype(np.uint8)


def png_names(names: Sequence[str], n_pictures: int) -> list[str]:
    """Return the names with the ending ``.png``.

    Raises
    ------
    DataError
        If they are not `n_pictures` different names of files.
    """
    for name in names:
        if not name or name != Path(name).name:
            raise DataError(f"{name!r} is not the name of a file: leave folders out of it.")
    files = [_without_ending(name) + ".png" for name in names]
    if len(set(files)) != len(files) or len(files) != n_pictures:
        held = f"{len(files)} names, {len(set(files))} of them different"
        raise DataError(
            f"{n_pictures} pictures need as many different names, and got {held}: name each once."
        )
    return files


def _without_ending(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in PICTURE_ENDINGS else name


@contextlib.contextmanager
def _opened(file: Path) -> Iterator["Image.Image"]:
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", f"Reading {file.name}", "pictures") from None
    with damage_as_file_error(file), quietly():
        try:
            picture = Image.open(file, formats=_FORMATS)
        except Image.DecompressionBombError:
            raise too_large(file) from None
        with picture:
            yield picture


def _shape_of_all(folder: Path, files: list[Path]) -> tuple[tuple[int, ...], bool]:
    """Read the headers alone: (n, h, w), or (n, h, w, 3) if any has colour; whether deep."""
    sizes: dict[tuple[int, int], str] = {}
    modes = set()
    for file in files:
        with _opened(file) as picture:
            sizes.setdefault(picture.size, file.name)
            modes.add(picture.mode)
        if len(sizes) == 2:
            differ = " and ".join(f"{name!r} is {w} x {h}" for (w, h), name in sizes.items())
            raise SizesError(f"{folder} holds pictures of two sizes, {differ} pixels")
    (width, height), colours = next(iter(sizes)), () if modes <= {*_GREY, *_DEEP} else (3,)
    return (len(files), height, width, *colours), not colours and bool(modes & {*_DEEP})


def _pixels(file: Path, picture: "Image.Image") -> Array:
    """Return one picture as fractions of full light, (h, w) or (h, w, 3) float32."""
    if picture.mode == "F" or (picture.mode == "I" and picture.format == "TIFF"):
        advice = "save it with 8 or 16 bits"
        raise DataError(f"{file} has pixels of 32 bits, whose white is unknown: {advice}.")
    if picture.mode == "P":  # by way of RGBA, or Pillow warns of transparent palettes
        picture = picture.convert("RGBA")
    white = 65535 if picture.mode in _DEEP else 255
    if picture.mode not in _DEEP:
        picture = picture.convert("L" if picture.mode in _GREY else "RGB")
    light: Array = np.divide(np.asarray(picture), white, dtype=np.float32)
    return light
