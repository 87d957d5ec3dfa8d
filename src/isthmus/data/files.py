"""Reading rows from files and folders, by their ending; whatever a file holds, errors are typed.

n rows, d columns, h x w pixels, c = 3 colours. Nothing read here is ever unpickled or executed.
"""

import contextlib
import gzip
import math
import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from isthmus.data.damage import damage_as_file_error
from isthmus.data.pictures import read_pictures
from isthmus.data.tables import ALL, Columns, read_table
from isthmus.errors import DataError, FileError, a_few, guess

Array = npt.NDArray[Any]
NUMBERS, WORDS = "biuf", "biufU"  # kinds of NumPy's types


class Table(NamedTuple):
    """What a file or folder holds."""

    values: Array  # (n, d), pictures (n, h, w) or (n, h, w, 3), idx and npy of any shape
    kind: Literal["array", "table", "pictures"]
    columns: tuple[str, ...] | None = None  # d names, of csv and parquet
    rows: tuple[str, ...] | None = None  # n file names, of pictures
    deep: bool = False  # whether pictures have 16 bits


def read(path: str | os.PathLike[str], columns: Columns = ALL) -> Table:
    """Read a file or a folder of pictures.

    Parameters
    ----------
    path : str or path-like
        ``.npy`` (memory-mapped, read-only) and ``.npz`` (the array ``X``, or the only one) keep
        their dtype. ``.csv``, ``.tsv`` and ``.parquet`` become (n, d) float64, or float32 where
        every column is; missing values become NaN and booleans 0 and 1; a csv whose first line is
        all numbers has no header, and its cells may be parted by semicolons, then with decimal
        commas, or tabs, in UTF-8, UTF-16 or Latin-1. MNIST's idx files, gzipped too, keep their
        dtype in native byte order. A folder of pictures becomes float32 in [0, 1], sorted by name,
        RGB if any of them has colour and without transparency.
    columns : Columns, optional
        Which columns of a table are meant; all by default.

    Returns
    -------
    Table
        The values, their kind, and the names of columns or rows where there are any.

    Raises
    ------
    FileError
        If the path does not exist, has an unknown ending, or cannot be read as what it claims.
    DataError
        If what was read is not numbers, has no rows, or is pictures of more than one size.
    MissingDependencyError
        If polars (tables) or Pillow (pictures) is needed and not installed.
    """
    path = Path(path)
    check_readable(path)
    with damage_as_file_error(path):
        table = _read(path, columns)
    if table.columns is None and columns.owner is None and columns != ALL:
        raise DataError(f"{path} has no names of columns: leave --columns and --drop out.")
    if table.values.ndim == 0 or table.values.size == 0:
        shape = table.values.shape
        raise DataError(f"{path} holds no rows (its shape is {shape}): give one row or more.")
    return table


def read_words(path: Path) -> Array:
    """Read numbers or words, of a ``.npy``, or as `read` does.

    Raises
    ------
    FileError
        If it does not exist, or is not what its ending says.
    DataError
        If it holds Python objects, or something else.
    """
    if _ending(path) != ".npy":
        return read(path).values
    check_readable(path)
    with damage_as_file_error(path):
        return _read_npy(path, WORDS).values


def check_readable(path: Path) -> None:
    """Refuse, as `read` does, what its name and its first bytes alone tell.

    Raises
    ------
    FileError
        If the path does not exist, has an unknown ending, or begins as another form of file.
    """
    if not os.path.exists(path):  # Path.exists raises on names that are too long
        raise FileError(f"{path} does not exist{_near_name(path)}: check the path.")
    with damage_as_file_error(path):
        if not path.is_dir():
            _check_form(path)


def _read(path: Path, columns: Columns) -> Table:
    if path.is_dir():
        values, names, deep = read_pictures(path)
        return Table(values, "pictures", rows=names, deep=deep)
    form = _FORMS[_ending(path)]
    if form.read is not None:
        return form.read(path)
    values, named = read_table(path, columns)
    return Table(values, "table", named)


def _near_name(path: Path) -> str:
    """Guess which of the file's neighbours was meant."""
    with contextlib.suppress(OSError, ValueError):
        return guess(path.name, os.listdir(path.parent))
    return ""


# Forms: what a file's ending says, and what its first bytes must say then


class _Form(NamedTuple):
    name: str
    magic: bytes = b""
    read: Callable[[Path], Table] | None = None  # None: it is a table

    @property
    def is_text(self) -> bool:
        """Whether it is a table of text, which no first bytes tell."""
        return not self.magic


