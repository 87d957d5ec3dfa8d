"""PNG, JPEG, BMP and WEBP files: their pixels as they are stored, and how they are written back.

What is no pixel (EXIF, ICC profile, resolution, captions) is copied byte for byte. A form reads a
file as pixels (h, w) or (h, w, c) with their transparency, and as what writes others of that shape.
"""

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, FileError

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]
Encode = Callable[[Array, IO[bytes]], None]
Form = tuple[Array, Encode]

# Modes, as Pillow calls them; the deep ones are grey of 16 bits in a PNG file
_GREY, _COLOUR, _DEEP = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA"), ("I;16", "I")
_ROWS = 256  # that are read from Pillow at once, which keeps colours in four bytes


# Pillow


@contextlib.contextmanager
def _opened(file: Path, form: str) -> Iterator["Image.Image"]:
    """Open a picture, of which the header alone is read, and refuse what could not be written."""
    from PIL import Image

    try:
        picture = Image.open(file, formats=(form,))
    except Image.DecompressionBombError:
        raise too_large(file) from None
    with picture:
        n_frames = getattr(picture, "n_frames", 1)
        if n_frames > 1 and picture.format != "MPO":  # a photo and its previews
            raise FileError(
                f"{file} is animated ({n_frames} frames): save each as a picture of its own."
            )
        if picture.mode not in (*_GREY, *_COLOUR, *_DEEP):
            raise DataError(f"{file} has colours of mode {picture.mode}: save it as grey or RGB.")
        yield picture


def most_pixels() -> float:
    """Return how many pixels a picture may have: as many as Pillow opens."""
    from PIL import Image

    return 2 * (Image.MAX_IMAGE_PIXELS or np.inf)


def too_large(file: Path) -> FileError:
    """Refuse a picture before it takes the memory."""
    return FileError(
        f"{file} has more than {most_pixels() / 1e6:.0f} megapixels, which could fill the memory: "
        "cut it into several pictures."
    )


def _bytes_of(picture: "Image.Image") -> Array:
    """Return the pixels in 8 bits a channel; a palette becomes RGB, one clear colour an alpha."""
    clear = "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA")
    mode = ("L" if picture.mode in _GREY else "RGB") + "A" * clear
    picture.load()
    width, height = picture.size
    n_channels = len(mode)
    pixels = np.empty((height, width, n_channels)[: 2 + (n_channels > 1)], np.uint8)
    for top in range(0, height, _ROWS):
        rows = picture.crop((0, top, width, min(top + _ROWS, height)))
        pixels[top : top + _ROWS] = np.asarray(rows.convert(mode))
    return pixels


# PNG: the chunks of its specification, sections 5 and 11

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 33  # bytes, with IHDR, which is always the first
_PIXELS = b"IHDR PLTE tRNS IDAT IEND".split()
_BESIDE = b"cHRM cICP gAMA iCCP sRGB mDCV cLLI pHYs eXIf tEXt zTXt iTXt".split()


def read_png(file: Path) -> Form:
    """Read a PNG file, of which Pillow would leave 8 bits of 16, and take more memory."""
    import imagecodecs

    with _opened(file, "PNG"), file.open("rb") as stream:
        beside = b"".join(_png_chunks(stream, _BESIDE))
        chunks = b"".join((_SIGNATURE, *_png_chunks(stream, _PIXELS)))
    return imagecodecs.png_decode(chunks), partial(_write_png, beside)


def _png_chunks(stream: IO[bytes], kinds: list[bytes]) -> Iterator[bytes]:
    """Return the chunks of some kinds, whole: length, kind, data, checksum."""
    stream.seek(len(_SIGNATURE))
    kind = b""
    while kind != b"IEND":
        if len(start := stream.read(8)) < 8:
            raise ValueError("its end is missing")
        length, kind = struct.unpack(">I4s", start)
        if kind not in kinds:
            stream.seek(length + 4, io.SEEK_CUR)
        elif len(rest := stream.read(length + 4)) == length + 4:
            yield start + rest
        else:
            raise ValueError("its end is missing")


