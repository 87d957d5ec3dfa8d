"""Whatever users hold, as an array of real numbers, or one sentence that says why it is none.

Shapes: N rows, D features.
"""

import contextlib
import datetime
import numbers
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from isthmus.data.cells import as_number, shown
from isthmus.data.damage import reason
from isthmus.errors import DataError, DataTypeError, IsthmusError

Array = NDArray[np.generic]

_REAL = "biuf"  # kinds of dtypes
# How scikit-learn's own sentences begin, which say all that is needed in the words of its contract.
_PLAIN_ENOUGH = ("X has ", "Found array with ")
_OTHER_NAMES = "The feature names should match"


@contextlib.contextmanager
def refusing(X: Any, name: str) -> Iterator[None]:
    """Turn whatever the body raises about `X` into a DataError; typed errors pass."""
    try:
        yield
    except (IsthmusError, Warning):
        raise
    except Exception as error:
        said = _refusal(error, X, name)
        raise (DataTypeError if isinstance(error, TypeError) else DataError)(said) from None


def unwrapped(X: Any, name: str = "X") -> Any:
    """Return a tensor as an array, and a masked array with NaN below its mask; all else as it is.

    Raises
    ------
    DataError
        If it is sparse, one of NumPy's old matrices, or holds no rows yet.
    """
    if isinstance(X, np.matrix):
        raise DataTypeError(f"{name} is a np.matrix, an outdated type: give np.asarray({name}).")
    if type(X).__name__ == "LazyFrame":
        raise DataError(f"{name} is a LazyFrame, which holds no rows yet: give {name}.collect().")
    if isinstance(X, torch.Tensor):
        if X.layout is not torch.strided:
            raise DataError(f"{name} is sparse, and dense rows are needed: give {name}.to_dense().")
        with refusing(X, name):
            return (X.float() if X.dtype is torch.bfloat16 else X).numpy(force=True)
    if scipy.sparse.issparse(X):
        raise DataError(f"{name} is sparse, and dense rows are needed: give {name}.toarray().")
    if isinstance(X, np.ma.MaskedArray):
        return _unmasked(X)
    return X


def _unmasked(X: np.ma.MaskedArray[Any, Any]) -> Array:
    if not np.ma.is_masked(X):
        return X.data
    real = X.dtype.kind in _REAL
    values = X.data.astype(np.promote_types(X.dtype, np.float16) if real else object)
    values[np.ma.getmaskarray(X)] = np.nan if real else None
    return values


def real_numbers(validate: Callable[[], Array], X: Any, name: str) -> Array:
    """Return the array that scikit-learn makes of `X`, of real numbers of at most eight bytes.

    Raises
    ------
    DataError
        If it makes none.
    """
    _refuse_foreign(X, name)
    with refusing(X, name):
        array = validate()
        if array.dtype.kind == "O" or (array.dtype.kind == "f" and array.itemsize > 8):
            with np.errstate(over="ignore"):  # what is too large is infinite, and refused as that
                array = array.astype(np.float64)
        if array.dtype.kind not in _REAL:
            raise TypeError(f"it has values of type {array.dtype}")
        return array


def column_of(X: Any, column: int) -> str:
    """Return what a column is called: the name that a frame gives it, or its number."""
    columns = getattr(X, "columns", None)
    return repr(list(columns)[column]) if columns is not None else str(column)


def _refuse_foreign(X: Any, name: str) -> None:
    """Refuse text, dates and the like, even where they could be turned into numbers.

    Raises
    ------
    DataError
        If an array, or a column of a frame, is of such a type.
    """
    columns = getattr(X, "columns", None)
    if columns is None:
        words = isinstance(X, np.ndarray) and X.dtype.kind in "US" and X.ndim == 2 and X.size
        if words:
            raise DataTypeError(_foreign(name, 0, "0", X[0, 0].item()))
        return
    for number, dtype in enumerate(X.dtypes):
        if _may_be_numbers(dtype):
            continue
        column = X[:, number] if hasattr(X, "get_column") else X.iloc[:, number]
        anything = str(dtype).lower() == "object"  # of which only text is looked for here
        for row, value in enumerate(column):
            if isinstance(value, str) or not (anything or is_missing(value)):
                raise DataTypeError(_foreign(name, row, column_of(X, number), value))


def _may_be_numbers(dtype: Any) -> bool:
    """Whether a frame's column of the type holds numbers, or words for which others are asked."""
    if hasattr(dtype, "is_numeric"):  # of polars
        return bool(dtype.is_numeric()) or str(dtype) in ("Boolean", "Null")
    return getattr(dtype, "kind", "O") != "O" or not str(dtype).startswith(_TEXT)


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Number | np.generic) and bool(value != value)


