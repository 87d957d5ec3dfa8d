"""Reading rows from files and folders, by their ending; whatever a file holds, errors are typed.

n rows, d columns, h x w pixels, c = 3 colours. Nothing read here is ever unpickled or executed.
"""

import contextlib
import csv
import gzip
import math
import os
import re
import reprlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from isthmus.data.damage import damage_as_file_error, reason
from isthmus.data.pictures import read_pictures
from isthmus.errors import DataError, FileError, guess, missing

if TYPE_CHECKING:
    import polars as pl

Array = npt.NDArray[Any]


class Table(NamedTuple):
    """What a file or folder holds."""

    values: Array  # (n, d), pictures (n, h, w) or (n, h, w, 3), idx and npy of any shape
    kind: Literal["array", "table", "pictures"]
    columns: tuple[str, ...] | None = None  # d names, of csv and parquet
    rows: tuple[str, ...] | None = None  # n file names, of pictures


def read(path: str | os.PathLike[str]) -> Table:
    """Read a file or a folder of pictures.

    Parameters
    ----------
    path : str or path-like
        ``.npy`` (memory-mapped, read-only) and ``.npz`` (the array ``X``, or the only one) keep
        their dtype. ``.csv`` and ``.parquet`` become (n, d) float64, or float32 where every column
        is; missing values become NaN and booleans 0 and 1; a csv whose first line is all numbers
        has no header. MNIST's idx files, gzipped too, keep their dtype in native byte order. A
        folder of pictures becomes float32 in [0, 1], sorted by name, RGB if any of them has colour
        and without transparency.

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
        table = _read_folder(path) if path.is_dir() else _FORMS[_ending(path)].read(path)
    if table.values.ndim == 0 or table.values.size == 0:
        shape = table.values.shape
        raise DataError(f"{path} holds no rows (its shape is {shape}): give one row or more.")
    return table


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


def _read_folder(path: Path) -> Table:
    values, names = read_pictures(path)
    return Table(values, "pictures", rows=names)


def _near_name(path: Path) -> str:
    """Guess which of the file's neighbours was meant."""
    with contextlib.suppress(OSError, ValueError):
        return guess(path.name, os.listdir(path.parent))
    return ""


# Forms: what a file's ending says, and what its first bytes must say then


class _Form(NamedTuple):
    name: str
    read: Callable[[Path], Table]
    magic: bytes = b""


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


def _ending(path: Path) -> str:
    """Return the ending in lower case, ``.idx`` for all of MNIST's spellings of it."""
    name = path.name.lower()
    idx = re.search(r"[-.]idx(\d+(-[a-z]+)?)?(?P<gz>\.gz)?$", name)
    return ".idx" + (idx["gz"] or "") if idx else Path(name).suffix


# Arrays: npy, npz, idx. What is wrong is a ValueError here, to which `read` adds the path.


def _read_npy(path: Path) -> Table:
    with path.open("rb") as stream:
        _check_npy_header(path, stream, path.stat().st_size)
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
        held = f"the arrays {', '.join(map(repr, names))}" if names else "no array"
        raise DataError(f"{path} holds {held}: save the one to read under the name 'X'.")
    return archive.getinfo(("X" if "X" in names else names[0]) + ".npy")


def _check_npy_header(path: Path, stream: IO[bytes], size: int) -> None:
    """Refuse what is not numbers, and a header at odds with the `size` bytes of the file."""
    version = np.lib.format.read_magic(stream)
    v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = (v1 if version == (1, 0) else v2)(stream)
    if dtype.hasobject:
        advice = "save it as numbers, with array.astype(float)"
        raise DataError(f"{path} holds Python objects, which are never unpickled: {advice}.")
    if dtype.kind not in "biuf":
        raise DataError(f"{path} holds values of type {dtype}: save it as real numbers.")
    _same_size(math.prod(shape) * dtype.itemsize, size - stream.tell())


def _same_size(promised: int, found: int) -> None:
    """Refuse a header that lies, before any memory is taken on its word."""
    if promised != found:
        raise ValueError(f"its header promises {promised} bytes more and {found} follow")


