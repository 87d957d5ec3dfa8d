"""Rows of a file or folder as the estimators take them, and whether they are those of a model.

n rows, d features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.data.files import read, read_words
from isthmus.data.tables import ALL, Columns, read_column
from isthmus.errors import DataError, FileError
from isthmus.estimators import samples
from isthmus.estimators.inputs import Reading, check_values

TABLES = (".csv", ".tsv", ".parquet")


class Rows(NamedTuple):
    """What a file or folder holds, flattened."""

    path: Path
    values: npt.NDArray[Any]  # (n, d)
    shape: tuple[int, ...]  # of one row as it was: (d,), or (h, w[, c]) of pictures
    columns: tuple[str, ...] | None  # d names, of csv and parquet
    names: tuple[str, ...] | None  # n file names, of a folder of pictures
    deep: bool = False  # whether the pictures have 16 bits

    def named(self) -> Any:
        """Return a frame where the columns have names, for the estimator to remember them."""
        if self.columns is None:
            return self.values
        import polars as pl

        return pl.DataFrame(self.values, schema=list(self.columns), orient="row")

    def meant(self) -> Columns:
        """Return what further rows have to be: of the same columns, as wide."""
        return Columns(self.columns, owner=str(self.path), width=self.values.shape[1])

    def labels(self) -> dict[str, Sequence[Any]]:
        """Return what tells the rows apart: their numbers from 0, and the names of pictures."""
        numbers: dict[str, Sequence[Any]] = {"row": range(len(self.values))}
        return numbers if self.names is None else {**numbers, "picture": self.names}

    def shaped(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows (n, d) in the shape that the file had, without the steps added to it."""
        return values.reshape(len(values), -1, *self.shape[1:])[:, : self.shape[0]]


def read_rows(path: Path, columns: Columns = ALL, reader: Any = None) -> Rows:
    """Read the rows of a file or folder; pictures of bytes become light from 0 to 1.

    Of a table, the columns that are meant; of all, as wide as their owner's. Sequences may end
    early, in NaN, where the estimator that is to read them takes such.

    Raises
    ------
    FileError
        If it cannot be read.
    DataError
        If it holds something else than rows of finite numbers, or rows of another width.
    ParameterError
        If they are no sequences of the shape that the reader declares.
    """
    table = read(path, columns)
    values, n = table.values, len(table.values)
    if values.ndim == 1:
        raise DataError(
            f"{path} holds a list of {n} numbers, and rows are needed: "
            "reshape it to (rows, features)."
        )
    if values.ndim > 2 and values.dtype == np.uint8:
        values = np.divide(values, 255, dtype=np.float32)
    shape, pads = values.shape[1:], Reading.of(reader).pads
    declared = getattr(reader, "sample_shape_", None) or getattr(reader, "sample_shape", None)
    if pads and declared is not None and len(shape) == len(declared) == 2:
        values = samples.padded(values, str(path), declared[0])
    flat = values.reshape(n, -1)
    columns.check_width(path, flat.shape[1])
    sequence = samples.check_shape(declared, shape, flat.shape[1]) if pads else ()
    check_values(flat, table, str(path), sequence)
    return Rows(path, flat, shape, table.columns, table.rows, table.deep)


def is_column(labels: str, data: Path) -> bool:
    """Whether labels are a column of the table `data`, not a file of their own."""
    is_table = data.suffix.lower() in TABLES and not data.is_dir()
    return is_table and not Path(labels).is_file()


def read_labels(given: str, data: Path) -> Any:
    """Read labels: a column of the table `data`, or else a file that holds them.

    Raises
    ------
    FileError
        If there is neither.
    DataError
        If the file holds something else than one label for each row.
    """
    path = Path(given)
    if is_column(given, data):
        return read_column(data, given)
    if not path.is_file():
        raise FileError(
            f"--labels {given} is no file, and {data} has no columns: give a file of labels, such "
            f"as a .csv of one column."
        )
    if path.suffix.lower() in TABLES:
        return read_column(path, None)
    values = read_words(path)
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise DataError(f"{path} has shape {values.shape}: labels are a list, (n,).")
    return np.asarray(values).ravel()
