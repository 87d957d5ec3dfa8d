"""Pictures in TIFF files: their pixels as light, and new pixels among all else that stood there.

h x w pixels, c channels: grey or RGB, and perhaps one of transparency.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.tiff import (
    LONG,
    LONG8,
    SHORT,
    Directory,
    Layout,
    entry_of,
    numbers,
    packed,
    read_directories,
    read_layout,
)
from isthmus.errors import DataError

Array = npt.NDArray[Any]

# Tags of how pixels are stored, which is told anew
_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS = 254, 256, 257, 258, 259, 262
_OFFSETS, _CHANNELS, _ROWS, _LENGTHS, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_ALPHA, _NUMBERS = 338, 339
_STORED = {*range(255, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 317}
_STORED |= {320, *range(322, 329), 338, 339, 347, *range(512, 522), *range(529, 533)}
_STRANGE = {330, 400, 37724}  # further pictures, and Photoshop's layers, which hold the old one

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CALLED = {_CMYK: "CMYK", _YCBCR: "YCbCr", 8: "Lab", 9: "Lab", 10: "Lab"}
_RAW, _JPEG, _DEFLATE = 1, 7, 8
_WHOLE, _FLOAT = 1, 3
_KNOWN = {_WHOLE: (1, 2, 4, 8, 16), _FLOAT: (32,)}  # bits
_DIFFERENCES, _NO_PREDICTOR = 2, 1
_STRAIGHT = 2  # transparency by which colours are not multiplied
_NO_PAGE = 1 | 4  # a thumbnail, or a mask
_STRIP = 2**20  # bytes


class TiffPicture(NamedTuple):
    """A TIFF file of one picture, its pixels unread."""

    file: Path
    layout: Layout
    page: Directory

    @classmethod
    def of(cls, file: Path) -> "TiffPicture":
        """Read the directories.

        Raises
        ------
        DataError
            If there are several pages, or pixels that are neither grey nor RGB of a known depth.
        """
        with file.open("rb") as stream:
            layout = read_layout(stream)
            pages = list(read_directories(stream, layout, frozenset(_STRANGE)))
        further = [numbers(layout, page, _KIND, 0)[0] & _NO_PAGE for page in pages[1:]]
        if not all(further):
            n_pages = 1 + further.count(0)
            raise DataError(f"{file} holds {n_pages} pages: save each as a picture of its own.")
        picture = cls(file, layout, pages[0])
        picture._check_colours()
        picture._check_depth()
        return picture

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height."""
        return self._fact(_WIDTH, None), self._fact(_HEIGHT, None)

    def pixels(self) -> Array:
        """Return light (h, w) or (h, w, c) in full depth; RGB where there was a palette."""
        import tifffile

        with tifffile.TiffFile(self.file) as tiff:
            page: Any = tiff.pages.first
            places = zip(page.dataoffsets, page.databytecounts, strict=True)
            if max(map(sum, places)) > self.file.stat().st_size:
                raise ValueError("its pixels are cut off")
            # (planes, 1, h, w, channels), where either planes or channels is 1
            values = np.moveaxis(page.asarray(squeeze=False, maxworkers=1)[:, 0], 0, -1)
            return self._light(values.reshape(*values.shape[:2], -1), page.colormap)

    def write(self, pixels: Array, stream: IO[bytes]) -> None:
        """Write other pixels (h, w) or (h, w, c), and what else the file holds."""
        layout, values = self.layout, pixels if pixels.ndim == 3 else pixels[..., None]
        squeezed = self._fact(_COMPRESSION, _RAW) != _RAW
        predicted = squeezed and values.dtype.kind == "u"
        stream.write(layout.header + layout.pack(layout.offset, 0))
        offsets, lengths = [], []
        for strip in _strips(values, layout.order, differences=predicted):
            offsets.append(stream.tell())
            lengths.append(stream.write(zlib.compress(strip) if squeezed else strip))
        at = stream.tell() + stream.write(bytes(stream.tell() % 2))
        facts = {
            _COMPRESSION: (SHORT, (_DEFLATE if squeezed else _RAW,)),
            _PREDICTOR: (SHORT, (_DIFFERENCES if predicted else _NO_PREDICTOR,)),
            _OFFSETS: (LONG8 if layout.big else LONG, tuple(offsets)),
            _LENGTHS: (LONG, tuple(lengths)),
            **_facts(values),
        }
        stored = {tag: entry_of(layout, kind, value) for tag, (kind, value) in facts.items()}
        kept = {tag: entry for tag, entry in self.page.items() if tag not in _STORED}
        if values.shape[2] in (2, 4):
            stored[_ALPHA] = self.page.get(_ALPHA, entry_of(layout, SHORT, (_STRAIGHT,)))
        stream.write(packed(layout, kept | stored, at))
        stream.seek(len(layout.header))
        stream.write(layout.pack(layout.offset, at))

    def _fact(self, tag: int, default: int | None) -> int:
        return numbers(self.layout, self.page, tag, default)[0]

    def _check_colours(self) -> None:
        colours, n_channels = self._fact(_COLOURS, _BLACK_IS_ZERO), self._fact(_CHANNELS, 1)
        known = [_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE]
        known += [_YCBCR] * (self._fact(_COMPRESSION, _RAW) == _JPEG)
        n_colours = 3 if colours in (_RGB, _YCBCR) else 1
        if colours not in known:
            held = f"colours of mode {_CALLED.get(colours, colours)}"
        elif n_channels not in (n_colours, n_colours + 1):
            held = f"{n_channels} channels of colour"
        else:
            return
        raise DataError(f"{self.file} has {held}: save it as grey or RGB.")

    def _check_depth(self) -> None:
        """Refuse bits of which Isthmus would not know how many are white."""
        bits, kind = numbers(self.layout, self.page, _BITS, 1), self._fact(_NUMBERS, _WHOLE)
        if len(set(bits)) == 1 and bits[0] in _KNOWN.get(kind, ()):
            return
        called = {_WHOLE: "integers", 2: "signed integers", _FLOAT: "floats"}.get(kind, "values")
        raise DataError(
            f"{self.file} has pixels that are {called} of {max(bits)} bits: "
            "save it with 8 or 16 bits, or as floats of 32."
        )

    def _light(self, values: Array, palette: Array | None) -> Array:
        """Return what is stored (h, w, c) as light, black being 0."""
        if palette is not None:
            rgb = (palette >> 8).astype(np.uint8).T[values[..., 0]]
            return rgb if values.shape[-1] == 1 else np.dstack([rgb, values[..., 1]])
        bits, white = self._fact(_BITS, 1), 1
        light = values.astype(values.dtype.newbyteorder("="), copy=False)
        if light.dtype.kind != "f":
            light = light.astype(np.uint16 if bits > 8 else np.uint8, copy=False)
            white = np.iinfo(light.dtype).max
            light *= white // (2**bits - 1)
        if self._fact(_COLOURS, _BLACK_IS_ZERO) == _WHITE_IS_ZERO:
            light[..., 0] = white - light[..., 0]
        return light[..., 0] if light.shape[-1] == 1 else light