def _check_form(path: Path) -> None:
    """Refuse an ending that no form has, and first bytes that are not the form's."""
    form = _FORMS.get(_ending(path))
    if form is None:
        raise FileError(
            f"{path} has an ending that cannot be read{guess(path.suffix, _FORMS)}: "
            f"use {', '.join(_FORMS)}, names such as t10k-images-idx3-ubyte.gz, or a folder of "
            "pictures."
        )
    with path.open("rb") as stream:
        start = stream.read(6)
    if not start:
        raise FileError(f"{path} is empty (0 bytes): copy or write it again.")
    if not start.startswith(form.magic):
        advice = "give it the ending of what it is, or write it again"
        raise FileError(f"{path} is not {form.name} (it begins with {start!r}): {advice}.")
    if form.is_text and start.startswith(_COMPRESSED):  # polars would unpack it, however large
        raise FileError(f"{path} is compressed (it begins with {start!r}): unpack it first.")


_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x\x9c", b"x\xda")  # gzip, zstd, zlib


def _ending(path: Path) -> str:
    """Return the ending in lower case, ``.idx`` for all of MNIST's spellings of it."""
    name = path.name.lower()
    idx = re.search(r"[-.]idx(\d+(-[a-z]+)?)?(?P<gz>\.gz)?$", name)
    return ".idx" + (idx["gz"] or "") if idx else Path(name).suffix


# Arrays: npy, npz, idx. What is wrong is a ValueError here, to which `read` adds the path.


def _read_npy(path: Path, kinds: str = NUMBERS) -> Table:
    with path.open("rb") as stream:
        _check_npy_header(path, stream, path.stat().st_size, kinds)
    return Table(np.load(path, mmap_mode="r", allow_pickle=False), "array")


def _read_npz(path: Path) -> Table:
    with zipfile.ZipFile(path) as archive:
        member = _npz_member(path, archive)
        with archive.open(member) as stream:
            _check_npy_header(path, stream, member.file_size)
            stream.seek(0)
            return Table(np.lib.format.read_array(stream, allow_pickle=False), "array")


def _npz_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the array named X, or else the only one."""
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    if "X" not in names and len(names) != 1:
        held = f"{len(names)} arrays ({a_few([*map(repr, names)])})" if names else "no array"
        raise DataError(f"{path} holds {held}: save the one to read under the name 'X'.")
    return archive.getinfo(("X" if "X" in names else names[0]) + ".npy")


def _check_npy_header(path: Path, stream: IO[bytes], size: int, kinds: str = NUMBERS) -> None:
    """Refuse other kinds of values, and a header at odds with the `size` bytes of the file."""
    version = np.lib.format.read_magic(stream)
    v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = (v1 if version == (1, 0) else v2)(stream)
    words = "words, with array.astype(str)" if kinds == WORDS else ""
    if dtype.hasobject:
        form = words or "numbers, with array.astype(float)"
        held = "Python objects, which are never unpickled"
        raise DataError(f"{path} holds {held}: save it as {form}.")
    if dtype.kind not in kinds:
        form = words or "real numbers"
        raise DataError(f"{path} holds values of type {dtype}: save it as {form}.")
    _same_size(math.prod(shape) * dtype.itemsize, size - stream.tell())


def _same_size(promised: int, found: int) -> None:
    """Refuse a header that lies, before any memory is taken on its word."""
    if promised != found:
        follow = f"{found} follow" if found < promised else "further ones follow"
        raise ValueError(f"its header promises {promised} bytes more and {follow}")


_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _read_idx(path: Path) -> Table:
    """Read MNIST's format (yann.lecun.com/exdb/mnist): 0, 0, dtype, ndim, shape, values."""
    zipped = path.name.lower().endswith(".gz")
    with cast(IO[bytes], gzip.open(path) if zipped else path.open("rb")) as stream:
        dtype, shape = _idx_header(stream)
        start, promised = stream.tell(), math.prod(shape) * dtype.itemsize
        # Unpacking twice costs 0.2 s on MNIST and finds out the size without holding anything; no
        # more is unpacked than was promised, and the byte that tells that there is more.
        beyond = min(start + promised + 1, sys.maxsize)
        end = stream.seek(beyond) if zipped else stream.seek(0, os.SEEK_END)
        _same_size(promised, end - start)
        stream.seek(start)
        values = np.frombuffer(stream.read(promised), dtype).reshape(shape)
    return Table(values.astype(dtype.newbyteorder("=")), "array")


def _idx_header(stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
        raise ValueError(f"its content begins with {magic!r}")
    sizes = stream.read(4 * magic[3])
    _same_size(4 * magic[3], len(sizes))
    return np.dtype(_IDX_DTYPES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist())


_FORMS = {
    ".npy": _Form("a NumPy array", b"\x93NUMPY", _read_npy),
    ".npz": _Form("a NumPy archive", b"PK", _read_npz),
    ".csv": _Form("a csv table"),
    ".tsv": _Form("a tsv table"),
    ".parquet": _Form("a parquet file", b"PAR1"),
    ".idx": _Form("an idx file", b"\0\0", _read_idx),
    ".idx.gz": _Form("a gzipped idx file", b"\x1f\x8b", _read_idx),
}
