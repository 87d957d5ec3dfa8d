"""Cells of tables as numbers, and what to do about one that is none.

n rows.
"""

import datetime
import re
import reprlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "na", "n/a", "nan", "null", "none")


class Strange(NamedTuple):
    """The first cell of a column that is no number."""

    column: str
    row: int  # from 0
    value: Any
    kind: str  # "text", or how polars calls it
    n_cells: int = 0  # that are none; 0: all, by their type
    n_filled: int = 0  # that are not missing

    def __str__(self) -> str:
        return f"{self.kind}, for example {self.example}"

    @property
    def example(self) -> str:
        """The cell and where it stands."""
        return f"{shown(self.value)} in row {self.row} (from 0)"

    @property
    def is_slip(self) -> bool:
        """Whether nearly all other cells are numbers, and it is a word among them."""
        return 0 < 10 * self.n_cells <= self.n_filled and as_number(self.value) == as_number("a")


def numbers_of(column: "pl.Series", *, comma: bool) -> "pl.Series | Strange":
    """Return a column (n,) as floats, where every cell is a number or missing."""
    import polars as pl

    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null) or column.is_empty():
        return column.cast(pl.Float32 if column.dtype == pl.Float32 else pl.Float64)
    if column.dtype != pl.String:
        return _strange(column, column.is_not_null().arg_max() or 0)
    words = column.str.strip_chars()
    figures = words.str.replace(",", ".", literal=True) if comma else words
    numbers = figures.cast(pl.Float64, strict=False)
    absent = words.fill_null("").str.to_lowercase().is_in(MISSING)
    strange = numbers.is_null() & ~absent
    if comma and words.str.contains(",", literal=True).any():
        strange |= words.str.contains(".", literal=True)  # that parts thousands, if commas do not
    wrong = strange.arg_true()
    if not wrong.len():
        return numbers
    n_filled = len(column) - int(absent.sum())
    return _strange(column, wrong[0])._replace(n_cells=len(wrong), n_filled=n_filled)


def _strange(column: "pl.Series", row: int) -> Strange:
    import polars as pl

    is_text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    return Strange(column.name, row, column[row], "text" if is_text else str(column.dtype))


_SHORT = reprlib.Repr()
_SHORT.maxother = 60  # a date is whole


def shown(value: Any) -> str:
    """Return a value as a sentence shows it: text in quotes, and not much of it."""
    return _SHORT.repr(value)


def as_number(value: Any, it: str = "it") -> str:
    """Say how a value that is none becomes a number."""
    text = str(value)
    if hasattr(value, "year") or isinstance(value, _TIMES) or _DATE.search(text):
        return f"turn {it} into a number, such as days since a date"
    if _THOUSANDS.fullmatch(text.strip()):
        plain = text.strip().replace(",", "")
        return f"write {it} without marks between the thousands, as {plain}"
    if re.search(r"\d", text) and not re.search(r"[^\W\d_]", text):
        return f"write {it} as plain numbers, such as 0.1 for 10%"
    return f"encode {it} as numbers (sklearn.preprocessing.OneHotEncoder)"


_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_TIMES = (np.datetime64, np.timedelta64, datetime.timedelta)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}([./])\d{1,2}\1\d{2,4}|\d{1,2}:\d{2}")
