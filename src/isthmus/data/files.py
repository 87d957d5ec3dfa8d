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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, FileError, IsthmusError, did_you_mean, missing

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

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
    if not os.path.exists(path):  # Path.exists raises on names that are too long
        raise FileError(f"{path} does not exist: check the path{_near_name(path)}")
    with _damage_as_file_error(path):
        table = _read_pictures(path) if path.is_dir() else _form(path).read(path)
    if table.values.ndim == 0 or table.values.size == 0:
        shape = table.values.shape
        raise DataError(f"{path} holds no rows (its shape is {shape}): give one row or more")
    return table


@contextlib.contextmanager
def _damage_as_file_error(path: Path) -> Iterator[None]:
    """Turn whatever a parser raises on foreign bytes, which is anything, into a FileError."""
    try:
        yield
    except IsthmusError:
        raise
    except Exception as error:
        raise FileError(f"{path} cannot be read ({_reason(error)}): {_advice(error)}") from error


def _reason(error: BaseException) -> str:
    """Return the first sentence of another library's error, or what fits on a line of it."""
    words = getattr(error, "strerror", None) or str(error).strip()
    return re.split(r"\n|\. ", words)[0][:120].rstrip(".:") or type(error).__name__


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit in memory, so split it into smaller parts"
    if isinstance(error, PermissionError):
        return "change its permissions"
    return "it may be cut off or altered, so copy or write it again"


def _near_name(path: Path) -> str:
    """Guess which of the file's neighbours was meant."""
    with contextlib.suppress(OSError, ValueError):
        return did_you_mean(path.name, os.listdir(path.parent))
    return ""


# Forms: what a file's ending says, and what its first bytes must say then


class _Form(NamedTuple):
    name: str
    read: Callable[[Path], Table]
    magic: bytes = b""


def _form(path: Path) -> _Form:
    """Return the form of a file by its ending, once its first bytes agree."""
    form = _FORMS.get(_ending(path))
    if form is None:
        raise FileError(
            f"{path} has an ending that cannot be read: use {', '.join(_FORMS)}, names such as "
            "t10k-images-idx3-ubyte.gz, or a folder of pictures" + did_you_mean(path.suffix, _FORMS)
        )
    with path.open("rb") as stream:
        start = stream.read(6)
    if not start:
        raise FileError(f"{path} is empty (0 bytes): copy or write it again")
    if not start.startswith(form.magic):
        advice = "give it the ending of what it is, or write it again"
        raise FileError(f"{path} is not {form.name} (it begins with {start!r}): {advice}")
    return form


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
        raise DataError(f"{path} holds {held}: save the one to read under the name 'X'")
    return archive.getinfo(("X" if "X" in names else names[0]) + ".npy")


def _check_npy_header(path: Path, stream: IO[bytes], size: int) -> None:
    """Refuse what is not numbers, and a header at odds with the `size` bytes of the file."""
    version = np.lib.format.read_magic(stream)
    v1, v2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, _, dtype = (v1 if version == (1, 0) else v2)(stream)
    if dtype.hasobject:
        advice = "save it as numbers, with array.astype(float)"
        raise DataError(f"{path} holds Python objects, which are never unpickled: {advice}")
    if dtype.kind not in "biuf":
        raise DataError(f"{path} holds values of type {dtype}: save it as real numbers")
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
        raise missing("polars", f"reading {path.name}", "tables") from None
    try:
        is_csv = _ending(path) == ".csv"
        frame, named = _csv(path) if is_csv else (pl.read_parquet(path, glob=False), True)
        numbers = pl.DataFrame([_numbers(path, column) for column in frame])
    except pl.exceptions.PanicException as panic:  # is no Exception, so nobody would catch it
        raise ValueError(_reason(panic)) from panic
    columns = tuple(name.strip() for name in frame.columns) if named else None
    return Table(numbers.to_numpy(), "table", columns)


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
                raise DataError(f"line {lines.line_num} of {path} has {held}: {advice}")


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
    return DataError(f"column {column.name!r} of {path} holds {held} in row {row + 1}: {advice}")


# Pictures

_GREY = ("1", "L", "LA")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey of 16 bits, as Pillow's versions call it
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # Pillow would hand others to Ghostscript


def _read_pictures(folder: Path) -> Table:
    visible = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = sorted(file for file in visible if file.suffix.lower() in PICTURE_ENDINGS)
    if not files:
        raise FileError(
            f"{folder} holds no picture: give a folder that itself, not one within it, "
            f"holds files that end in {', '.join(PICTURE_ENDINGS)}"
        )
    values = np.empty(_shape_of_all(folder, files), np.float32)
    for value, file in zip(values, files, strict=True):
        with _opened(file) as picture:
            pixels = _pixels(file, picture)
        value[...] = pixels if pixels.ndim == value.ndim else pixels[..., None]
    return Table(values, "pictures", rows=tuple(file.name for file in files))


@contextlib.contextmanager
def _opened(file: Path) -> Iterator["Image.Image"]:
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", f"reading {file.name}", "pictures") from None
    with _damage_as_file_error(file), Image.open(file, formats=_FORMATS) as picture:
        yield picture


def _shape_of_all(folder: Path, files: list[Path]) -> tuple[int, ...]:
    """Read the headers alone: (n, h, w), or (n, h, w, 3) if any picture has colour."""
    sizes: dict[tuple[int, int], str] = {}
    modes = set()
    for file in files:
        with _opened(file) as picture:
            sizes.setdefault(picture.size, file.name)
            modes.add(picture.mode)
        if len(sizes) == 2:
            differ = " and ".join(f"{name!r} is {w} x {h}" for (w, h), name in sizes.items())
            advice = "resize them, or take one of them out"
            raise DataError(f"{folder} holds pictures of two sizes, {differ} pixels: {advice}")
    (width, height), colours = next(iter(sizes)), () if modes <= {*_GREY, *_DEEP} else (3,)
    return (len(files), height, width, *colours)


def _pixels(file: Path, picture: "Image.Image") -> Array:
    """Return one picture as fractions of full light, (h, w) or (h, w, 3) float32."""
    if picture.mode == "F" or (picture.mode == "I" and picture.format == "TIFF"):
        advice = "save it with 8 or 16 bits"
        raise DataError(f"{file} has pixels of 32 bits, whose white is unknown: {advice}")
    if picture.mode == "P":  # by way of RGBA, or Pillow warns of transparent palettes
        picture = picture.convert("RGBA")
    white = 65535 if picture.mode in _DEEP else 255
    if picture.mode not in _DEEP:
        picture = picture.convert("L" if picture.mode in _GREY else "RGB")
    light: Array = np.divide(np.asarray(picture), white, dtype=np.float32)
    return light


_FORMS = {
    ".npy": _Form("a NumPy array", _read_npy, b"\x93NUMPY"),
    ".npz": _Form("a NumPy archive", _read_npz, b"PK"),
    ".csv": _Form("a csv table", _read_table),
    ".parquet": _Form("a parquet file", _read_table, b"PAR1"),
    ".idx": _Form("an idx file", _read_idx, b"\0\0"),
    ".idx.gz": _Form("a gzipped idx file", _read_idx, b"\x1f\x8b"),
}
