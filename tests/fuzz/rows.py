"""What users hand over as rows, beside the plain array that it stands for.

n rows, d features. A wrapping takes plain float64 rows to what is handed over and to the plain
C-contiguous array of what that really holds; `REFUSED` where it holds no rows of real numbers.
"""

import array
import datetime
import decimal
import fractions
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

REFUSED = None
Rows = np.ndarray


class Given(NamedTuple):
    """Something that is handed over, and what it stands for."""

    name: str
    value: Any
    plain: Rows | None


def casts(dtype: Any) -> Callable[[Rows], tuple[Any, Rows]]:
    def cast(rows: Rows) -> tuple[Any, Rows]:
        with np.errstate(all="ignore"):
            value = wrapped(rows, dtype).astype(dtype)
            return value, value.astype(np.float64)

    return cast


def wrapped(rows: Rows, dtype: Any) -> Rows:
    """Bring rows into the range of whole numbers, which have no NaN."""
    kind = np.dtype(dtype)
    if kind.kind not in "iu":
        return rows
    room = min(np.iinfo(kind).max, 2**53)
    whole = np.nan_to_num(np.trunc(rows), nan=0.0, posinf=0.0, neginf=0.0)
    return np.abs(np.fmod(whole, room))


def _in_folder(rows: Rows) -> Rows:
    with tempfile.TemporaryFile() as file:
        np.save(file, rows)
        file.seek(0)
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, np.float64, "r", file.tell(), rows.shape) if rows.size else rows


def _unaligned(rows: Rows) -> Rows:
    buffer = np.zeros(rows.nbytes + 1, np.uint8)[1:]
    value = buffer.view(np.float64).reshape(rows.shape)
    value[...] = rows
    return value


def _read_only(rows: Rows) -> Rows:
    value = rows.copy()
    value.flags.writeable = False
    return value


def _every_other(rows: Rows) -> Rows:
    return np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3]


def _repeated(rows: Rows) -> tuple[Any, Rows]:
    value = np.broadcast_to(rows[:1], rows.shape)
    return value, value.copy()


class Subclass(np.ndarray):
    """An array of somebody else's class."""