def _foreign(name: str, row: int, column: str, value: Any) -> str:
    """Say where a value stands that is no number, and what to do."""
    text = isinstance(value, str | bytes)
    kind = _kind(value) or ("text" if text else type(value).__name__)
    advice = "divide it" if kind == _TOO_LARGE else as_number(value)
    if text and _kind(value) is None:
        advice = "turn it into numbers"
    place = f"row {row}, column {column} ({shown(value)})"
    return f"{name} has {kind} at {place}: drop that column, or {advice}."


_TEXT = ("object", "str", "string")  # how types of pandas' columns of text begin


# Why something is none -------------------------------------------------------------------


def _refusal(error: Exception, X: Any, name: str) -> str:
    """Say in one sentence why `X` cannot be used."""
    words = str(error)
    if X is None or isinstance(X, _NO_TABLES):
        read = ": read the file first, as with numpy.load or pandas.read_csv" * isinstance(
            X, _PATHS
        )
        return (
            f"{name} is {_shape(X)}, and an array or a frame of (rows, features) is needed{read}."
        )
    if words.startswith(_PLAIN_ENOUGH):
        return words
    if words.startswith(_OTHER_NAMES):
        if "now missing" in words:
            return f"{words}Give all columns of the fit, list(model.feature_names_in_)."
        return (
            f"{words}Give the columns of the fit in their order: "
            f"{name}[list(model.feature_names_in_)]."
        )
    for beginning, said in _SAID.items():
        if words.startswith(beginning):
            return f"{said.format(X=name, shape=_shape(X))}."
    if isinstance(error, MemoryError):
        return f"{name} does not fit in memory: give it in portions, to partial_fit."
    return _not_numbers(X, name) or (
        f"{name} cannot be taken as rows of numbers ({_why(error, X)}): give an array or a frame "
        f"of (rows, features)."
    )


_PATHS = (str, os.PathLike)
_NO_TABLES = (*_PATHS, bytes, Mapping, numbers.Number)

# What is meant by the beginnings of other people's sentences; X is the name of the argument.
_SAID = {
    **dict.fromkeys(
        ("Expected 2D", "Expected a 2-dim"),
        "{X} is {shape}, and a table is needed: Reshape your data to (rows, features), with "
        "reshape(-1, 1) if it is one feature and reshape(1, -1) if it is one row",
    ),
    "Complex data": "Complex data not supported: {X} has complex numbers, so give their real and "
    "imaginary parts as two features",
    "Feature names are only supported": "{X} has columns whose names are not all text: write "
    "{X}.columns = {X}.columns.astype(str)",
    "Expected unique column names": "{X} has several columns of one name: rename them, or give "
    "{X}.to_numpy()",
    "setting an array element with a sequence": "{X} has rows of different lengths, or a list "
    "where a number belongs: give every row the same number of numbers",
}


def _shape(X: Any) -> str:
    if X is None:
        return "None"
    if hasattr(X, "shape"):
        return f"of shape {tuple(X.shape)}"
    kind = type(X).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _why(error: Exception, X: Any) -> str:
    dtype = getattr(X, "dtype", None)
    foreign = dtype is not None and getattr(dtype, "kind", "O") != "O"
    return f"its values are of type {dtype}" if foreign else reason(error)


def _not_numbers(X: Any, name: str) -> str | None:
    """Say which value is no number, if one is."""
    with contextlib.suppress(Exception):  # foreign objects may refuse even to be looked at
        table = np.asarray(X.to_numpy() if hasattr(X, "columns") else X, dtype=object)
        for row, values in enumerate(table if table.ndim == 2 else ()):
            for column, value in enumerate(values):
                if _kind(value) is not None:
                    return _foreign(name, row, column_of(X, column), value)
    return None


_TOO_LARGE = "a number too large for float64"


def _kind(value: Any) -> str | None:
    """Call a value "text", "a date" or else, where it is no number."""
    if isinstance(value, np.timedelta64 | datetime.timedelta):
        return "a duration"
    if hasattr(value, "year") or isinstance(value, np.datetime64):
        return "a date"
    if isinstance(value, str | bytes):
        try:
            float(value)
        except ValueError:
            return "text"
    if isinstance(value, int):
        try:
            float(value)
        except OverflowError:
            return _TOO_LARGE
    return None