def _facts(values: Array) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Return how pixels (h, w, c) are written, as kinds and values of tags."""
    height, width, n_channels = values.shape
    kind = _FLOAT if values.dtype.kind == "f" else _WHOLE
    return {
        _WIDTH: (LONG, (width,)),
        _HEIGHT: (LONG, (height,)),
        _BITS: (SHORT, (8 * values.itemsize,) * n_channels),
        _COLOURS: (SHORT, (_RGB if n_channels > 2 else _BLACK_IS_ZERO,)),
        _CHANNELS: (SHORT, (n_channels,)),
        _ROWS: (LONG, (_rows_of_strip(values),)),
        _PLANES: (SHORT, (1,)),
        _NUMBERS: (SHORT, (kind,) * n_channels),
    }


def _rows_of_strip(values: Array) -> int:
    return max(1, _STRIP // values[0].nbytes)


def _strips(values: Array, order: Literal["<", ">"], *, differences: bool) -> Iterator[bytes]:
    """Return pixels (h, w, c) as bytes, some rows at a time; perhaps less their left neighbours."""
    n_rows = _rows_of_strip(values)
    for top in range(0, len(values), n_rows):
        strip = values[top : top + n_rows].copy()
        if differences:
            strip[:, 1:] -= strip[:, :-1]  # NumPy takes all before it writes any
        yield strip.astype(strip.dtype.newbyteorder(order), copy=False).tobytes()