class Interface:
    """What is an array to NumPy only."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __array__(self, dtype: Any = None, copy: Any = None) -> Rows:
        return np.array(self.rows, dtype=dtype)


def _masked(rows: Rows) -> tuple[Any, Rows]:
    """Hide the first value; what lies below the mask is no value."""
    value = np.ma.masked_array(rows.copy(), np.zeros(rows.shape, bool))
    plain = rows.copy()
    if rows.size:
        value[0, 0], plain[0, 0] = np.ma.masked, np.nan
    return value, plain


def _with_missing(rows: Rows) -> tuple[Any, Rows]:
    frame, plain = pd.DataFrame(rows).convert_dtypes(), rows.copy()
    if rows.size:
        frame.iloc[0, 0], plain[0, 0] = pd.NA, np.nan
    return frame, plain


def _names(d: int) -> list[str]:
    return [f"c{i}" for i in range(d)]


def _named(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=_names(rows.shape[1]))


def _one_name(rows: Rows) -> tuple[Any, Rows | None]:
    d = rows.shape[1]
    return pd.DataFrame(rows, columns=["a"] * d), REFUSED if d > 1 else rows


def _polars(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_names(rows.shape[1]), orient="row")


def _whole_frame(dtype: str) -> Callable[[Rows], tuple[Any, Rows]]:
    def frame(rows: Rows) -> tuple[Any, Rows]:
        plain = wrapped(rows, np.int16)
        return _named(plain.astype(np.int16)).astype(dtype), plain

    return frame


def _truths(rows: Rows) -> tuple[Any, Rows]:
    value = rows > 0
    return value, value.astype(np.float64)


def _same(change: Callable[[Rows], Any]) -> Callable[[Rows], tuple[Any, Rows]]:
    return lambda rows: (change(rows), rows)


def _refused(change: Callable[[Rows], Any]) -> Callable[[Rows], tuple[Any, None]]:
    return lambda rows: (change(rows), REFUSED)


def _to_bfloat16(rows: Rows) -> tuple[Any, Rows]:
    value = torch.from_numpy(rows.copy()).bfloat16()
    return value, value.double().numpy()


def _dates(rows: Rows) -> Rows:
    return np.full(rows.shape, np.datetime64("2020-01-01"))


def _objects(rows: Rows, value: Any) -> Rows:
    out = rows.astype(object)
    out[:1, :1] = value
    return out


def _ragged(rows: Rows) -> list[Any]:
    return [row[: 1 + i % 2].tolist() for i, row in enumerate(rows)] + [[1.0, 2.0], [1.0]]


def _fractions(rows: Rows) -> tuple[Any, Rows]:
    plain = np.where(np.isfinite(rows), rows, 0.0)
    return [[fractions.Fraction(value) for value in row] for row in plain.tolist()], plain


def _decimals(rows: Rows) -> tuple[Any, Rows]:
    return [[decimal.Decimal(value) for value in row] for row in rows.tolist()], rows


TYPES = ("f2", "f4", "f8", ">f4", ">f8", "g", "i1", "u1", "i2", "u2", ">i4", "u4", "i8", "u8")

WRAPPINGS: dict[str, Callable[[Rows], tuple[Any, Rows | None]]] = {
    **{f"dtype {name}": casts(name) for name in TYPES},
    "truth values": _truths,
    "objects": casts(object),
    "fractions": _fractions,
    "decimals": _decimals,
    # How the numbers lie
    "Fortran order": _same(np.asfortranarray),
    "upside down": _same(lambda rows: rows[::-1, ::-1].copy()[::-1, ::-1]),
    "every other": _same(_every_other),
    "repeated by zero strides": _repeated,
    "read only": _same(_read_only),
    "unaligned": _same(_unaligned),
    "memory map": _same(_in_folder),
    # What holds them
    "subclass": _same(lambda rows: rows.view(Subclass)),
    "interface": _same(Interface),
    "masked nowhere": _same(np.ma.masked_array),
    "masked": _masked,
    "list": lambda rows: (rows.tolist(), rows),
    "tuple of arrays": lambda rows: (tuple(rows), rows),
    "memory view": _same(memoryview),
    "pandas": _same(_named),
    "pandas with numbers as names": _same(pd.DataFrame),
    "pandas with one name": _one_name,
    "pandas Float64": _same(lambda rows: _named(rows).astype("Float64")),
    "pandas Int64": _whole_frame("Int64"),
    "pandas categories": _whole_frame("category"),
    "pandas objects": _same(lambda rows: _named(rows).astype(object)),
    "pandas missing": _with_missing,
    "polars": _same(_polars),
    "polars whole": lambda rows: (
        _polars(wrapped(rows, np.int16)).cast(pl.Int16),
        wrapped(rows, np.int16),
    ),
    "tensor": _same(lambda rows: torch.from_numpy(rows.copy())),
    "tensor with gradient": _same(lambda rows: torch.from_numpy(rows.copy()).requires_grad_()),
    "tensor transposed": _same(lambda rows: torch.from_numpy(rows.T.copy()).T),
    "tensor bfloat16": _to_bfloat16,
    # No rows of real numbers
    "complex": _refused(lambda rows: rows + 1j),
    "strings": _refused(lambda rows: np.full(rows.shape, "red")),
    "bytes": _refused(lambda rows: np.full(rows.shape, b"red")),
    "words": _refused(lambda rows: [["red"] * rows.shape[1]] * len(rows)),
    "one word": _refused(lambda rows: _objects(rows, "red")),
    "None": _refused(lambda rows: _objects(rows, None)),
    "a dictionary within": _refused(lambda rows: _objects(rows, [{}])),
    "a whole number too large": _refused(lambda rows: _objects(rows, 10**400)),
    "a date": _refused(lambda rows: _objects(rows, datetime.date(2020, 1, 1))),
    "dates": _refused(_dates),
    "times": _refused(lambda rows: _dates(rows) - np.datetime64("1999-01-01")),
    "pandas dates": _refused(lambda rows: pd.DataFrame(_dates(rows))),
    "pandas words": _refused(lambda rows: pd.DataFrame(np.full(rows.shape, "red"))),
    "polars words": _refused(lambda rows: pl.DataFrame({"a": ["red"] * len(rows)})),
    "polars dates": _refused(lambda rows: pl.DataFrame({"a": [datetime.date(2020, 1, 1)]})),
    "polars lists": _refused(lambda rows: pl.DataFrame({"a": [[1.0], [2.0, 3.0]]})),
    "lazy": _refused(lambda rows: pl.LazyFrame({"a": [1.0]})),
    "structured": _refused(lambda rows: np.zeros(rows.shape, [("a", "f8"), ("b", "i4")])),
    "sparse matrix": _refused(sp.csr_matrix),
    "sparse array": _refused(sp.coo_array),
    "tensor sparse": _refused(lambda rows: torch.from_numpy(rows.copy()).to_sparse()),
    "tensor complex": _refused(lambda rows: torch.from_numpy(rows + 1j)),
    "matrix": _refused(np.asmatrix),
    "ragged": _refused(_ragged),
    "column": _refused(lambda rows: rows.ravel()),
    "series": _refused(lambda rows: pd.Series(rows.ravel())),
    "numbers": _refused(lambda rows: array.array("d", rows.ravel().tolist())),
    "scalar": _refused(lambda rows: 3.0),
    "nothing": _refused(lambda rows: None),
    "text": _refused(lambda rows: "rows.csv"),
    "set": _refused(lambda rows: {1.0, 2.0}),
    "dictionary": _refused(lambda rows: {"a": [1.0, 2.0]}),
    "generator": _refused(lambda rows: (row for row in rows)),
    "empty list": _refused(lambda rows: []),
    "list of nothing": _refused(lambda rows: [[], []]),
    "function": _refused(lambda rows: len),
}

ELEMENTS = {
    "ordinary": st.floats(-10, 10, width=32),
    "shares": st.floats(0, 1, width=32),
    "few": st.sampled_from([0.0, -0.0, 1.0, 2.0]),
    "truths": st.sampled_from([0.0, 1.0]),
    "far": st.floats(1e6, 1e6 + 10),
    "huge": st.floats(allow_nan=False, allow_infinity=False),
    "large": st.floats(-1e150, 1e150),
    "tiny": st.floats(-1e-300, 1e-300),
    "any": st.floats(),
}


@st.composite
def plain_rows(draw: Any, n_features: int | None = None, elements: str | None = None) -> Rows:
    """Draw rows, few and narrow but for some."""
    n = draw(st.integers(0, 12) if n_features is None else st.integers(0, 8))
    wide = n_features is None and draw(st.integers(0, 19)) == 0
    d = n_features if n_features is not None else draw(st.integers(0, 6))
    kind = ELEMENTS[elements or draw(st.sampled_from(sorted(ELEMENTS)))]
    rows = draw(arrays(np.float64, (n, d), elements=kind))
    return np.tile(rows, (1, 500)) if wide else rows


@st.composite
def given_rows(draw: Any, rows: st.SearchStrategy[Rows]) -> Given:
    """Draw rows in a wrapping."""
    name = draw(st.sampled_from(sorted(WRAPPINGS)))
    plain = draw(rows)
    return Given(name, *WRAPPINGS[name](plain))
