"""The directories of TIFF files: tags and their values, read and written byte for byte.

After Adobe's TIFF 6.0, section 2, and BigTIFF, which has the same in wider numbers. What is wrong
is a ValueError here.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import IO, Literal, NamedTuple

EXIF, GPS, INTEROP = 34665, 34853, 40965  # tags whose values are directories again

_NESTED = {0: (EXIF, GPS), EXIF: (INTEROP,)}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}  # bytes of a number of each kind
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # of whole numbers, as in struct
SHORT, LONG, LONG8 = 3, 4, 16


class Layout(NamedTuple):
    """How a file writes numbers."""

    order: Literal["<", ">"]  # little or big end first
    big: bool  # BigTIFF

    @property
    def offset(self) -> str:
        """Return the code of a place in the file."""
        return "Q" if self.big else "I"

    @property
    def header(self) -> bytes:
        """Return what stands before the place of the first directory."""
        mark = b"II" if self.order == "<" else b"MM"
        return mark + (self.pack("HHH", 43, 8, 0) if self.big else self.pack("H", 42))

    def pack(self, codes: str, *numbers: int) -> bytes:
        """Return numbers as bytes."""
        return struct.pack(self.order + codes, *numbers)

    def unpack(self, codes: str, data: bytes) -> tuple[int, ...]:
        """Return bytes as numbers."""
        return struct.unpack(self.order + codes, data)

    def read(self, stream: IO[bytes], code: str) -> int:
        """Read the next number."""
        return self.unpack(code, _exactly(stream, struct.calcsize(self.order + code)))[0]


_LAYOUTS = (Layout("<", False), Layout(">", False), Layout("<", True), Layout(">", True))


class Entry(NamedTuple):
    """The value of a tag."""

    kind: int  # of its numbers, as TIFF counts the kinds
    n: int  # numbers
    data: "bytes | Directory"


Directory = dict[int, Entry]  # by tag


# Reading


def read_layout(stream: IO[bytes]) -> Layout:
    """Read the header."""
    head = stream.read(4)
    for layout in _LAYOUTS:
        if head == layout.header[:4]:
            _exactly(stream, len(layout.header) - 4)
            return layout
    raise ValueError(f"it begins with {head!r}")


def read_directories(
    stream: IO[bytes], layout: Layout, skipped: frozenset[int]
) -> Iterator[Directory]:
    """Read one directory after the other, and those within them, without the `skipped` tags."""
    at, seen = layout.read(stream, layout.offset), set[int]()
    if not at:
        raise ValueError("it holds no picture")
    while at and at not in seen:
        seen.add(at)
        directory, at = _read(stream, layout, at, skipped, _NESTED[0])
        yield directory


def numbers(layout: Layout, directory: Directory, tag: int, default: int | None) -> tuple[int, ...]:
    """Return the whole numbers of a tag; the default, where there is no such tag."""
    if tag not in directory and default is not None:
        return (default,)
    kind, n, data = directory.get(tag, Entry(0, 0, b""))
    if kind not in _CODES or not n or not isinstance(data, bytes):
        raise ValueError(f"its tag {tag} is no number")
    return layout.unpack(f"{n}{_CODES[kind]}", data)


def _read(
    stream: IO[bytes], layout: Layout, at: int, skipped: frozenset[int], nested: tuple[int, ...]
) -> tuple[Directory, int]:
    """Return a directory, and the place of the next one, or 0."""
    stream.seek(at)
    code = "Q" if layout.big else "H"
    n_tags, width = layout.read(stream, code), 20 if layout.big else 12
    lines = _exactly(stream, n_tags * width)
    following = layout.read(stream, layout.offset)
    directory: Directory = {}
    for start in range(0, len(lines), width):
        tag, kind = layout.unpack("HH", lines[start : start + 4])
        if kind in _SIZES and tag not in skipped:
            entry = _entry(stream, layout, kind, lines[start + 4 : start + width])
            directory[tag] = _unfolded(stream, layout, tag, entry) if tag in nested else entry
    return directory, following


def _entry(stream: IO[bytes], layout: Layout, kind: int, rest: bytes) -> Entry:
    """Return a value that stands in the rest of its line, or where that says."""
    half = len(rest) // 2
    n = layout.unpack(layout.offset, rest[:half])[0]
    size = n * _SIZES[kind]
    if size <= half:
        return Entry(kind, n, rest[half : half + size])
    stream.seek(layout.unpack(layout.offset, rest[half:])[0])
    return Entry(kind, n, _exactly(stream, size))


def _unfolded(stream: IO[bytes], layout: Layout, tag: int, entry: Entry) -> Entry:
    """Return the directory to which a value points, in its place."""
    at = numbers(layout, {tag: entry}, tag, None)[0]
    inner, _ = _read(stream, layout, at, frozenset(), _NESTED.get(tag, ()))
    return entry._replace(n=1, data=inner)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """Read as many bytes, and take no memory on the word of a file that has fewer."""
    at = stream.tell()
    if size > stream.seek(0, 2) - at:
        raise ValueError("a tag points past its end")
    stream.seek(at)
    return stream.read(size)


# Writing


def entry_of(layout: Layout, kind: int, values: tuple[int, ...]) -> Entry:
    """Return whole numbers as the value of a tag."""
    return Entry(kind, len(values), layout.pack(f"{len(values)}{_CODES[kind]}", *values))


def packed(layout: Layout, directory: Mapping[int, Entry], at: int) -> bytes:
    """Return a directory, and those within it, as the bytes that stand at a place."""
    code, half = ("Q", 8) if layout.big else ("H", 4)
    lines = layout.pack(code, len(directory))
    further = b""
    end = at + len(lines) + len(directory) * (4 + 2 * half) + half
    for tag, (kind, n, data) in sorted(directory.items()):
        place = end + len(further)
        if isinstance(data, dict):
            further += _even(packed(layout, data, place))
            data = layout.pack(_CODES[kind], place)
        elif len(data) > half:
            further += _even(data)
            data = layout.pack(layout.offset, place)
        lines += layout.pack("HH" + layout.offset, tag, kind, n) + data.ljust(half, b"\0")
    return lines + bytes(half) + further


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)