_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def _read_idx(path: Path) -> Table:
    """Read MNIST's format (yann.lecun.com/exdb/mnist): 0, 0, dtype, ndim, shape, values."""
    zipped = path.name.lower().endswith(".gz")
    with cast(IO[bytes], gzip.open(path) if zipped else path.open("rb")) as stream:
        dtype, shape = _idx_header(stream)
        start, promised = stream.tell(), math.prod(shape) * dtype.itemsize
        # Unpacking twice costs 0.2 s on MNIST and finds out the size without holding anything.
        _same_size(promised, stream.seek(0, os.SEEK_END) - start)
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


# Tables: csv, parquet

_MISSING = ("", "na", "n/a", "nan", "null", "none")


def _read_table(path: Path) -> Table:
    try:
        import polars as pl
    except ImportError:
        raise missing("polars", f"Reading {path.name}", "tables") from None
    try:
        is_csv = _ending(path) == ".csv"
        frame, named = _csv(path) if is_csv else (pl.read_parquet(path, glob=False), True)
        numbers = pl.DataFrame([_numbers(path, column) for column in frame])
    except pl.exceptions.PanicException as panic:  # is no Exception, so nobody would catch it
        raise ValueError(reason(panic)) from panic
    columns = tuple(name.strip() for name in frame.columns) if named else None
    _check_different(path, columns or ())
    return Table(numbers.to_numpy(), "table", columns)


def _check_different(path: Path, columns: tuple[str, ...]) -> None:
    """Refuse columns that are the same but for the spaces round their names."""
    for i, name in enumerate(columns):
        if (first := columns.index(name)) < i:
            raise DataError(
                f"Columns {first + 1} and {i + 1} of {path} are both called {name!r}: rename one."
            )


def _csv(path: Path) -> tuple["pl.DataFrame", bool]:
    """Return the cells, and whether the first line names the columns.

    The dtypes come from all rows, not the first 100, so that no late value breaks the parsing.
    """
    import polars as pl

    width, named = _first_line(path)
    try:
        return pl.read_csv(path, has_header=named, infer_schema_length=None, glob=False), named
    except pl.exceptions.ComputeError:
        _refuse_longer_line(path, width)
        raise


def _refuse_longer_line(path: Path, width: int) -> None:
    """Find the line at which polars gave up without saying so."""
    with path.open(encoding="utf-8", newline="") as stream:
        for row in (lines := csv.reader(stream)):
            if len(row) > width:
                held = f"{len(row)} cells and its first line {width}"
                advice = "quote cells that hold commas, or correct the line"
                raise DataError(f"Line {lines.line_num} of {path} has {held}: {advice}.")


def _first_line(path: Path) -> tuple[int, bool]:
    """Return how many cells it has, and whether it names the columns.

    A line of numbers is values, unless it counts 0, 1, 2 ..., as pandas names columns.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        cells = next(filter(None, csv.reader(stream)), [])
    try:
        list(map(float, cells))
    except ValueError:
        return len(cells), True
    return len(cells), len(cells) > 1 and cells == [str(i) for i in range(len(cells))]


def _numbers(path: Path, column: "pl.Series") -> "pl.Series":
    """Return a column as floats, where every cell is a number or missing."""
    import polars as pl

    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float32 if column.dtype == pl.Float32 else pl.Float64)
    if column.dtype != pl.String:
        raise _not_numbers(path, column, column.is_not_null().arg_max() or 0)
    words = column.str.strip_chars()
    numbers = words.cast(pl.Float64, strict=False)
    absent = words.fill_null("").str.to_lowercase().is_in(_MISSING)
    if (strange := (numbers.is_null() & ~absent).arg_true()).len():
        raise _not_numbers(path, column, strange[0])
    return numbers


def _not_numbers(path: Path, column: "pl.Series", row: int) -> DataError:
    import polars as pl

    is_text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    held = f"{'text' if is_text else column.dtype}, for example {reprlib.repr(column[row])}"
    advice = "drop it or encode it as numbers first (sklearn.preprocessing.OneHotEncoder)"
    return DataError(f"Column {column.name!r} of {path} holds {held} in row {row + 1}: {advice}.")


_FORMS = {
    ".npy": _Form("a NumPy array", _read_npy, b"\x93NUMPY"),
    ".npz": _Form("a NumPy archive", _read_npz, b"PK"),
    ".csv": _Form("a csv table", _read_table),
    ".parquet": _Form("a parquet file", _read_table, b"PAR1"),
    ".idx": _Form("an idx file", _read_idx, b"\0\0"),
    ".idx.gz": _Form("a gzipped idx file", _read_idx, b"\x1f\x8b"),
}