def _write_png(beside: bytes, pixels: Array, stream: IO[bytes]) -> None:
    import imagecodecs

    written = memoryview(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    stream.write(written[:_HEAD])
    stream.write(beside)
    stream.write(written[_HEAD:])


# JPEG: the segments before the first scan (ITU T.81, annex B)

_APPLICATIONS = range(0xE0, 0xF0)
_JFIF, _PREVIEWS, _ADOBE = 0xE0, 0xE2, 0xEE  # these three tell of pixels
_SCAN, _COMMENT = 0xDA, 0xFE
_JFIF_END = 20  # bytes, of the start and of the JFIF segment that Pillow writes


def read_jpeg(file: Path) -> Form:
    """Read a JPEG file; of several pictures in it the first, to which the others are previews."""
    from PIL import JpegImagePlugin

    with _opened(file, "JPEG") as picture, file.open("rb") as stream:
        pixels = _bytes_of(picture)
        options = {
            "qtables": picture.quantization,  # type: ignore[attr-defined]
            "subsampling": max(0, JpegImagePlugin.get_sampling(picture)),  # -1 is any other
            "progressive": "progressive" in picture.info,
        }
        segments = list(_jpeg_segments(stream))
    return pixels, partial(_write_jpeg, segments, options)


def _jpeg_segments(stream: IO[bytes]) -> Iterator[bytes]:
    """Return the segments that tell no pixels: EXIF, ICC profile, captions, comments."""
    stream.seek(2)
    while (marker := _marker(stream)) not in (_SCAN, None):
        length = stream.read(2)
        data = stream.read(int.from_bytes(length, "big") - 2)
        begins = {_JFIF: b"JFIF\0", _PREVIEWS: b"ICC_PROFILE\0"}.get(marker, b"")
        told = marker in _APPLICATIONS and marker != _ADOBE and data.startswith(begins)
        if told or marker == _COMMENT:
            yield bytes([0xFF, marker]) + length + data


def _marker(stream: IO[bytes]) -> int | None:
    """Return the next marker, before which there may be any number of FF."""
    while (byte := stream.read(1)) == b"\xff":
        pass
    return byte[0] if byte else None


def _write_jpeg(
    segments: list[bytes], options: dict[str, Any], pixels: Array, stream: IO[bytes]
) -> None:
    """Write with the original's quantisation, so that what is left alone hardly changes."""
    written = memoryview(_saved(pixels, "JPEG", **options))
    has_jfif = any(segment[1] == _JFIF for segment in segments)
    stream.write(written[: 2 if has_jfif else _JFIF_END])
    stream.write(b"".join(segments))
    stream.write(written[_JFIF_END:])


def _saved(pixels: Array, form: str, **options: Any) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form, **options)
    return written.getvalue()


# WEBP

_LOSSY_QUALITY = 95


def read_webp(file: Path) -> Form:
    """Read a WEBP file."""
    with _opened(file, "WEBP") as picture, file.open("rb") as stream:
        pixels = _bytes_of(picture)
        beside = ("icc_profile", "exif", "xmp")
        options = {name: picture.info[name] for name in beside if name in picture.info}
        lossless = b"VP8L" in _riff_chunks(stream)
    options |= {"lossless": lossless, "exact": True, "quality": 100 if lossless else _LOSSY_QUALITY}
    return pixels, partial(_write_by_pillow, "WEBP", options)


def _riff_chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Return the kinds of the chunks."""
    stream.seek(12)
    while len(start := stream.read(8)) == 8:
        kind, length = struct.unpack("<4sI", start)
        yield kind
        stream.seek(length + length % 2, io.SEEK_CUR)


def _write_by_pillow(form: str, options: dict[str, Any], pixels: Array, stream: IO[bytes]) -> None:
    stream.write(_saved(pixels, form, **options))


# BMP


def read_bmp(file: Path) -> Form:
    """Read a BMP file."""
    with _opened(file, "BMP") as picture:
        pixels = _bytes_of(picture)
        options = {"dpi": picture.info["dpi"]} if "dpi" in picture.info else {}
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return pixels, _write_clear_bmp
    return pixels, partial(_write_by_pillow, "BMP", options)


def _write_clear_bmp(pixels: Array, stream: IO[bytes]) -> None:
    """Write what Pillow would write without saying that there is transparency."""
    height, width, _ = pixels.shape
    start, size = 14 + 108, pixels.nbytes
    stream.write(struct.pack("<2sIII", b"BM", start + size, 0, start))
    stream.write(struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, 0, 0, 0, 0))
    stream.write(struct.pack("<IIII4s48x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs"))
    for row in pixels[::-1]:
        stream.write(row[:, [2, 1, 0, 3]].tobytes())
